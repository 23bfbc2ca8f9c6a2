"""Form that changes a call, a text or code before it is approved: build and parse.

Made from the tool's own JSON schema. Secrets are not in it and keep their values (R15); what has no room in an input
is kept and named. The form gives back the changed arguments whole (R13).
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from countersign.domain.calls import canonical
from countersign.domain.decision_rules import LONGEST_WORDS
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId
from countersign.domain.requests import Kind, Question, Request, Verb
from countersign.json_schema import resolved
from countersign.text.safe_text import quoted, size_of, typed

from ...forms.arguments import Argument, Input
from ...forms.form import MOST, Entry, Form, form_of_call, labelled_form, list_kept, read_schema
from ...forms.values import MISSING
from . import button_labels
from .block_kit import Block, context, heading, plain
from .card_content import has_room, in_full, in_row
from .card_controls import carried
from .form_fields import input_of, typed_input
from .modal_parts import View, read_box, value
from .text_edit import ODD, REFUSED, Piece, is_text, joined, pieces_of

EDIT: Final = "edit_request"
WHY: Final = "why"
_LARGEST: Final = 240_000
"""Bytes of a view; Slack takes 250,000."""
_OTHER_FORM: Final = "The app was updated while this form was open. Nothing was decided; close it and click Edit again."
_NO_ARGUMENTS: Final = "With these changes the call can't be made. Nothing was decided."


class WrongFields(Exception):
    """Input that cannot be used: block id -> the sentence under it."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        super().__init__(" ".join(dict.fromkeys(fields.values())))


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
        "private_metadata": carried(request, channel, form=form.digest),
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
    schema = read_schema(call.schema)
    properties = resolved(schema, schema).get("properties")
    try:
        form = form_of(question)
    except (InvalidInput, RecursionError):
        form = Form({}, (), ())
    wanted = properties if isinstance(properties, Mapping) else {}
    missing = [*(name for name in wanted if name not in form.entries), *form.unfillable]
    if not form.fields or "" in form.entries or missing:
        which = "It cannot show " + ", ".join(quoted(name, 60) for name in missing[:20]) if missing else ""
        raise InvalidInput(
            f"Slack can show a form of 1 to {MOST} named fields: texts, numbers, choices, lists and groups of them; it "
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
    if json.loads(view["private_metadata"]).get("form") != form.digest:
        raise WrongFields({first: _OTHER_FORM})
    entered, wrong = form.read([value(view, f"field_{at}") for at in range(len(form.fields))])
    if wrong:
        raise WrongFields({f"field_{at}": sentence for at, sentence in wrong.items()})
    if is_text(question):
        return Changed(*joined(question, entered), value(view, WHY))
    call = question.call
    assert call is not None, "a form is made of a call"
    arguments = entered[""] if "" in form.entries else json.loads(call.arguments) | entered
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
    """Build the form of a question; cached, as showing and reading need the same.

    InvalidInput if nothing of it can be changed in a form.
    """
    if is_text(question):
        return labelled_form({piece.label: _entry(piece) for piece in pieces_of(question)})
    call = question.call
    if call is None or not read_schema(call.schema):
        raise InvalidInput(_refused(question, "is not one that people can change: its tool does not say what it takes"))
    form = form_of_call(call, input_of)
    if len(form.fields) > MOST:
        raise InvalidInput(_refused(question, f"has {len(form.fields)} arguments, more than a form has room for"))
    if not form.fields:
        why = "holds nothing that could be changed in a form"
        raise InvalidInput(_refused(question, f"{why} ({list_kept(form)})" if form.kept else why))
    return form


def _entry(piece: Piece) -> Entry:
    argument = Argument(piece.label, piece.text, piece.text, {"type": "string"}, required=piece.whole)
    made = typed_input(argument, piece.text, str)
    if not isinstance(made, Input):
        raise InvalidInput(REFUSED.format(why=ODD))
    hint = "" if piece.whole else "Leave it empty to cut this part."
    return Entry(piece.label, argument, made._replace(element={**made.element, "multiline": True}, hint=hint))


def _refused(question: Question, why: str) -> str:
    instead = "reject it with a reason"
    if Verb.RESPOND in question.offers:
        instead += ", or answer with what should change"
    return f"This call {why}. Nothing was decided; you can approve it as it is, {instead}."


def _fields(form: Form) -> list[Block]:
    return [_block(f"field_{at}", label, shown) for at, (label, shown) in enumerate(form.fields)]


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
    return context(plain(f"Cannot be changed here, and stays as it is: {list_kept(form)}", 2500))
