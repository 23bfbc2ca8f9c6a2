"""Inputs of a form: single values, and lines for lists and objects.

An untouched input gives back the very value that was there, not another reading of its text. A value that cannot come
back as it was, or must not be shown, gets no input and is kept.
"""

import json
import re
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from countersign.domain.redaction import MARK
from countersign.json_schema import Fault, Schema, fault, is_same, is_type, resolved, without_null
from countersign.text.safe_text import one_line, quoted, visible

from ...forms.arguments import LONGEST, NEEDED, Argument, Input, NoInput, hint_of, is_secret
from ...forms.values import MISSING, READERS, WrongValue, in_words, kinds_in, kinds_of_value, number, whole
from .block_kit import Block, plain

_MOST_OPTIONS: Final = 100
_LABEL: Final = 75
_SHORT: Final = 80
_LOST: Final = "What is hidden can only stay where it was. Please put it back, or close this form and start again."
_SINGLE: Final = str | int | float | bool | None


def input_of(argument: Argument, shape: Schema) -> Input | NoInput | None:
    """Draw the input of a single argument, or return the reason why it has none.

    `shape` is the schema of the held value. None for a list that needs an input for each entry.
    """
    if is_secret(argument):
        return NoInput.HIDDEN
    if (options := _options_of(argument)) is not None:
        return _select(argument, options)
    value, kinds = argument.value, kinds_in(shape, argument.root)
    if isinstance(value, list) or (argument.is_empty and kinds[:1] == ("array",)):
        return _list(argument, shape)
    if isinstance(value, dict) or (argument.is_empty and kinds[:1] == ("object",)):
        return _object(argument, shape)
    return _single(argument)


def _single(argument: Argument) -> Input | NoInput:
    """Draw the input of a text, a number or a truth value; or return why it has none."""
    value = "" if argument.is_empty else argument.value
    if argument.shown is not MISSING and MARK.search(json.dumps(argument.shown, ensure_ascii=False)):
        return NoInput.ODD
    declared, own = kinds_in(argument.schema, argument.root), kinds_of_value(value)
    if declared == ("string",) and isinstance(value, str):
        return typed_input(argument, value, str)
    if argument.schema.get("type") in ("integer", "number") and (argument.is_empty or is_type(value, "number")):
        return _number(argument)
    first = [kind for kind in own if kind in declared or not declared] if not argument.is_empty else []
    kinds = list(dict.fromkeys([*first, *(kind for kind in READERS if kind in declared)])) or ["string"]
    return typed_input(argument, "" if value is None else in_words(value), lambda text: _read_as(kinds, text, argument))


def _read_as(kinds: list[str], text: str, argument: Argument) -> Any:
    """Read a text as the first of the kinds that the schema takes."""
    wrong: WrongValue | None = None
    for kind in kinds:
        try:
            made = READERS[kind](text)
        except WrongValue as why:
            wrong = wrong or why
            continue
        if fault(made, argument.schema, argument.root) is None or kind == kinds[-1]:
            return made
    assert wrong is not None, "the last kind is read or refused"
    raise wrong


def _number(argument: Argument) -> Input | NoInput:
    decimal = argument.schema["type"] == "number"
    read, hint = (number, "") if decimal else (whole, "A whole number.")
    initial = "" if argument.is_empty else _plain_number(argument.value)
    if initial is None or not re.fullmatch(r"(-?\d{1,15}(\.\d{1,15})?)?" if decimal else r"(-?\d{1,15})?", initial):
        return typed_input(argument, json.dumps(argument.value), read, hint)
    element: Block = {"type": "number_input", "is_decimal_allowed": decimal}
    for word, name, sign in (("minimum", "min_value", 1), ("maximum", "max_value", -1)):
        limit: Any = argument.schema.get(word)
        text = _plain_number(limit) if is_type(limit, argument.schema["type"]) else None
        if text and len(text) <= 15 and (not initial or sign * Decimal(initial) >= sign * Decimal(text)):
            element[name] = text
    return _filled(argument, element, initial, read, hint)


