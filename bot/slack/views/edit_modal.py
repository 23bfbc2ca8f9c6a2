"""Build and parse the form that changes a call, a text or code before approval.

The form of a call is made from the tool's JSON schema. Secrets are not in it and keep their values (R15); a value that
does not fit in an input is kept, and the form names it. The form returns the changed arguments whole (R13). A text that
is too long for one input is cut after a line; unchanged text comes back identical.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final, NamedTuple

from countersign.domain.calls import blocks_in, canonical
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId
from countersign.domain.requests import Kind, Question, Request, Verb
from countersign.json_schema import resolved
from countersign.text.safe_text import pieces, quoted, size_of, typed, visible

from ...forms.arguments import Argument, Input
from ...forms.form import MOST, Form, FormEntry, form_of_call, labelled_form, list_kept, read_schema
from ...forms.values import MISSING
from . import button_labels
from .block_kit import Block, context, plain
from .control_values import metadata
from .form_fields import input_of, typed_input
from .modal_parts import View, about, modal, read_box, value, words_input
from .reviewed_content import has_room, in_full, in_row

EDIT: Final = "edit_request"
WHY: Final = "why"
_LARGEST: Final = 240_000
"""Bytes of a view; Slack takes 250,000."""
_PIECE: Final = 2500
"""Characters of an input for text at first: it holds 3,000, so there is room to write."""
_MOST_PIECES: Final = 40
"""Inputs for a text: together they hold more than a card and its window ever show."""
_OTHER_FORM: Final = (
    "The app was updated while this form was open. Nothing was decided; close it and click {edit} again."
)
_NO_ARGUMENTS: Final = "With these changes the call can't be made. Nothing was decided."
_NO_TEXT: Final = (
    "This text can't be edited here: {why}. Nothing was decided. Approve it as it is, reject it, or request changes."
)
_HIDDEN_PARTS: Final = "it has hidden characters, or what looks like a secret, which would not come back unchanged"


class WrongFields(Exception):
    """Input that cannot be used: block id -> the sentence under it."""

    def __init__(self, fields: dict[str, str]) -> None:
        self.fields = fields
        super().__init__(" ".join(dict.fromkeys(fields.values())))


class Changed(NamedTuple):
    """A changed call or code, as canonical arguments, or a text; with the reason."""

    arguments: str
    content: str
    words: str


def edit(request: Request, channel: ChannelId) -> View:
    """Draw the form; InvalidInput if this call cannot be changed in one."""
    question = request.question
    form, is_text = form_of(question), _is_text(question)
    filled_in = question.kind is Kind.FORM
    words = button_labels.FILL_IN if filled_in else button_labels.EDIT
    blocks = [about(question)]
    if not filled_in:
        blocks.append(context(plain(button_labels.EDIT_TELLS if question.call else button_labels.EDIT_TEXT_TELLS, 150)))
    if not is_text and has_room(question) and not in_row(question)[1]:
        # People must see content before they change it, and a row does not show all of it. A row has no `before`: a
        # question # that was refused before has a card of its own.
        blocks += in_full(replace(question, call=None, before=""))[0]
    blocks += _inputs(form)
    if form.kept:
        blocks.append(context(plain(f"Cannot be changed here, and stays as it is: {list_kept(form)}", 2500)))
    if not is_text and not has_room(question):
        blocks.append(
            read_box("The card has no room for all of it", "I have read all of it, in Details or in the file")
        )
    blocks.append(words_input(WHY, words.label, words.hint, optional=True))
    submit = "Send" if filled_in else button_labels.EDIT_SUBMIT
    view = modal(EDIT, words.title, blocks, submit, metadata(request, channel, form=form.digest))
    if size_of(view) > _LARGEST:
        raise InvalidInput(_no_form(question, "is too large for a form"))
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
    names = properties if isinstance(properties, Mapping) else {}
    missing = [*(name for name in names if name not in form.entries), *form.unfillable]
    if not form.fields or "" in form.entries or missing:
        which = "It cannot show " + ", ".join(quoted(name, 60) for name in missing[:20]) if missing else ""
        raise InvalidInput(
            f"Slack can show a form of 1 to {MOST} named fields: texts, numbers, choices, lists and groups of them; it "
            f"takes no secrets. {which or 'This schema describes no such form'}. Nothing was asked."
        )
    if size_of(_inputs(form)) > _LARGEST // 2:
        raise InvalidInput("This form is too large for a window in Slack. Nothing was asked.")


def read(view: View, question: Question) -> Changed:
    """Read what was changed, and why. WrongFields if an input cannot be used."""
    form = form_of(question)
    first = first_input(view)
    if json.loads(view["private_metadata"]).get("form") != form.digest:
        raise WrongFields({first: _OTHER_FORM.format(edit=button_labels.label_of(question, Verb.EDIT))})
    entered, wrong = form.read([value(view, f"field_{at}") for at in range(len(form.fields))])
    if wrong:
        raise WrongFields({f"field_{at}": sentence for at, sentence in wrong.items()})
    if _is_text(question):
        return Changed(*_joined(question, entered), value(view, WHY))
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
    if _is_text(question):
        return labelled_form(_text_entries(question))
    call = question.call
    if call is None or not read_schema(call.schema):
        raise InvalidInput(_no_form(question, "is not one that people can change: its tool does not say what it takes"))
    form = form_of_call(call, input_of)
    if len(form.fields) > MOST:
        raise InvalidInput(_no_form(question, f"has {len(form.fields)} arguments, more than a form has room for"))
    if not form.fields:
        why = "holds nothing that could be changed in a form"
        raise InvalidInput(_no_form(question, f"{why} ({list_kept(form)})" if form.kept else why))
    return form


def _no_form(question: Question, why: str) -> str:
    instead = "reject it with a reason"
    if Verb.RESPOND in question.offers:
        instead += f", or use {button_labels.label_of(question, Verb.RESPOND)}"
    return f"This call {why}. Nothing was decided; you can approve it as it is, {instead}."


def _inputs(form: Form) -> list[Block]:
    return [_input(f"field_{at}", label, shown) for at, (label, shown) in enumerate(form.fields)]


def _input(block: str, label: str, shown: Input) -> Block:
    """Draw an input whose label and hint may be longer than ours."""
    made: Block = {
        "type": "input",
        "block_id": block,
        "label": plain(typed(label), 150),
        "element": {"action_id": "value", **shown.element},
        "optional": shown.optional,
    }
    return {**made, "hint": plain(shown.hint, 500)} if shown.hint else made


def _is_text(question: Question) -> bool:
    """Tell whether a text is judged, and not the fields of a call."""
    return question.kind in (Kind.MESSAGE, Kind.CODE)


def _text_entries(question: Question) -> dict[str, FormEntry]:
    """Cut the text into labelled inputs. InvalidInput if an input would change it."""
    entries = {}
    for label, text in _texts(question):
        if visible(typed(text)) != text:  # a secret may be on both sides of a cut
            raise InvalidInput(_NO_TEXT.format(why=_HIDDEN_PARTS))
        cuts = _cut(text)
        for number, piece in enumerate(cuts, 1):
            name = f"{label}, part {number} of {len(cuts)}" if len(cuts) > 1 else label
            entries[name] = _text_entry(name, piece, whole=len(cuts) == 1)
    if len(entries) > _MOST_PIECES:
        raise InvalidInput(_NO_TEXT.format(why="it is too long"))
    return entries


def _text_entry(label: str, text: str, *, whole: bool) -> FormEntry:
    argument = Argument(label, text, text, {"type": "string"}, required=whole)
    made = typed_input(argument, text, str, multiline=True)
    if not isinstance(made, Input):
        raise InvalidInput(_NO_TEXT.format(why=_HIDDEN_PARTS))
    return FormEntry(label, argument, made._replace(hint="" if whole else "Leave it empty to cut this part."))


def _joined(question: Question, entered: Mapping[str, object]) -> tuple[str, str]:
    """Return the changed arguments of code, or the changed content."""
    values = iter(entered.values())
    parts = [[next(values) for _ in _cut(text)] for _, text in _texts(question)]
    texts = ["\n".join(piece for piece in part if isinstance(piece, str)) for part in parts]
    if question.call is None:
        return "", texts[0]
    blocks = blocks_in(json.loads(question.call.arguments)) or []
    changed = [{"language": language, "code": text} for (language, _), text in zip(blocks, texts, strict=True)]
    return canonical({"blocks": changed}), ""


def _texts(question: Question) -> Sequence[tuple[str, str]]:
    """Return the texts, each with its label."""
    if question.call is None:
        return [("Text", question.content)]
    blocks = blocks_in(json.loads(question.call.arguments))
    if blocks is None:
        raise InvalidInput(_NO_TEXT.format(why="its code could not be read"))
    if len(blocks) == 1:
        return [("Code", blocks[0][1])]
    return [(f"Block {number}, {language or 'code'}", text) for number, (language, text) in enumerate(blocks, 1)]


def _cut(text: str) -> list[str]:
    """Cut a text after lines, to be joined by line feeds.

    InvalidInput if a line is too long.
    """
    cut = list(pieces(text, _PIECE))
    if any(not piece.endswith("\n") for piece in cut[:-1]):
        raise InvalidInput(_NO_TEXT.format(why="one of its lines is too long for an input"))
    return [piece.removesuffix("\n") for piece in cut[:-1]] + cut[-1:]
