"""Modals that show all that is judged, to read it or to approve it.

Approval is plain, with a permission (R24), alone (break-glass), or at high risk (R13). Build and parse stand together.
A modal about high risk carries the user it was opened for, and each part opens only after the part before it was sent:
the sender of the last part had all parts open. `countersign.domain.high_risk` judges whether the approval counts.
"""

import json
from typing import Final, NamedTuple

from countersign.domain import high_risk, standing_permissions
from countersign.domain.calls import in_words
from countersign.domain.ids import ChannelId, UserId, digest_of
from countersign.domain.question_salts import asker
from countersign.domain.requests import ABOUT_THE_RUN, Kind, Request, Scope, Status, Verb
from countersign.domain.slash_commands import NAMES
from countersign.domain.standing_permissions import PermissionChoice, Span
from countersign.text.safe_text import Room, quoted, shorten, size_of

from . import button_labels, control_values
from .block_kit import Block, button, context, data, mrkdwn, plain, words
from .control_values import handle_of, metadata
from .decision_details import changes_of
from .modal_parts import FULL, READ, View, about, input_of, modal, read_box, value, words_input
from .reviewed_content import in_full, parts

APPROVE: Final = "approve_request"
PERMIT: Final = "permit_request"
BREAK_GLASS: Final = "break_glass"
SCOPE, SPAN, REASON = "scope", "span", "reason"
_SCOPES: Final = {
    Scope.CALL: ("Exactly this call", "The same agent, values and text"),
    Scope.ARGUMENTS: ("This tool with the same values", "From any agent of the team"),
    Scope.TOOL: ("This tool with any values", "For this team in this channel"),
}
_SPANS: Final = {
    Span.RUN: ("Until this run ends", "A day at most"),
    Span.HOUR: ("For an hour", "Other runs of this team in this channel too"),
    Span.DAY: ("For a day", "Other runs of this team in this channel too"),
}
HIGH_RISK: Final = "review_high_risk"
WORD: Final = "word"
_LONGEST_WORD: Final = 100
"""Characters that may be typed; the word is shorter."""


def full(request: Request) -> View:
    """Draw a whole request; content that does not fit is in the file."""
    blocks, _ = _all_of(request)
    return modal(FULL, "Full request", blocks, None, handle_of(request))


def review(request: Request, channel: ChannelId, *, rejects: bool = True) -> View:
    """Draw all of a request, with buttons that approve and reject it.

    People who must read the file too confirm first that they did.
    """
    blocks, is_all = _all_of(request)
    if not is_all:
        blocks.append(read_box("This window has no room for all of it"))
    blocks += _reject(request) if rejects else []
    return modal(APPROVE, "Review", blocks, _label(request, Verb.APPROVE), metadata(request, channel))


def _reject(request: Request) -> list[Block]:
    """Draw the button that rejects, for people who have read it here."""
    if Verb.REJECT not in request.question.offers:
        return []
    label = f"{_label(request, Verb.REJECT)}…"
    return [{"type": "actions", "elements": [button(label, control_values.REJECT, handle_of(request), "danger")]}]


def _label(request: Request, verb: Verb) -> str:
    return next(button.label for button in button_labels.wording_of(request.question).buttons if button.verb is verb)


def _all_of(request: Request) -> tuple[list[Block], bool]:
    question = request.question
    blocks, is_all = in_full(question, changed=request.status is Status.EDITED)
    if changes := changes_of(request):
        changed = shorten(changes, Room(2500, 8000, 200))
        head = "Filled in" if question.kind is Kind.FORM else "Changed by the reviewer"
        blocks = [words(f"*{head}*"), data([p for p in changed[::2] if p]), *blocks]
    asking = "Asked by the run itself" if question.kind in ABOUT_THE_RUN else f"Asked by {quoted(asker(question), 60)}"
    small = context(plain(f"{asking} · run {request.run}", 150))
    return [about(question), small, *blocks], is_all


def permit(request: Request, channel: ChannelId) -> View:
    """Draw the modal that approves with a permission: for what, and for how long.

    The narrowest is chosen already.
    """
    scopes = {
        one: text
        for one, text in _SCOPES.items()
        if standing_permissions.why_not(request, PermissionChoice(one, Span.HOUR)) is None
    }
    if request.question.kind is Kind.CODE:
        scopes[Scope.ARGUMENTS] = ("This code", "From any agent of the team")
    view = review(request, channel, rejects=False)
    note = context(
        mrkdwn(f"Each use is recorded and shown in its run's thread. To revoke one: `{NAMES.approvals} permissions`.")
    )
    asked = [_radio(SCOPE, "Approve, and don't ask again for", scopes), _radio(SPAN, "How long", _SPANS), note]
    return {
        **view,
        "callback_id": PERMIT,
        "title": plain("Don't ask again", 24),
        "submit": plain("Approve", 24),
        "blocks": [*view["blocks"], *asked],
    }


