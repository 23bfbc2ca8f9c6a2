"""Arguments of calls as JSON: read strictly, checked, and compared.

Parsers differ on JSON with duplicate names, NaN or numbers that are too large. People could be shown one meaning while
a program acts on another, so such JSON is refused. A program compares the call that it is about to make with the
approved call (R37), so that any change on the way, in the service, a framework or a file, stops the call.
"""

import json
from collections.abc import Mapping
from math import isinf
from typing import Any, Final

from countersign.domain.calls import LONGEST_ARGUMENTS, canonical, is_canonical
from countersign.domain.errors import NotShown

DEEPEST: Final = 100
"""Most levels of an object that a person could judge."""
MOST_VALUES: Final = 5_000
"""Most values in an object, at any depth: formatting more would delay all other requests."""
DIFFERS: Final = (
    "The call was not made: its arguments differ from those that people agreed to. Do not make it in another way; ask "
    "again first."
)
"""Text for a model when the approved arguments differ from those of the call that would run."""


def read_json(text: str | bytes) -> Any:
    """Read JSON that has one meaning. ValueError or RecursionError if it does not."""
    return json.loads(text, parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_once_each)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} isn't JSON")


def _finite(number: str) -> float:
    value = float(number)
    if isinf(value):
        raise ValueError("a number is too large")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("an object has the same name twice")
    return value


def read_arguments(text: str) -> dict[str, Any]:
    """Read the arguments that a model wrote.

    NotShown, with a sentence for the model, if people can't judge them.
    """
    try:
        value = read_json(text or "{}")
    except (ValueError, RecursionError) as wrong:
        reason = f" ({wrong})" if type(wrong) is ValueError else ""
        raise NotShown(
            f"The call was not made, and nobody was asked: its arguments aren't valid JSON{reason}."
        ) from None
    written(value)
    return dict(value)


def written(arguments: Any) -> str:
    """Write arguments as canonical JSON.

    NotShown, with a sentence for the model, if people can't judge them.
    """
    if not isinstance(arguments, Mapping):
        raise NotShown("The call was not made, and nobody was asked: its arguments aren't a JSON object.")
    if problem := too_many_values(arguments):
        raise NotShown(f"The call was not made, and nobody was asked: {problem}.")
    try:
        text = canonical(arguments)
        text.encode()
    except (ValueError, RecursionError) as wrong:
        reason = str(wrong).split("\n")[0][:200]
        raise NotShown(
            f"The call was not made, and nobody was asked: its arguments cannot be shown to people ({reason}). Use "
            "only texts, numbers, lists and objects."
        ) from None
    if len(text) > LONGEST_ARGUMENTS:
        raise NotShown(
            f"The call was not made, and nobody was asked: its arguments have {len(text):,} characters, at most "
            f"{LONGEST_ARGUMENTS:,} can be judged. Make them shorter, or put the long part where the tool can read it."
        )
    if not is_canonical(text):
        raise NotShown("The call was not made, and nobody was asked: its arguments name one thing twice.")
    return text


def too_many_values(value: Mapping[str, Any]) -> str:
    """Say that an object has too many values or levels; "" if it does not."""
    level: list[Any] = [value]
    depth = count = 0
    while level:
        children = [child for part in level for child in (part.values() if isinstance(part, Mapping) else part)]
        level = [child for child in children if isinstance(child, Mapping | list | tuple)]
        depth, count = depth + 1, count + len(children)
        if depth > DEEPEST or count > MOST_VALUES:
            return f"an object can have at most {MOST_VALUES:,} values, nested at most {DEEPEST} deep"
    return ""


def is_approved(call: Any, approved: Mapping[str, Any] | None) -> bool:
    """Tell whether a call's arguments are the approved ones, byte for byte (R37).

    Both are written as canonical JSON, with numbers as in RFC 8785: 40 and 40.0 are one number to a tool.
    """
    try:
        return approved is not None and canonical(_numbers(call)) == canonical(_numbers(approved))
    except (ValueError, RecursionError):
        return False


def _numbers(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _numbers(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