def _select(argument: Argument, options: list[tuple[str, Any]]) -> Input:
    """Draw a menu of the options."""
    labels = [quoted(label, _LABEL) or "(empty)" for label, _ in options]
    if len({label.casefold() for label in labels}) < len(labels):
        labels = [one_line(f"{number}. {label}", _LABEL) for number, label in enumerate(labels, 1)]
    shown = [{"text": plain(label), "value": str(number)} for number, label in enumerate(labels)]
    element: Block = {"type": "static_select", "options": shown, "placeholder": plain("Choose")}
    optional = argument.value is MISSING and (argument.loose or not argument.required)
    held = [n for n, (_, value) in enumerate(options) if value is argument.value]
    if held:
        element["initial_option"] = shown[held[0]]

    def read(number: str) -> Any:
        if not number and optional:
            return MISSING
        if not re.fullmatch(r"\d{1,3}", number) or int(number) >= len(options):
            raise WrongValue(NEEDED)
        return options[int(number)][1]

    return Input(element, hint_of(argument), optional, read)


def _options_of(argument: Argument) -> list[tuple[str, Any]] | None:
    """List what may be chosen, with what is held; None if there is no such list."""
    schema = argument.schema
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if schema.get("type") == "boolean" and not isinstance(allowed, list):
        allowed = [True, False]
    if not isinstance(allowed, list) or not 0 < len(allowed) < _MOST_OPTIONS - 2:
        return None
    options = [(in_words(v), v) for v in allowed]
    if argument.nullable:
        options.append(("(no value)", None))
    if argument.loose or not argument.required:
        options.append(("(left out)", MISSING))
    held = argument.value is not MISSING
    same = [n for n, (_, v) in enumerate(options) if held and v is not MISSING and is_same(v, argument.value)]
    if same:
        options[same[0]] = (options[same[0]][0], argument.value)
    elif held:
        options.insert(0, (f"As it is: {in_words(argument.shown)}", argument.value))
    if any(len(one_line(f"100. {label}", 2 * _LABEL)) > _LABEL for label, _ in options):
        return None  # a menu would cut it, and the form must show exactly the value that runs
    return options


def typed_input(
    argument: Argument, initial: str, read: Callable[[str], Any], hint: str = "", *, multiline: bool = False
) -> Input | NoInput:
    """Draw an input for text; or return why the value has none."""
    if len(initial.encode("utf-16-le", "surrogatepass")) // 2 > LONGEST:
        return NoInput.LONG
    if visible(initial) != initial.replace("\r\n", "\n"):
        return NoInput.ODD
    multiline = multiline or "\n" in initial or "\r" in initial or len(initial) > _SHORT
    element: Block = {"type": "plain_text_input", "multiline": multiline, "max_length": LONGEST}
    return _filled(argument, element, initial, read, hint)


def _filled(argument: Argument, element: Block, initial: str, read: Callable[[str], Any], hint: str) -> Input:
    """Draw a text input; outer blanks and other line ends do not count as a change."""
    if initial:
        element["initial_value"] = initial

    def value(text: str) -> Any:
        if _is_same_text(text, initial) and (argument.value is not MISSING or not (text or argument.is_needed)):
            return argument.value
        if not text.strip():
            if argument.is_needed:
                raise WrongValue(NEEDED)
            return None if argument.nullable else MISSING
        entered = read(text)
        if is_type(entered, "number") and is_type(argument.value, "number") and entered == argument.value:
            return argument.value
        if wrong := fault(entered, argument.schema, argument.root):
            raise WrongValue(one_line(_fault_sentence(wrong), 500))
        return entered

    was_empty = not initial and argument.value is not MISSING
    return Input(element, hint_of(argument, hint, _empty_means(argument)), not argument.is_needed or was_empty, value)


def _fault_sentence(wrong: Fault) -> str:
    """Say what is wrong with something typed, and with which of its lines."""
    lines = [f"Entry {int(step) + 1}" if step.isdigit() else f"“{step}”" for step in wrong.path]
    return f"{': '.join(lines) or 'This'} {wrong.words}."


def _empty_means(argument: Argument) -> str:
    if argument.nullable or argument.required:
        return "Leave it empty for no value." if argument.nullable else ""
    default = argument.schema.get("default")
    if default in (None, "", [], {}):
        return "Leave it empty to omit it."
    used = f'"{default}"' if isinstance(default, str) else in_words(default)
    return f"Leave it empty to omit it; the tool then uses {quoted(used, 60)}."


