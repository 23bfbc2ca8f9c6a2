"""The form that changes a call before it is approved: build and parse.

Made from the tool's own JSON schema. Secrets are not in it and keep their values (R15); what has no room in an input
is kept and named. What comes back is the whole of the changed arguments (R13).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from countersign.domain.calls import canonical
from countersign.domain.decision_rules import LONGEST_WORDS
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId, digest_of
from countersign.domain.redaction import hide_in
from countersign.domain.requests import Question, Request, Verb
from countersign.json_schema import Schema, resolved, without_null

from . import button_labels
from .block_kit import Block, context, heading, plain
from .card_content import has_room, in_full, in_row
from .card_controls import carried
from .form_fields import Argument, Input, Kept, input_of, is_too_long
from .form_values import MISSING, WrongValue
from .modal_parts import View, read_box, value
from .safe_text import quoted, size_of, typed

EDIT: Final = "edit_request"
WHY: Final = "why"
_MOST: Final = 90
"""Inputs; a view has 100 blocks."""
_LARGEST: Final = 240_000
"""Bytes of a view; Slack takes 250,000."""
_NAMED: Final = 20
_OTHER_FORM: Final = (
    "The app was updated while this form was open, and shows it in another way now. Nothing was decided; "
    "please close it and click Edit again."
)
_NO_ARGUMENTS: Final = "With these changes it is no call that could be made. Nothing was decided."


class WrongFields(Exception):
    """Input that cannot be used: block id -> the sentence under it."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        super().__init__(" ".join(dict.fromkeys(fields.values())))


@dataclass(frozen=True, slots=True)
class Form:
    """The inputs of a call's arguments by name, in order; `kept` arguments have none.

    Of a call whose arguments are shown as one JSON text the only name is "".
    """

    inputs: dict[str, Input]
    kept: dict[str, Kept]

    @property
    def print(self) -> str:
        """The same digest for forms that are read in the same way."""
        parts = [f"{name}\n{json.dumps(shown.element, sort_keys=True)}" for name, shown in self.inputs.items()]
        return digest_of(*parts)[:16]


def edit(request: Request, channel: ChannelId) -> View:
    """Draw the form; InvalidInput if this call cannot be changed in one."""
    form = form_of(request.question)
    about = heading("About: ", quoted(request.question.title, 150))
    blocks = [about, context(plain(button_labels.EDIT_TELLS, 150))]
    if has_room(request.question) and not in_row(request.question)[1]:
        # Nobody changes what they have not seen. Only a question that was refused before has more to show, and it is
        # no row.
        blocks += in_full(replace(request.question, call=None, before=""))[0]
    blocks += [_block(f"field_{at}", name, shown) for at, (name, shown) in enumerate(form.inputs.items())]
    if form.kept:
        blocks.append(_kept(form.kept))
    if not has_room(request.question):
        blocks.append(
            read_box("The card has no room for all of it", "I have read all of it, in View full or in the file")
        )
    why: Block = {"type": "plain_text_input", "action_id": WHY, "multiline": True, "max_length": LONGEST_WORDS}
    blocks.append(
        {
            "type": "input",
            "block_id": WHY,
            "label": plain(button_labels.EDIT.label),
            "element": why,
            "optional": True,
            "hint": plain(button_labels.EDIT.hint),
        }
    )
    view: View = {
        "type": "modal",
        "callback_id": EDIT,
        "title": plain(button_labels.EDIT.title, 24),
        "submit": plain(button_labels.EDIT_SUBMIT, 24),
        "close": plain("Cancel"),
        "blocks": blocks,
        "private_metadata": carried(request, channel, form=form.print),
    }
    if size_of(view) > _LARGEST:
        raise InvalidInput(_refused(request.question, "is too large for a form"))
    return view


