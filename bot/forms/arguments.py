"""Arguments of a call as a form sees them, and the inputs that they get."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple

from countersign.domain.redaction import hide_in
from countersign.json_schema import Schema, is_same
from countersign.text.safe_text import one_line, typed

from .values import MISSING

LONGEST: Final = 3000
"""Characters of an input, counted as Slack's client does, in UTF-16."""
NEEDED: Final = "Fill this in; it is required."


class NoInput(StrEnum):
    """Reasons why an argument gets no input, as people read them."""

    HIDDEN = "hidden"
    LONG = "too long for a form"
    LARGE = "more fields than a form has room for"
    DEEP = "nested too deeply for a form"
    ODD = "with characters that a form would not show or not give back"
    SHAPELESS = "without fields of its own"
    UNKNOWN = "not described by the tool"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument or a part of one.

    `value` would run, and `shown` is the same without secrets. `schema` is without null, which is `nullable`.
    `loose`: it may be empty together with all that stands beside it. `path` leads to it from the call, whose `hidden`
    paths are secret.
    """

    name: str
    value: Any
    shown: Any
    schema: Schema
    root: Schema = field(default_factory=dict)
    required: bool = True
    nullable: bool = False
    loose: bool = False
    path: tuple[str, ...] = ()
    hidden: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return self.value is MISSING or (self.value is None and self.nullable)

    @property
    def is_needed(self) -> bool:
        return self.required and not self.nullable and not self.loose


class Input(NamedTuple):
    """An element of Slack with its first value, its hint, and its reader.

    `read` gets the text, or the number of the option; it raises WrongValue. `optional`: it may be left empty.
    """

    element: dict[str, Any]
    hint: str
    optional: bool
    read: Callable[[str], Any]


def is_too_long(value: Any) -> bool:
    """Tell quickly whether the value is too long for any input.

    A form of a megabyte is never built.
    """
    if isinstance(value, str):
        return len(value) > LONGEST
    return isinstance(value, dict | list) and len(json.dumps(value, ensure_ascii=False)) > 4 * LONGEST


def is_secret(argument: Argument) -> bool:
    """Tell whether the value is hidden itself, or holds a secret in a list.

    The place of a secret in a changed list is unknown.
    """
    value, shown = argument.value, argument.shown
    if value is MISSING:
        within: Any = "?"
        for name in reversed(argument.path):
            within = {name: within}
        return bool(argument.path and hide_in(within, argument.hidden)[1])
    if is_same(value, shown):
        return False
    if not isinstance(value, dict) or not isinstance(shown, dict):
        return True
    return any(_hides_in_list(inner, shown.get(key)) for key, inner in value.items())


def label_of(name: str, schema: object) -> str:
    """Name an argument by its schema's title, or else by its name in words."""
    title = schema.get("title") if isinstance(schema, Mapping) else None
    if isinstance(title, str) and title.strip():
        return title.strip()
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def hint_of(argument: Argument, *sentences: str) -> str:
    """Join the argument's description, its format, and the meaning of empty."""
    about = argument.schema.get("description")
    if about == argument.name:  # AutoGen's default for an argument without a description
        about = ""
    parts = [typed(about.strip()) if isinstance(about, str) else "", *sentences[:1]]
    parts += [_limits(argument.schema), *sentences[1:]]
    return one_line(" ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part), 500)


_RANGES: Final = (
    ("minimum", "maximum", "", ""),
    ("minLength", "maxLength", " character", " characters"),
    ("minItems", "maxItems", " entry", " entries"),
)


def _limits(schema: Schema) -> str:
    """Write the limits of an input, so that they are read before it is filled in: `1–100`."""
    found = []
    for least, most, one, several in _RANGES:
        low, high = _limit(schema, least), _limit(schema, most)
        if one and low in ("0", "1"):  # says no more than whether it may be empty
            low = ""
        unit = one if (high or low) == "1" else several
        if low and high:
            found.append(f"{low}{' to ' if '-' in low else '–'}{high}{unit}")
        elif low or high:
            found.append(f"{'At least' if low else 'At most'} {low or high}{unit}")
    for name, words in (("exclusiveMinimum", "More than"), ("exclusiveMaximum", "Less than")):
        if limit := _limit(schema, name):
            found.append(f"{words} {limit}")
    return ". ".join(found)


def _limit(schema: Schema, name: str) -> str:
    limit = schema.get(name)
    if not isinstance(limit, int | float) or isinstance(limit, bool):
        return ""
    return "" if name.endswith("Length") and limit > LONGEST else f"{limit:,}"


def _hides_in_list(value: Any, shown: Any) -> bool:
    if isinstance(value, dict) and isinstance(shown, dict):
        return any(_hides_in_list(inner, shown.get(key)) for key, inner in value.items())
    return isinstance(value, dict | list) and not is_same(value, shown)
