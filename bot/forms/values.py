"""Read and write values of a form for people.

No value is rounded, guessed or ambiguous.
"""

import json
import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

from countersign.json_schema import Schema, resolved
from countersign.text.safe_text import one_line

MISSING: Final = object()
"""The value of an argument that is not passed."""


class WrongValue(Exception):
    """Input that cannot be this argument; the text is the sentence under it."""


def whole(text: str) -> int:
    """Read a whole number."""
    if not re.fullmatch(r"[+-]?[0-9]{1,300}", text.strip()):
        raise WrongValue(f"{_quoted(text)} isn't a whole number.")
    return int(text)


def number(text: str) -> float:
    """Read a number: 20 stays whole, 20.0 does not become it."""
    text = text.strip()
    if re.fullmatch(r"[+-]?[0-9]{1,300}", text):
        return int(text)
    if not re.fullmatch(r"[+-]?[0-9]{1,100}(\.[0-9]{1,100})?([eE][+-]?[0-9]{1,3})?", text):
        raise WrongValue(f"{_quoted(text)} isn't a number. Write it like 1234.5.")
    made = float(text)
    if made in (float("inf"), float("-inf")) or Decimal(repr(made)) != Decimal(text):
        raise WrongValue(f"{_quoted(text)} has too many digits. Use 15 at most.")
    return made


def yes_or_no(text: str) -> bool:
    """Read a truth value."""
    if (word := text.strip().casefold()) not in ("yes", "no", "true", "false"):
        raise WrongValue(f"{_quoted(text)} is neither Yes nor No.")
    return word in ("yes", "true")


READERS: Final[Mapping[str, Callable[[str], Any]]] = {
    "integer": whole,
    "number": number,
    "boolean": yes_or_no,
    "string": str,
}
"""The kinds of single values, those first that fewer texts are."""


def kinds_of_value(value: Any) -> tuple[str, ...]:
    """Name the kinds that can represent a value; () if it is not a single value."""
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int | float):
        return ("integer", "number")
    return ("string",) if isinstance(value, str) else ()


def kinds_in(schema: Schema, root: Schema) -> tuple[str, ...]:
    """List the kinds that a schema names; () if it names none."""
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(allowed, list):
        named = [kinds_of_value(value)[:1] for value in allowed]
    elif isinstance(kind := schema.get("type"), str | list):
        named = [(str(one),) for one in ([kind] if isinstance(kind, str) else kind)]
    else:
        parts = schema.get("anyOf") or schema.get("oneOf")
        known = [resolved(part, root) for part in parts] if isinstance(parts, list) else []
        named = [kinds_in({**part, "anyOf": None, "oneOf": None}, root) for part in known]
    return tuple(dict.fromkeys(kind for kinds in named for kind in kinds))


def in_words(value: Any) -> str:
    """Write a value for people to read; lists and objects on one line."""
    if value is None:
        return "(no value)"
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {in_words(part)}" for key, part in value.items()) or "(empty)"
    if isinstance(value, list):
        return ", ".join(in_words(part) for part in value) or "(empty)"
    return value if isinstance(value, str) else json.dumps(value)


def _quoted(text: str) -> str:
    return f"“{one_line(text, 40)}”"
