"""Form of a call: its inputs, its kept values, and its reader."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from countersign.domain.calls import Call
from countersign.domain.ids import digest_of
from countersign.domain.redaction import hide_in
from countersign.json_schema import Schema, resolved
from countersign.text.safe_text import quoted, typed

from .arguments import Argument, Input, NoInput, is_too_long, label_of
from .groups import Builder, Draw, EnteredTexts, Group, argument_of, fields_of, kept_in, read
from .values import MISSING

MOST: Final = 90
"""Inputs; a view has 100 blocks."""
_MOST_BUILT: Final = 2000
_NAMED: Final = 20
ALL: Final = "All arguments"


@dataclass(frozen=True, slots=True)
class FormEntry:
    """One argument in a form, or one piece of a text."""

    label: str
    argument: Argument
    node: Input | NoInput | Group


@dataclass(frozen=True, slots=True)
class Form:
    """Entries by name, in order, with their labelled inputs; `kept` values have none.

    Arguments without a description of their own share one entry, whose name is "".
    """

    entries: dict[str, FormEntry]
    fields: tuple[tuple[str, Input], ...]
    kept: tuple[tuple[str, str], ...]

    @property
    def digest(self) -> str:
        """Digest the form; forms that are read in the same way have the same one."""
        parts = [f"{label}\n{json.dumps(field.element, sort_keys=True)}" for label, field in self.fields]
        return digest_of(*parts)[:16]

    @property
    def unfillable(self) -> list[str]:
        """Name the arguments that cannot be filled in: unset, and without an input."""
        kept = [part for entry in self.entries.values() for part in kept_in(entry.label, entry.argument, entry.node)]
        return [label for label, _, argument in kept if argument.value is MISSING]

    def read(self, texts: list[str]) -> tuple[dict[str, Any], dict[int, str]]:
        """Return the values by name, and the faults of inputs by their numbers."""
        answers = EnteredTexts(texts)
        values = {
            name: read(entry.label, entry.argument, entry.node, answers)
            for name, entry in self.entries.items()
            if not isinstance(entry.node, NoInput)
        }
        return values, answers.wrong


def form_of_call(call: Call, draw: Draw) -> Form:
    """Build the form of a call; `draw` makes the inputs."""
    values = json.loads(call.arguments)
    return labelled_form(_with_room(_entries(read_schema(call.schema), values, call.hidden, draw)))


def read_schema(text: str) -> Schema:
    """Read the schema of a call; {} if it is invalid."""
    try:
        parsed = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def list_kept(form: Form) -> str:
    """Name the arguments without an input, with the reasons."""
    names = [f"{quoted(label, 60)} ({why})" for label, why in form.kept]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _entries(schema: Schema, values: dict[str, Any], hidden: tuple[str, ...], draw: Draw) -> dict[str, FormEntry]:
    """Describe the arguments by the schema; one that does not name them gives one entry for all."""
    long = {name for name, value in values.items() if is_too_long(value)}
    shown, _ = hide_in({name: value for name, value in values.items() if name not in long}, hidden)
    known, builder = resolved(schema, schema), Builder(_MOST_BUILT, draw)
    properties = known.get("properties")
    whole = Argument("", values, shown, {**known, "type": "object"}, schema, hidden=hidden)
    entries: dict[str, FormEntry] = {}
    mixed = any(word in known for word in ("anyOf", "oneOf", "allOf"))
    if not isinstance(properties, Mapping) or mixed or "" in properties:
        if len(shown) == len(values):
            node = builder.node(whole)
            return {"": FormEntry("" if isinstance(node, Group) else ALL, whole, node)}
        properties = {}
    for name, part in properties.items():
        required = name in (known.get("required") or ())
        argument = argument_of(name, part, whole, values, shown, required=required)
        node = NoInput.LONG if name in long else builder.node(argument)
        entries[name] = FormEntry(label_of(name, part), argument, node)
    for name, value in values.items():
        if name not in entries:
            rest = Argument(name, value, shown.get(name, MISSING), {})
            entries[name] = FormEntry(label_of(name, None), rest, NoInput.LONG if name in long else NoInput.UNKNOWN)
    return entries


def _with_room(entries: dict[str, FormEntry]) -> dict[str, FormEntry]:
    """Leave out inputs of the largest groups until the others fit in a view."""
    sizes = {name: sum(1 for _ in fields_of("", entry.node)) for name, entry in entries.items()}
    groups = [name for name, entry in entries.items() if isinstance(entry.node, Group)]
    for name in sorted(groups, key=lambda name: (entries[name].argument.value is not MISSING, -sizes[name])):
        if sum(sizes.values()) <= MOST:
            break
        entries = {**entries, name: FormEntry(entries[name].label, entries[name].argument, NoInput.LARGE)}
        sizes[name] = 0
    return entries


def labelled_form(entries: dict[str, FormEntry]) -> Form:
    """Label the inputs in words, or by their names if the words read the same."""
    held = {
        name: entry
        for name, entry in entries.items()
        if not isinstance(entry.node, NoInput) or entry.argument.value is not MISSING
    }
    same = Counter(typed(entry.label).casefold() for entry in held.values())
    labels = {
        name: entry.label if same[typed(entry.label).casefold()] == 1 else name.strip() or entry.label
        for name, entry in held.items()
    }
    fields = [field for name, entry in held.items() for field in fields_of(labels[name], entry.node)]
    kept = [
        (label, str(why))
        for name, entry in held.items()
        for label, why, argument in kept_in(labels[name], entry.argument, entry.node)
        if argument.value is not MISSING
    ]
    labelled = {name: FormEntry(labels[name], entry.argument, entry.node) for name, entry in held.items()}
    return Form(labelled, tuple(_apart(fields)), tuple(kept))


def _apart(fields: list[tuple[str, Input]]) -> list[tuple[str, Input]]:
    """Number the labels of inputs that would read the same."""
    same = Counter(typed(label).casefold() for label, _ in fields)
    seen: Counter[str] = Counter()
    numbered = []
    for label, field in fields:
        looks = typed(label).casefold()
        seen[looks] += 1
        numbered.append((f"{label} ({seen[looks]})" if same[looks] > 1 else label, field))
    return numbered
