"""Form that changes a call, a text or code before it is approved: build and parse.

Made from the tool's own JSON schema. Secrets are not in it and keep their values (R15); what has no room in an input
is kept and named. The form gives back the changed arguments whole (R13).
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, NamedTuple

from countersign.domain.calls import canonical
from countersign.domain.decision_rules import LONGEST_WORDS
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId, digest_of
from countersign.domain.redaction import hide_in
from countersign.domain.requests import Kind, Question, Request, Verb
from countersign.json_schema import Schema, resolved, without_null
from countersign.text.safe_text import quoted, size_of, typed

from . import button_labels
from .block_kit import Block, context, heading, plain
from .card_content import has_room, in_full, in_row
from .card_controls import carried
from .form_fields import Argument, Input, Kept, input_of, is_too_long, label_of
from .form_values import MISSING, WrongValue
from .modal_parts import View, read_box, value
from .text_edit import ODD, REFUSED, Piece, is_text, joined, pieces_of

EDIT: Final = "edit_request"
WHY: Final = "why"
_MOST: Final = 90
"""Inputs; a view has 100 blocks."""
_LARGEST: Final = 240_000
"""Bytes of a view; Slack takes 250,000."""
_NAMED: Final = 20
_OTHER_FORM: Final = "The app was updated while this form was open. Nothing was decided; close it and click Edit again."
_NO_ARGUMENTS: Final = "With these changes the call can't be made. Nothing was decided."


class WrongFields(Exception):
    """Input that cannot be used: block id -> the sentence under it."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        super().__init__(" ".join(dict.fromkeys(fields.values())))


@dataclass(frozen=True, slots=True)
class Form:
    """Inputs of a call's arguments by name, in order; `kept` arguments have none.

    Arguments that are shown as one JSON text have the name "". `labels` are what people read, of both.
    """

    inputs: dict[str, Input]
    kept: dict[str, Kept]
    labels: dict[str, str]

    @property
    def print(self) -> str:
        """Digest the form; forms that are read in the same way have the same one."""
        parts = [f"{name}\n{json.dumps(shown.element, sort_keys=True)}" for name, shown in self.inputs.items()]
        return digest_of(*parts)[:16]


def edit(request: Request, channel: ChannelId) -> View:
    """Draw the form; InvalidInput if this call cannot be changed in one."""
    form, text = form_of(request.question), is_text(request.question)
    about = heading("About: ", quoted(request.question.title, 150))
    filled = request.question.kind is Kind.FORM
    words = button_labels.FILL_IN if filled else button_labels.EDIT
    tells = button_labels.EDIT_TELLS if request.question.call else button_labels.EDIT_TEXT_TELLS
    blocks = [about] if filled else [about, context(plain(tells, 150))]
    if not text and has_room(request.question) and not in_row(request.question)[1]:
        # Nobody changes what they have not seen. Only a question that was refused before has more to show, and it is
        # no row.
        blocks += in_full(replace(request.question, call=None, before=""))[0]
    blocks += _fields(form)
    if form.kept:
        blocks.append(_kept(form))
    if not text and not has_room(request.question):
        blocks.append(
            read_box("The card has no room for all of it", "I have read all of it, in Details or in the file")
        )
    why: Block = {"type": "plain_text_input", "action_id": WHY, "multiline": True, "max_length": LONGEST_WORDS}
    blocks.append(
        {
            "type": "input",
            "block_id": WHY,
            "label": plain(words.label),
            "element": why,
            "optional": True,
            "hint": plain(words.hint),
        }
    )
    view: View = {
        "type": "modal",
        "callback_id": EDIT,
        "title": plain(words.title, 24),
        "submit": plain("Send" if filled else button_labels.EDIT_SUBMIT, 24),
        "close": plain("Cancel"),
        "blocks": blocks,
        "private_metadata": carried(request, channel, form=form.print),
    }
    if size_of(view) > _LARGEST:
        raise InvalidInput(_refused(request.question, "is too large for a form"))
    return view


def check_form(question: Question) -> None:
    """Check that Slack can show each field of a program's form.

    InvalidInput, with the fields that it cannot show.
    """
    call = question.call
    assert call is not None, "a form is kept as a call"
    schema = _object(call.schema)
    named = resolved(schema, schema).get("properties")
    try:
        form = form_of(question)
    except (InvalidInput, RecursionError):
        form = Form({}, {}, {})
    missing = [name for name in named if name not in form.inputs] if isinstance(named, Mapping) else []
    if not form.inputs or "" in form.inputs or missing:
        which = "It cannot show " + ", ".join(quoted(name, 60) for name in missing[:_NAMED]) if missing else ""
        raise InvalidInput(
            f"Slack can show a form of 1 to {_MOST} named fields: texts, numbers, choices, lists of them, and JSON; it "
            f"takes no secrets. {which or 'This schema describes no such form'}. Nothing was asked."
        )
    if size_of(_fields(form)) > _LARGEST // 2:
        raise InvalidInput("This form is too large for a window in Slack. Nothing was asked.")


class Changed(NamedTuple):
    """A changed call or code, as canonical arguments, or a text; with the reason."""

    arguments: str
    content: str
    words: str