def wish_of(view: View) -> PermissionChoice:
    """Read the chosen permission. ValueError if it was not offered."""
    return PermissionChoice(Scope(value(view, SCOPE)), Span(value(view, SPAN)))


def break_glass(request: Request, channel: ChannelId) -> View:
    """Draw the modal in which the requester decides alone, with a reason."""
    view = review(request, channel, rejects=False)
    warned = words(
        ":rotating_light: *Break-glass*: you're approving your own request because it can't wait. Everyone who can "
        "decide on it is notified, with your reason, and it is marked in the record."
    )
    reason = words_input(REASON, "Why it can't wait", "The reviewers and the agents read it.", optional=False)
    reason["element"]["min_length"] = 1
    return {
        **view,
        "callback_id": BREAK_GLASS,
        "title": plain("Break glass", 24),
        "submit": plain("Break glass", 24),
        "blocks": [warned, *view["blocks"], reason],
    }


def _radio(block: str, label: str, choices: dict[Scope, tuple[str, str]] | dict[Span, tuple[str, str]]) -> Block:
    options = [
        {"text": plain(text), "value": choice.value, "description": plain(more)}
        for choice, (text, more) in choices.items()
    ]
    element = {"type": "radio_buttons", "action_id": block, "options": options, "initial_option": options[0]}
    return input_of(block, label, element)


class HighRiskModal(NamedTuple):
    """A modal about high risk: its user, its part, and its verb.

    `layout` is the same as long as the content is cut into parts in the same way.
    """

    user: UserId
    part: int
    verb: Verb
    layout: str


def review_part(request: Request, channel: ChannelId, user: UserId, verb: Verb = Verb.APPROVE, part: int = 0) -> View:
    """Draw one part of all that is judged.

    The last part for APPROVE asks for the word and approves; that for EDIT leads to the form.
    """
    made = parts(request.question)
    blocks = [about(request.question), *made[part]]
    if part + 1 < len(made):
        submit = f"Next: part {part + 2} of {len(made)}"
    elif verb is Verb.EDIT:
        submit = "Edit…"
    else:
        submit = _label(request, verb)
        blocks += [*_word(request), *_reject(request)]
    opened = HighRiskModal(user, part, verb, layout(request))
    title = "Review" if len(made) == 1 else f"Review, part {part + 1} of {len(made)}"
    return modal(HIGH_RISK, title, blocks, submit, metadata(request, channel, **opened._asdict()))


def high_risk_edit(view: View, request: Request, user: UserId) -> View:
    """Add the word to the form of Edit, after all of the content was opened."""
    metadata = {**json.loads(view["private_metadata"]), "user": user}
    blocks = [block for block in view["blocks"] if block.get("block_id") != READ]
    return {**view, "blocks": [*blocks, *_word(request)], "private_metadata": json.dumps(metadata)}


def opened(view: View) -> HighRiskModal:
    """Read the metadata of a modal of `review_part`."""
    metadata = json.loads(view["private_metadata"])
    return HighRiskModal(UserId(metadata["user"]), metadata["part"], Verb(metadata["verb"]), metadata["layout"])


def opened_for(view: View) -> UserId | None:
    """Read the user of the form; None if they had not opened all of the content."""
    user = json.loads(view["private_metadata"]).get("user")
    return None if user is None else UserId(user)


def typed_word(view: View) -> str:
    """Read the typed word; "" if the modal did not ask for a word."""
    return value(view, WORD)


def _word(request: Request) -> list[Block]:
    word = high_risk.word(request)
    if not word:
        return []
    element = {"type": "plain_text_input", "action_id": WORD, "max_length": _LONGEST_WORD}
    hint = "Only letters and numbers count, in upper or lower case."
    return [input_of(WORD, f'Type "{in_words(word)}" to approve', element, hint=hint)]


def layout(request: Request) -> str:
    """Digest the cut of the content into parts."""
    return digest_of(*(f"{len(part)} {size_of(part)}" for part in parts(request.question)))[:16]
