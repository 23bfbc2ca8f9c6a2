"""Inputs of a form, one for each argument of a call, and their values.

An untouched input gives back the very value that was there, not another reading of its text. A value that cannot come
back as it was, or must not be shown, gets no input and is kept.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Any, Final, NamedTuple

from countersign.domain.redaction import MARK
from countersign.json_schema import Schema, is_same, is_type, resolved, why_not
from countersign.text.safe_text import one_line, quoted, typed, visible

from . import form_values
from .block_kit import Block, plain
from .form_values import MISSING, WrongValue

LONGEST: Final = 3000
"""Characters of a plain_text_input, counted as Slack's client does, in UTF-16."""
_MOST_OPTIONS: Final = 100
_LABEL: Final = 75
_SHORT: Final = 80
_NEEDED: Final = "Fill this in; it is required."


class Kept(StrEnum):
    """Reasons why an argument gets no input, as people read them."""

    HIDDEN = "hidden"
    LONG = "too long for a form"
    ODD = "with characters that a form would not show or not give back"
    UNKNOWN = "not described by the tool"


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument: the `value` that would run, and `shown`, the same without secrets.

    `schema` is without null, which is `nullable`.
    """

    name: str
    value: Any
    shown: Any
    schema: Schema
    root: Schema = field(default_factory=dict)
    required: bool = True
    nullable: bool = False

    @property
    def is_empty(self) -> bool:
        return self.value is MISSING or (self.value is None and self.nullable)


class Input(NamedTuple):
    """An element of Slack with its first value, its hint, and its reader.

    `read` gets the text, or the number of the option; it raises WrongValue. `optional`: it may be left empty.
    """

    element: Block
    hint: str
    optional: bool
    read: Callable[[str], Any]


def is_too_long(value: Any) -> bool:
    """Tell at once whether the value has no room in any input.

    Nobody waits for a form of a megabyte.
    """
    if isinstance(value, str):
        return len(value) > LONGEST
    return isinstance(value, dict | list) and len(json.dumps(value, ensure_ascii=False)) > 4 * LONGEST


def input_of(argument: Argument) -> Input | Kept:
    """Draw the input for this argument, or return why it has none."""
    if _is_secret(argument.value, argument.shown):
        return Kept.HIDDEN
    if (options := _options(argument)) is not None:
        return _select(argument, options)
    kind, shown = str(argument.schema.get("type")), argument.shown
    marked = shown is not MISSING and MARK.search(json.dumps(shown, ensure_ascii=False))
    if kind not in _KINDS or marked:
        return _json(argument)
    fits = argument.is_empty or is_type(argument.value, "number" if kind == "integer" else kind)
    return _KINDS[kind](argument) if fits else _json(argument)


def _text(argument: Argument) -> Input | Kept:
    return _typed(argument, "" if argument.is_empty else argument.value, lambda text: text)


def _number(argument: Argument) -> Input | Kept:
    decimal = argument.schema["type"] == "number"
    read, hint = (form_values.number, "") if decimal else (form_values.whole, "A whole number.")
    initial = "" if argument.is_empty else _plain_number(argument.value)
    if initial is None or not re.fullmatch(r"(-?\d{1,15}(\.\d{1,15})?)?" if decimal else r"(-?\d{1,15})?", initial):
        return _typed(argument, json.dumps(argument.value), read, hint)
    element: Block = {"type": "number_input", "is_decimal_allowed": decimal}
    for word, name, sign in (("minimum", "min_value", 1), ("maximum", "max_value", -1)):
        limit: Any = argument.schema.get(word)
        text = _plain_number(limit) if is_type(limit, argument.schema["type"]) else None
        if text and len(text) <= 15 and (not initial or sign * Decimal(initial) >= sign * Decimal(text)):
            element[name] = text
    return _filled(argument, element, initial, read, hint)


def _lines(argument: Argument) -> Input | Kept:
    """Draw a list of texts or numbers, one a line; other lists are JSON."""
    kind = str(resolved(argument.schema.get("items", {}), argument.root).get("type"))
    value = [] if argument.is_empty else argument.value
    readers: dict[str, Callable[[str], Any]] = {
        "string": str,
        "integer": form_values.whole,
        "number": form_values.number,
    }
    lines = [item if isinstance(item, str) else json.dumps(item) for item in value]
    whole = all(line and line == line.strip() and len(line.splitlines()) == 1 for line in lines)
    if kind not in readers or "prefixItems" in argument.schema or not all(is_type(item, kind) for item in value):
        return _json(argument)

    def read(text: str) -> list[Any]:
        return [readers[kind](line.strip()) for line in text.splitlines() if line.strip()]

    return _typed(argument, "\n".join(lines), read, "One per line.", multiline=True) if whole else _json(argument)


_KINDS: Final = {"string": _text, "integer": _number, "number": _number, "array": _lines}
"""The type of an argument -> its input; every other is JSON."""


def _json(argument: Argument) -> Input | Kept:
    initial = "" if argument.value is MISSING else json.dumps(argument.shown, indent=2, ensure_ascii=False)

    def read(text: str) -> Any:
        return form_values.json_value(text, argument.value, argument.shown)

    return _typed(argument, initial, read, "As JSON.", multiline=True)


def _select(argument: Argument, options: list[tuple[str, Any]]) -> Input:
    labels = [quoted(label, _LABEL) or "(empty)" for label, _ in options]
    if len({label.casefold() for label in labels}) < len(labels):
        labels = [one_line(f"{number}. {label}", _LABEL) for number, label in enumerate(labels, 1)]
    shown = [{"text": plain(label), "value": str(number)} for number, label in enumerate(labels)]
    element: Block = {"type": "static_select", "options": shown, "placeholder": plain("Choose")}
    optional = argument.value is MISSING and not argument.required
    held = [n for n, (_, value) in enumerate(options) if value is argument.value]
    if held:
        element["initial_option"] = shown[held[0]]

    def read(number: str) -> Any:
        if not number and optional:
            return MISSING
        if not re.fullmatch(r"\d{1,3}", number) or int(number) >= len(options):
            raise WrongValue(_NEEDED)
        return options[int(number)][1]

    return Input(element, _hint(argument), optional, read)


def _option(value: Any, kind: Any) -> str:
    if isinstance(value, bool) and kind == "boolean":
        return "Yes" if value else "No"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _options(argument: Argument) -> list[tuple[str, Any]] | None:
    """List what may be chosen, with what is held; None if there is no such list."""
    schema = argument.schema
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if schema.get("type") == "boolean" and not isinstance(allowed, list):
        allowed = [True, False]
    if not isinstance(allowed, list) or not 0 < len(allowed) < _MOST_OPTIONS - 2:
        return None
    options = [(_option(v, schema.get("type")), v) for v in allowed]
    if argument.nullable:
        options.append(("(null)", None))
    if not argument.required:
        options.append(("(left out)", MISSING))
    held = argument.value is not MISSING
    same = [n for n, (_, v) in enumerate(options) if held and v is not MISSING and is_same(v, argument.value)]
    if same:
        options[same[0]] = (options[same[0]][0], argument.value)
    elif held:
        options.insert(0, (f"As it is: {json.dumps(argument.shown, ensure_ascii=False)}", argument.value))
    if any(len(one_line(f"100. {label}", 2 * _LABEL)) > _LABEL for label, _ in options):
        return None  # a menu would cut it, and what runs is what the form shows
    return options


def _typed(
    argument: Argument, initial: str, read: Callable[[str], Any], hint: str = "", *, multiline: bool = False
) -> Input | Kept:
    if len(initial.encode("utf-16-le", "surrogatepass")) // 2 > LONGEST:
        return Kept.LONG
    if visible(initial) != initial.replace("\r\n", "\n"):
        return Kept.ODD
    multiline = multiline or "\n" in initial or "\r" in initial or len(initial) > _SHORT
    element: Block = {"type": "plain_text_input", "multiline": multiline, "max_length": LONGEST}
    return _filled(argument, element, initial, read, hint)


def _filled(argument: Argument, element: Block, initial: str, read: Callable[[str], Any], hint: str) -> Input:
    """Draw an input that is typed into.

    Blanks at the ends and other line ends are no change.
    """
    if initial:
        element["initial_value"] = initial

    needed = argument.required and not argument.nullable

    def value(text: str) -> Any:
        if _is_same_text(text, initial) and (argument.value is not MISSING or not (text or needed)):
            return argument.value
        if not text.strip():
            if needed:
                raise WrongValue(_NEEDED)
            return None if argument.nullable else MISSING
        entered = read(text)
        if is_type(entered, "number") and is_type(argument.value, "number") and entered == argument.value:
            return argument.value
        if wrong := why_not(entered, argument.schema, argument.root):
            raise WrongValue(one_line(wrong, 500))
        return entered

    was_empty = not initial and argument.value is not MISSING
    return Input(element, _hint(argument, hint, _empty_means(argument)), not needed or was_empty, value)


def label_of(name: str, schema: object) -> str:
    """Name an argument by its schema's title, or else by its name in words."""
    title = schema.get("title") if isinstance(schema, Mapping) else None
    if isinstance(title, str) and title.strip():
        return title.strip()
    words = name.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def _hint(argument: Argument, *sentences: str) -> str:
    """Join the tool's words about the argument, its format, and what empty means."""
    about = argument.schema.get("description")
    if about == argument.name:  # what AutoGen says of an argument without words of its own
        about = ""
    parts = [typed(about.strip()) if isinstance(about, str) else "", *sentences]
    return one_line(" ".join(part if part.endswith((".", "!", "?")) else f"{part}." for part in parts if part), 500)