def read(view: View, question: Question) -> Changed:
    """Read what was changed, and why. WrongFields if an input cannot be used."""
    form = form_of(question)
    first = first_input(view)
    if json.loads(view["private_metadata"]).get("form") != form.print:
        raise WrongFields({first: _OTHER_FORM})
    entered: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for at, (name, shown) in enumerate(form.inputs.items()):
        try:
            entered[name] = shown.read(value(view, f"field_{at}"))
        except WrongValue as why:
            wrong[f"field_{at}"] = str(why)
    if wrong:
        raise WrongFields(wrong)
    if is_text(question):
        return Changed(*joined(question, entered), value(view, WHY))
    call = question.call
    assert call is not None, "a form is made of a call"
    arguments = entered[""] if "" in form.inputs else json.loads(call.arguments) | entered
    try:
        written = canonical({name: inner for name, inner in arguments.items() if inner is not MISSING})
        written.encode()
    except (ValueError, RecursionError):
        raise WrongFields({first: _NO_ARGUMENTS}) from None
    return Changed(written, "", value(view, WHY))


def first_input(view: View) -> str:
    """Return the id of the first block that a sentence can stand under."""
    return next(str(block["block_id"]) for block in view["blocks"] if block["type"] == "input")


@lru_cache(maxsize=16)
def form_of(question: Question) -> Form:
    """Build the form of a call, cached because showing and reading need the same one.

    InvalidInput if nothing of the call can be changed in a form.
    """
    if is_text(question):
        pieces = {piece.label: _input_of(piece) for piece in pieces_of(question)}
        return Form(pieces, {}, {label: label for label in pieces})
    call = question.call
    schema = _object(call.schema) if call is not None else {}
    if call is None or not schema:
        raise InvalidInput(_refused(question, "is not one that people can change: its tool does not say what it takes"))
    values = json.loads(call.arguments)
    kept = {name: Kept.LONG for name, inner in values.items() if is_too_long(inner)}
    shown, _ = hide_in({name: inner for name, inner in values.items() if name not in kept}, call.hidden)
    inputs: dict[str, Input] = {}
    known = resolved(schema, schema)
    for argument in _arguments(known, schema, values, shown, call.hidden):
        made = input_of(argument)
        if isinstance(made, Input):
            inputs[argument.name] = made
        elif argument.value is not MISSING:
            kept[argument.name] = made
    if len(inputs) > _MOST:
        raise InvalidInput(_refused(question, f"has {len(inputs)} arguments, more than a form has room for"))
    if inputs and "" not in inputs:
        kept |= {name: Kept.UNKNOWN for name in values if name not in inputs and name not in kept}
    form = Form(inputs, kept, _labels([*inputs, *kept], known.get("properties")))
    if not inputs:
        why = "holds nothing that could be changed in a form"
        raise InvalidInput(_refused(question, f"{why} ({_named(form)})" if kept else why))
    return form


def _labels(names: Sequence[str], properties: object) -> dict[str, str]:
    """Label the arguments in words; those whose labels would read the same keep their names."""
    of = properties if isinstance(properties, Mapping) else {}
    labels = {name: label_of(name, of.get(name)) or "All arguments" for name in names}
    same = Counter(typed(label).casefold() for label in labels.values())
    return {
        name: label if same[typed(label).casefold()] == 1 else name.strip() or label for name, label in labels.items()
    }


def _input_of(piece: Piece) -> Input:
    made = input_of(Argument(piece.label, piece.text, piece.text, {"type": "string"}, required=piece.whole))
    if not isinstance(made, Input):
        raise InvalidInput(REFUSED.format(why=ODD))
    hint = "" if piece.whole else "Leave it empty to cut this part."
    return made._replace(element={**made.element, "multiline": True}, hint=hint)


def _arguments(
    known: Schema, root: Schema, values: dict[str, Any], shown: dict[str, Any], hidden: tuple[str, ...]
) -> list[Argument]:
    """List the arguments by the schema, except those that are too long.

    A schema that does not name them gives one argument for all.
    """
    properties = known.get("properties")
    mixed = any(word in known for word in ("anyOf", "oneOf", "allOf"))
    if not isinstance(properties, Mapping) or mixed or "" in properties:
        return [Argument("", values, shown, {**known, "type": "object"}, root)] if len(shown) == len(values) else []
    arguments = []
    for name, schema in properties.items():
        inner, nullable = without_null(schema, root)
        # A definition elsewhere is titled by its class, which does not name the argument.
        inner = {**inner, "title": schema.get("title") if isinstance(schema, Mapping) else None}
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


def _fields(form: Form) -> list[Block]:
    return [_block(f"field_{at}", form.labels[name], shown) for at, (name, shown) in enumerate(form.inputs.items())]


def _block(block: str, label: str, shown: Input) -> Block:
    made: Block = {
        "type": "input",
        "block_id": block,
        "label": plain(typed(label), 150),
        "element": {"action_id": "value", **shown.element},
        "optional": shown.optional,
    }
    return {**made, "hint": plain(shown.hint, 500)} if shown.hint else made


def _kept(form: Form) -> Block:
    return context(plain(f"Cannot be changed here, and stays as it is: {_named(form)}", 2500))


def _named(form: Form) -> str:
    names = [f"{quoted(form.labels[name], 60)} ({why})" for name, why in form.kept.items()]
    return ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def _refused(question: Question, why: str) -> str:
    instead = "reject it with a reason"
    if Verb.RESPOND in question.offers:
        instead += ", or answer with what should change"
    return f"This call {why}. Nothing was decided; you can approve it as it is, {instead}."
