"""What Slack shows of standing permissions and of break-glass: windows, the list, the note; pure drawings.

Ids, build and parse stand together. Both windows show all that is judged, as `modals.review` does (R13).
"""

from collections.abc import Sequence
from typing import Final

from countersign.domain import grants
from countersign.domain.decision_rules import LONGEST_WORDS
from countersign.domain.grant_scopes import Scope, Span, Wish
from countersign.domain.grants import Permission
from countersign.domain.ids import ChannelId
from countersign.domain.requests import Kind, Request

from . import modals
from .block_kit import Block, button, context, data, fitting, mrkdwn, plain, words
from .cards import Drawing
from .modals import View
from .outcome_text import WORDS, allows, mentioned, sentence
from .safe_text import quoted, shorten, typed, visible
from .slack_markup import escape, mention, when

PERMIT: Final = "permit_request"
BREAK_GLASS: Final = "break_glass"
REVOKE: Final = "revoke_permission"
SCOPE, SPAN, REASON = "scope", "span", "reason"

_SCOPES: Final = {
    Scope.CALL: ("Exactly this call", "The same agent, arguments and text"),
    Scope.ARGUMENTS: ("This tool with these arguments", "Whichever agent of the team calls it"),
    Scope.TOOL: ("This tool with any arguments", "For this team in this channel"),
}
_SPANS: Final = {
    Span.RUN: ("As long as this run goes on", "A day at most"),
    Span.HOUR: ("For an hour", "Other runs of this team in this channel too"),
    Span.DAY: ("For a day", "Other runs of this team in this channel too"),
}
_LISTED: Final = 20
_NAMED_IN_A_BLOCK: Final = 100


def permit(request: Request, channel: ChannelId) -> View:
    """Approve, and choose what is not asked again and for how long; the narrowest is chosen already."""
    scopes = {s: said for s, said in _SCOPES.items() if grants.why_not(request, Wish(s, Span.HOUR)) is None}
    if request.question.kind is Kind.CODE:
        scopes[Scope.ARGUMENTS] = ("This code", "Whichever agent of the team wants to run it")
    view = modals.review(request, channel)
    told = context(
        mrkdwn("Each use is on record and in its run's thread. `/approvals permissions` lists them and ends them.")
    )
    asked = [_radio(SCOPE, "Approve, and don't ask again for", scopes), _radio(SPAN, "How long", _SPANS), told]
    return {
        **view,
        "callback_id": PERMIT,
        "title": plain("Don't ask again", 24),
        "submit": plain("Approve", 24),
        "blocks": [*view["blocks"], *asked],
    }


def wish_of(view: View) -> Wish:
    """What the window asks for. ValueError if it holds nothing that we offered."""
    return Wish(Scope(modals.value(view, SCOPE)), Span(modals.value(view, SPAN)))


def break_glass(request: Request, channel: ChannelId) -> View:
    """The requester decides alone; the reason may not stay empty."""
    view = modals.review(request, channel)
    warned = words(
        ":rotating_light: *Break-glass*: you approve what you started yourself, because it cannot wait. Everybody who "
        "may decide on it is told, with your reason, and it is marked in the record."
    )
    reason: Block = {
        "type": "input",
        "block_id": REASON,
        "label": plain("Why it cannot wait"),
        "element": {
            "type": "plain_text_input",
            "action_id": REASON,
            "multiline": True,
            "min_length": 1,
            "max_length": LONGEST_WORDS,
        },
        "hint": plain("Everybody named reads it, and the agents do."),
        "optional": False,
    }
    return {
        **view,
        "callback_id": BREAK_GLASS,
        "title": plain("Break glass", 24),
        "submit": plain("Break glass", 24),
        "blocks": [warned, *view["blocks"], reason],
    }


def break_glass_note(request: Request, row: int = 0) -> Drawing:
    """In the card's thread, once: everybody who was named is told that nobody waited for them. `row` is the request's
    number on a card with several."""
    decision, reviewers = request.decision, request.rules.reviewers
    assert decision is not None, "only what was decided is told"
    names = mentioned(reviewers)
    told = [" ".join(names[at : at + _NAMED_IN_A_BLOCK]) for at in range(0, len(names), _NAMED_IN_A_BLOCK)]
    short, hidden, rest = shorten(visible(typed(decision.words)).strip(), WORDS)
    what = f"row {row} of this card" if row else "it"
    text = f"{sentence(request, decision)} You were named to decide on {what}; please look at what was done."
    blocks = [*(words(part) for part in told), words(text), data([part for part in (short, rest) if part])]
    if hidden:
        blocks.append(words(f"_{hidden:,} characters in between are not shown here; the agents have them all._"))
    return Drawing(f"{text} {' '.join(names)}", blocks)


def listed(found: Sequence[Permission]) -> tuple[str, list[Block]]:
    """Permissions in force, the first to end first, each with a button that revokes it."""
    if not found:
        return "No standing permission is in force here; people are asked about everything that needs them.", []
    many = len(found)
    head = f"{many} standing permission{'s are' if many > 1 else ' is'} in force here"
    lines = [[{**words(line(one)), "accessory": button("Revoke", REVOKE, one.id)}] for one in found[:_LISTED]]
    blocks, shown = fitting(head, lines)
    if many > shown:
        blocks.append(context(plain(f"and {many - shown} that end later")))
    return head, blocks


def line(one: Permission, place: str = "") -> str:
    """What it allows, who gave it, until when and how often it was used, in mrkdwn; `place` where that is not known."""
    used = "not used yet" if not one.used else f"used {'once' if one.used == 1 else f'{one.used:,} times'}"
    run = f" in run `{one.run}`" if one.run else ""
    return (
        f"*{escape(quoted(one.team, 40))}* may run {allows(one.scope, one.kind, one.tool)}{place}{run}\n"
        f"given by {mention(one.by)} · ends {when(one.until)} · {used} · `{one.id}`"
    )


def _radio(block: str, label: str, choices: dict[Scope, tuple[str, str]] | dict[Span, tuple[str, str]]) -> Block:
    options = [
        {"text": plain(text), "value": choice.value, "description": plain(more)}
        for choice, (text, more) in choices.items()
    ]
    element = {"type": "radio_buttons", "action_id": block, "options": options, "initial_option": options[0]}
    return {"type": "input", "block_id": block, "label": plain(label), "element": element, "optional": False}