def read(view: View, question: Question) -> tuple[str, str]:
    """Read the changed arguments as canonical JSON, and the words for the agents.

    WrongFields says what cannot be used.
    """
    form = form_of(question)
    first = first_input(view)
    if json.loads(view["private_metadata"]).get("form") != form.print:
        raise WrongFields({first: _OTHER_FORM})
    found: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for at, (name, shown) in enumerate(form.inputs.items()):
        try:
            found[name] = shown.read(value(view, f"field_{at}"))
        except WrongValue as why:
            wrong[f"field_{at}"] = str(why)
    if wrong:
        raise WrongFields(wrong)
    call = question.call
    assert call is not None, "a form is made of a call"
    arguments = found[""] if "" in form.inputs else json.loads(call.arguments) | found
    try:
        written = canonical({name: inner for name, inner in arguments.items() if inner is not MISSING})
        written.encode()
    except (ValueError, RecursionError):
        raise WrongFields({first: _NO_ARGUMENTS}) from None
    return written, value(view, WHY)


def first_input(view: View) -> str:
    """Return the id of the first block that a sentence can stand under."""
    return next(str(block["block_id"]) for block in view["blocks"] if block["type"] == "input")


@lru_cache(maxsize=16)
def form_of(question: Question) -> Form:
    """Pure, and remembered, because it is built once to be shown and once to be read.

    InvalidInput with a sentence if nothing of the call can be changed in a form.
    """
    call = question.call
    schema = _object(call.schema) if call is not None else {}
    if call is None or not schema:
        raise InvalidInput(_refused(question, "is not one that people can change: its tool does not say what it takes"))
    values = json.loads(call.arguments)
    kept = {name: Kept.LONG for name, inner in values.items() if is_too_long(inner)}
    shown, _ = hide_in({name: inner for name, inner in values.items() if name not in kept}, call.hidden)
    inputs: dict[str, Input] = {}
    for argument in _arguments(resolved(schema, schema), schema, values, shown, call.hidden):
        made = input_of(argument)
        if isinstance(made, Input):
            inputs[argument.name] = made
        elif argument.value is not MISSING:
            kept[argument.name] = made
    if not inputs:
        why = "holds nothing that could be changed in a form"
        raise InvalidInput(_refused(question, f"{why} ({_named(kept)})" if kept else why))
    if len(inputs) > _MOST:
        raise InvalidInput(_refused(question, f"has {len(inputs)} arguments, more than a form has room for"))
    if "" not in inputs:
        kept |= {name: Kept.UNKNOWN for name in values if name not in inputs and name not in kept}
    return Form(inputs, kept)


def _arguments(
    known: Schema, root: Schema, values: dict[str, Any], shown: dict[str, Any], hidden: tuple[str, ...]
) -> list[Argument]:
    """List the properties of the schema that are not too long.

    It is one argument for all if the schema is not of that kind.
    """
    properties = known.get("properties")
    mixed = any(word in known for word in ("anyOf", "oneOf", "allOf"))
    if not isinstance(properties, Mapping) or mixed or "" in properties:
        return [Argument("", values, shown, {**known, "type": "object"}, root)] if len(shown) == len(values) else []
    arguments = []
    for name, schema in properties.items():
        inner, nullable = without_null(schema, root)
        if name in shown:
            value, seen = values[name], shown[name]
        elif name in values:
            continue
        else:
            value, seen = MISSING, None if hide_in({name: "?"}, hidden)[1] else MISSING
        required = name in (known.get("required") or ())
        arguments.append(Argument(name, value, seen, inner, root, required, nullable))
    return arguments


def _object(schema: str) -> Schema:
    try:
        parsed = json.loads(schema) if schema else {}
    except (ValueError, RecursionError):
        return {}
    return parsed if isinstance(parsed, dict) else {}


def _block(block: str, name: str, shown: Input) -> Block:
    made: Block = {
        "type": "input",
        "block_id": block,
        "label": plain(typed(name) or "All arguments", 150),
        "element": {"action_id": "value", **shown.element},
        "optional": shown.optional,
    }
    return {**made, "hint": plain(shown.hint, 500)} if shown.hint else made


def _kept(kept: dict[str, Kept]) -> Block:
    return context(plain(f"Cannot be changed here, and stays as it is: {_named(kept)}", 2500))


def _named(kept: dict[str, Kept]) -> str:
    names = [f"{quoted(name, 60) or 'all arguments'} ({why})" for name, why in kept.items()]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _refused(question: Question, why: str) -> str:
    instead = "reject it with a reason"
    if Verb.RESPOND in question.offers:
        instead += ", or answer with what should change"
    return f"This call {why}. Nothing was decided; you can approve it as it is, {instead}."
