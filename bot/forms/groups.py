"""Objects and lists of objects as groups of labelled inputs.

An address's city is "Address: City". An unchanged group returns exactly its original value. A group whose inputs are
all emptied is left out, and so is such an entry of a list.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from countersign.json_schema import Fault, Schema, fault, resolved, why_not, without_null
from countersign.text.safe_text import one_line

from .arguments import NEEDED, Argument, Input, NoInput, hint_of, is_secret, label_of
from .values import MISSING, WrongValue, kinds_in

Draw = Callable[[Argument, Schema], Input | NoInput | None]
"""Draws a single value; None for a list that needs an input for each entry."""
_DEEPEST: Final = 5
"""Names and numbers that lead to a field: "Order: Lines 2: Address: City" has four."""
_NEW: Final = 3
"""Empty entries for an empty list; any other list gets one."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a group: its key, what people call it, its value and its inputs."""

    key: str | int
    label: str
    argument: Argument
    node: "Input | NoInput | Group"


@dataclass(frozen=True, slots=True)
class Group:
    """An object with its fields, or a list with its entries."""

    argument: Argument
    parts: tuple[Part, ...]

    @property
    def is_list(self) -> bool:
        return any(isinstance(part.key, int) for part in self.parts)

    @property
    def keeps(self) -> bool:
        """Tell whether it holds values without an input."""
        return any(isinstance(p.node, NoInput) and p.argument.value is not MISSING for p in self.parts)

    @property
    def hint(self) -> str:
        """Explain the meaning of its empty inputs; "" if none needs explaining."""
        argument = self.argument
        if self.is_list or argument.is_needed or self.keeps:
            return hint_of(argument)
        if argument.loose and argument.required:
            means = "Fill this in to add an entry." if argument.value is MISSING else "Empty all of it to remove it."
        else:
            means = "Leave all of it empty for no value." if argument.nullable else "Leave all of it empty to omit it."
        return hint_of(argument, means)


class EnteredTexts:
    """Entered texts in the form's order, and their faults."""

    def __init__(self, texts: list[str]) -> None:
        self._texts = texts
        self.at = 0
        self.wrong: dict[int, str] = {}

    def next(self) -> str:
        """Take the text of the next field."""
        self.at += 1
        return self._texts[self.at - 1]


class Builder:
    """Builder of inputs while there is room.

    The limit also stops a schema that unfolds without end.
    """

    def __init__(self, most: int, draw: Draw) -> None:
        self._left, self._draw = most, draw

    def node(self, argument: Argument, above: tuple[object, ...] = ()) -> "Input | NoInput | Group":
        """Return the inputs of an argument, or the reason why it has none."""
        value, shape = argument.value, _shape(argument)
        if len(argument.path) > _DEEPEST:
            return NoInput.DEEP
        fields = shape.get("properties")
        is_object = isinstance(value, dict) or (argument.is_empty and shape.get("type", "object") == "object")
        is_mixed = any(word in shape for word in ("anyOf", "oneOf", "allOf", "enum", "const"))
        if is_object and isinstance(fields, Mapping) and fields and "" not in fields and not is_mixed:
            if argument.is_empty and any(fields is one for one in above):
                return NoInput.DEEP
            return self._object(argument, fields, shape, (*above, fields))
        self._left -= 1
        if self._left < 0:
            return NoInput.LARGE
        made = self._draw(argument, shape)
        return self._list(argument, shape, above) if made is None else made

    def _object(self, group: Argument, fields: Schema, shape: Schema, above: tuple[object, ...]) -> "NoInput | Group":
        values, shown = ({}, {}) if group.is_empty else (group.value, group.shown)
        if not isinstance(shown, dict) or shown.keys() != values.keys():
            return NoInput.HIDDEN
        if group.is_empty and is_secret(replace(group, value=MISSING)):
            return NoInput.HIDDEN
        loose = group.loose or not group.required or group.nullable
        parts = []
        for name, schema in fields.items():
            argument = argument_of(name, schema, group, values, shown, required=name in (shape.get("required") or ()))
            argument = replace(argument, loose=loose)
            parts.append(Part(name, label_of(name, schema), argument, self.node(argument, above)))
        for name in values:
            if name not in fields:
                rest = Argument(name, values[name], shown[name], {})
                parts.append(Part(name, label_of(name, None), rest, NoInput.UNKNOWN))
        return Group(group, tuple(parts))

    def _list(self, group: Argument, shape: Schema, above: tuple[object, ...]) -> "NoInput | Group":
        """Draw a list as numbered entries, with room for more."""
        values = [] if group.is_empty else group.value
        first = shape.get("prefixItems")
        firsts = first if isinstance(first, list) else []
        entries, _ = without_null(shape.get("items", {}), group.root)
        parts = []
        more = 0 if firsts or not (kinds_in(entries, group.root) or "properties" in entries) else 1 if values else _NEW
        limit = shape.get("maxItems")
        most = min(len(values) + more, limit) if isinstance(limit, int) else len(values) + more
        for number in range(max(len(values), most)):
            known = without_null(firsts[number], group.root)[0] if number < len(firsts) else entries
            held = values[number] if number < len(values) else MISSING
            path = (*group.path, str(number))
            entry = Argument(path[-1], held, held, known, group.root, loose=True, path=path, hidden=group.hidden)
            node = self.node(entry, above)
            if isinstance(node, Input):
                means = "Fill this in to add an entry." if entry.value is MISSING else "Empty it to remove it."
                node = node._replace(hint=hint_of(entry, means))
            if number < len(values) or not isinstance(node, NoInput):
                label = f"{number + 1}" if number < len(values) else f"{number + 1} (new)"
                parts.append(Part(number, label, entry, node))
        return Group(group, tuple(parts)) if parts else NoInput.SHAPELESS