def _plain_number(value: float) -> str | None:
    """Write a number without an exponent; None if that is too long."""
    try:
        text = format(Decimal(repr(value)), "f")
    except InvalidOperation:
        return None
    return text if len(text) <= 31 else None


def _is_same_text(one: str, other: str) -> bool:
    return "\n".join(one.splitlines()).strip() == "\n".join(other.splitlines()).strip()


def _list(argument: Argument, shape: Schema) -> Input | NoInput | None:
    """Draw a list of texts or numbers, one a line; None if lines would change it."""
    value = [] if argument.is_empty else argument.value
    if argument.shown is not MISSING and MARK.search(json.dumps(argument.shown, ensure_ascii=False)):
        return NoInput.ODD
    if shape.get("prefixItems"):
        return None
    entries, nullable = without_null(shape.get("items", {}), argument.root)
    if nullable and None in value:
        return None
    kinds = kinds_in(entries, argument.root) or [kind for entry in value for kind in kinds_of_value(entry)]
    kind = _kind_of_lines(kinds)
    lines = [in_words(entry) for entry in value]
    if kind is None or not all(kind in kinds_of_value(entry) for entry in value) or not all(map(_is_line, lines)):
        return None

    def read(text: str) -> list[Any]:
        return [READERS[kind](line.strip()) for line in text.splitlines() if line.strip()]

    return typed_input(argument, "\n".join(lines), read, "One per line.", multiline=True)


def _kind_of_lines(kinds: Iterable[str]) -> str | None:
    """Return the kind that every line is read as; None if a line could be of several."""
    several = set(kinds) or {"string"}
    if "number" in several:
        several -= {"integer"}
    return several.pop() if len(several) == 1 and several < {"integer", "number", "string"} else None


def _object(argument: Argument, shape: Schema) -> Input | NoInput:
    """Draw an object as lines "name: value"; or return why it can't be shown so."""
    value, shown = ({}, {}) if argument.is_empty else (argument.value, argument.shown)
    if value.keys() != shown.keys():
        return NoInput.HIDDEN
    if not all(isinstance(part, _SINGLE) for part in value.values()):
        return NoInput.SHAPELESS
    texts = {name: in_words(part) for name, part in shown.items()}
    lines = [f"{name}: {text}".rstrip() for name, text in texts.items()]
    names = all(_is_line(name) and ": " not in name and not name.endswith(":") for name in texts)
    if not names or not all(not text or _is_line(text) for text in texts.values()):
        return NoInput.ODD

    def read(text: str) -> dict[str, Any]:
        entered: dict[str, Any] = {}
        for line in filter(None, map(str.strip, text.splitlines())):
            name, colon, written = (part.strip() for part in _split(line))
            if not colon or not name:
                raise WrongValue("Write each line as “name: value”.")
            if name in entered:
                raise WrongValue(f"“{name}” appears twice.")
            if texts.get(name) == written:
                entered[name] = value[name]
            elif MARK.search(line):
                raise WrongValue(_LOST)
            else:
                entered[name] = _entry(written, value.get(name), _schema_of(name, shape, argument.root), argument.root)
        return entered

    return typed_input(argument, "\n".join(lines), read, "One “name: value” per line.", multiline=True)


def _entry(text: str, held: Any, schema: Schema, root: Schema) -> Any:
    """Read a value as the kind that is described, or as the kind that it had."""
    declared, own = kinds_in(schema, root), kinds_of_value(held)
    first = [kind for kind in own if kind in declared or not declared]
    kinds = list(dict.fromkeys([*first, *(kind for kind in READERS if kind in declared)])) or ["string"]
    if "null" in declared and text == in_words(None):
        return None
    for kind in kinds[:-1]:
        try:
            return READERS[kind](text)
        except WrongValue:
            continue
    return READERS[kinds[-1]](text)


def _schema_of(name: str, shape: Schema, root: Schema) -> Schema:
    properties = shape.get("properties")
    named = properties.get(name) if isinstance(properties, dict) else None
    return resolved(named if named is not None else shape.get("additionalProperties"), root)


def _split(line: str) -> tuple[str, str, str]:
    if ": " in line:
        return line.partition(": ")
    return (line[:-1], ":", "") if line.endswith(":") else line.partition(":")


def _is_line(text: str) -> bool:
    return bool(text) and text == text.strip() and len(re.split(r"[\r\n]", text)) == len(text.splitlines()) == 1