def _empty_means(argument: Argument) -> str:
    if argument.nullable or argument.required:
        return "Leave it empty for no value." if argument.nullable else ""
    schema = argument.schema
    default = f"; the tool then uses {_json_of(schema['default'])}" if schema.get("default") not in (None, "") else ""
    return f"Leave it empty to omit it{default}."


def _is_secret(value: Any, shown: Any) -> bool:
    """Tell whether the value is hidden itself, or holds a secret in a list.

    The place of a secret in a changed list is unknown.
    """
    if value is MISSING:
        return shown is not MISSING
    if is_same(value, shown):
        return False
    if not isinstance(value, dict) or not isinstance(shown, dict):
        return True
    return any(_hides_in_list(inner, shown.get(key)) for key, inner in value.items())


def _hides_in_list(value: Any, shown: Any) -> bool:
    if isinstance(value, dict) and isinstance(shown, dict):
        return any(_hides_in_list(inner, shown.get(key)) for key, inner in value.items())
    return isinstance(value, dict | list) and not is_same(value, shown)


def _plain_number(value: float) -> str | None:
    """Write a number without an exponent; None if that is too long."""
    try:
        text = format(Decimal(repr(value)), "f")
    except InvalidOperation:
        return None
    return text if len(text) <= 31 else None


def _is_same_text(one: str, other: str) -> bool:
    return "\n".join(one.splitlines()).strip() == "\n".join(other.splitlines()).strip()


def _json_of(value: Any) -> str:
    return quoted(json.dumps(value, ensure_ascii=False), 60)