def argument_of(
    name: str, schema: object, group: Argument, values: Mapping[str, Any], shown: Mapping[str, Any], *, required: bool
) -> Argument:
    """Describe one part of an object; one that `values` has not is not passed."""
    known, nullable = without_null(schema, group.root)
    # A definition elsewhere is titled by its class, which does not name the argument.
    known = {**known, "title": schema.get("title") if isinstance(schema, Mapping) else None}
    value, seen = values.get(name, MISSING), shown.get(name, MISSING)
    path = (*group.path, name)
    return Argument(name, value, seen, known, group.root, required, nullable, path=path, hidden=group.hidden)


def _shape(argument: Argument) -> Schema:
    """Return the schema of the held value: of several kinds, the first that fits."""
    schema = argument.schema
    for word in ("anyOf", "oneOf"):
        if not isinstance(parts := schema.get(word), list) or "properties" in schema:
            continue
        known = [resolved(part, argument.root) for part in parts]
        if not argument.is_empty:
            known = [part for part in known if why_not(argument.value, part, argument.root) is None]
        return known[0] if known else {}
    return schema


def fields_of(label: str, node: "Input | NoInput | Group") -> Iterator[tuple[str, Input]]:
    """List the inputs with their labels, in order."""
    if isinstance(node, Input):
        yield label, node
    elif isinstance(node, Group):
        fields = [field for part in node.parts for field in fields_of(_within(label, part), part.node)]
        for at, (name, field) in enumerate(fields):
            hint = " ".join(filter(None, (node.hint, field.hint))) if at == 0 else field.hint
            yield name, field._replace(hint=one_line(hint, 500))


def kept_in(label: str, argument: Argument, node: "Input | NoInput | Group") -> Iterator[tuple[str, NoInput, Argument]]:
    """List the values without an input, with the reasons."""
    if isinstance(node, NoInput):
        yield label, node, argument
    elif isinstance(node, Group):
        for part in node.parts:
            yield from kept_in(_within(label, part), part.argument, part.node)


def _within(label: str, part: Part) -> str:
    if isinstance(part.key, int):
        return f"{label} {part.label}"
    return f"{label}: {part.label}" if label else part.label


def read(label: str, argument: Argument, node: "Input | NoInput | Group", answers: EnteredTexts) -> Any:
    """Read the value of an argument; faults are noted in the answers."""
    if isinstance(node, NoInput):
        return argument.value
    if isinstance(node, Group):
        return _Reading(label, node, answers).value()
    at, text = answers.at, answers.next()
    try:
        return node.read(text)
    except WrongValue as why:
        answers.wrong[at] = str(why)
        return argument.value


class _Reading:
    """One group as it is read: the values of its parts, and where each part's first input is."""

    def __init__(self, label: str, group: Group, answers: EnteredTexts) -> None:
        self._label, self._group, self._answers = label, group, answers
        self._first, sentences = answers.at, len(answers.wrong)
        self._starts: list[int] = []
        self._values: list[Any] = []
        for part in group.parts:
            self._starts.append(answers.at)
            self._values.append(read(_within(label, part), part.argument, part.node, answers))
        self._is_wrong = len(answers.wrong) > sentences

    def value(self) -> Any:
        """Return the group's new value; the original value if nothing was changed."""
        group, held = self._group, self._group.argument
        same = all(new is part.argument.value for new, part in zip(self._values, group.parts, strict=True))
        if self._is_wrong or (same and (held.value is not MISSING or not held.is_needed)):
            return held.value
        blank = all(value is MISSING or value is None for value in self._values)
        if blank and not held.is_needed and not group.keeps:
            return None if held.nullable else MISSING
        made = self._list() if group.is_list else self._object()
        if not made and group.is_list and held.value is MISSING:
            self._answers.wrong[self._first] = NEEDED
        elif wrong := fault(made, held.schema, held.root):
            self._note(wrong)
        return made

    def _list(self) -> list[Any]:
        return [value for value in self._values if value is not MISSING]

    def _object(self) -> dict[str, Any]:
        made: dict[str, Any] = {}
        for part, value in zip(self._group.parts, self._values, strict=True):
            if value is MISSING and part.argument.required and part.argument.nullable:
                made[str(part.key)] = None
            elif value is not MISSING:
                made[str(part.key)] = value
        return made

    def _note(self, wrong: Fault) -> None:
        """Put the sentence under the input that it is about, or the group's first."""
        group, at, label = self._group, self._first, self._label
        there = [n for n, value in enumerate(self._values) if value is not MISSING or not group.is_list]
        keys = [str(at if group.is_list else group.parts[n].key) for at, n in enumerate(there)]
        if wrong.path and wrong.path[0] in keys:
            number = there[keys.index(wrong.path[0])]
            part = group.parts[number]
            label = _within(label, part)
            if any(fields_of("", part.node)):
                at = self._starts[number]
                if len(wrong.path) == 1 and wrong.words == "is missing":
                    self._answers.wrong[at] = NEEDED
                    return
        self._answers.wrong[at] = one_line(f"“{one_line(label, 100)}” {wrong.words}.", 500)
