"""Cards on which people decide: of one request, or of a batch with a row for each.

All blocks of one message together hold about 13.2 kB (undocumented, slackapi/bolt-js #2509); what has no room is
counted on the card, and is in the modal behind "View full" and in a file (R14). Nothing is decided for more than one
row (R1, R26): each button carries the id of its own request. What applies to all rows stands once below them.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Final

from countersign.domain import grants, high_risk
from countersign.domain.decision_rules import may_break_glass
from countersign.domain.delegation import Absence, deciders
from countersign.domain.ids import RequestId
from countersign.domain.questions import asker
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import Decision, Request, Status, Verb
from countersign.domain.runs import Run

from . import button_labels, card_controls, choice_controls
from .block_kit import TITLE, Block, Drawing, button, context, data, heading, mrkdwn, plain, words
from .card_content import UNFILED, complete, has_room, in_row, on_card
from .card_controls import Handle, MenuItem
from .request_text import (
    asks,
    changes_of,
    details,
    expiry,
    how_it_waits,
    named,
    sentence,
    stand_ins,
    standing_of,
    votes,
    why_me,
)
from .safe_text import Room, one_line, quoted, shorten, typed
from .slack_markup import escape, link, mention

_NAMED: Final = Room(100, 150, 1)
"""Of who asks for what in a row's first line; a longer one is cut, and the full view has it."""
_SAID: Final = Room(160, 260, 1)
"""Of what was changed or said; the note in the run's thread has all."""
_TOOLS: Final = 4
_SETTLED: Final = {
    Status.APPROVED: "approved",
    Status.EDITED: "approved with changes",
    Status.ANSWERED: "answered",
    Status.REJECTED: "rejected",
    Status.EXPIRED: "expired",
    Status.WITHDRAWN: "withdrawn",
}
_FROM_THE_MENU: Final = {Verb.EDIT: MenuItem.EDIT, Verb.RESPOND: MenuItem.RESPOND}
_ACTIONS: Final = {
    Verb.APPROVE: card_controls.APPROVE,
    Verb.REJECT: card_controls.REJECT,
    Verb.RESPOND: card_controls.RESPOND,
    Verb.EDIT: card_controls.EDIT,
    Verb.CHOOSE: choice_controls.CHOOSE,
}


def card(
    request: Request, *, run: Run, run_link: str | None, away: Iterable[Absence] = (), filed: bool = True
) -> Drawing:
    """Draw the card of a request; a settled one has no buttons that decide.

    `away`: people who are not here. Not `filed`: the file with all of it could not be uploaded.
    """
    team, title = quoted(run.team, 40), quoted(request.question.title, TITLE)
    place = f"For {mention(request.requester)} in {mention(request.channel)}" + (
        f" · {link(run_link, 'the run')}" if run_link else ""
    )
    question, pending = request.question, request.decision is None
    who, wish = asks(question, team, title)
    asking = f"team {run.team}" if question.call else f"agent {asker(question)}"
    small = context(mrkdwn(place), plain(f"{asking} · run {run.id}", 60))
    view_full = button("View full", card_controls.VIEW_FULL, Handle(request.id, request.digest).write())
    blocks = [heading(who, wish), small, *on_card(question, view_full, pending=pending, filed=filed)]
    if request.decision is not None:
        return Drawing(
            _settled_text(request, request.decision, team, title), blocks + _outcome(request, request.decision)
        )
    if Verb.APPROVE in question.offers and high_risk.is_asked(request, Verb.APPROVE):
        blocks.append(words(button_labels.HIGH_RISK if high_risk.word(request) else button_labels.HIGH_RISK_OF_SEVERAL))
    if request.rules.quorum > 1:
        blocks.append(votes(request))
    blocks += [_deadline(request), *how_it_waits(request)]
    own = " · the requester may decide too" if request.rules.own_requests else ""
    if may_break_glass(request) and Verb.APPROVE in question.offers:
        own += " · in an emergency the requester alone, with a reason that you all read"
    decides = named(deciders(request), stand_ins(request, away))
    blocks.append(context(mrkdwn(f"May decide: {decides}{own}"), *why_me(request)))
    blocks.append(
        {"type": "actions", "block_id": "decide", "elements": [*_buttons(request), card_controls.menu(request)]}
    )
    wants = escape(who + wish) if question.call else f"{escape(team)} asks for a decision: {escape(title)}"
    return Drawing(f"{wants} (for {mention(request.requester)})", blocks)


def batch(
    rows: Sequence[Request],
    *,
    run: Run,
    run_link: str | None,
    away: Iterable[Absence] = (),
    unfiled: Container[RequestId] = (),
) -> Drawing:
    """Draw the card of one request, or of a batch with a row for each.

    `away`: people who are not here. `unfiled`: requests whose file could not be uploaded.
    """
    if len(rows) == 1:
        return card(rows[0], run=run, run_link=run_link, away=away, filed=rows[0].id not in unfiled)
    first, team = rows[0], quoted(run.team, 40)
    place = f"For {mention(first.requester)} in {mention(first.channel)}" + (
        f" · {link(run_link, 'the run')}" if run_link else ""
    )
    waiting = [row for row in rows if row.status is Status.PENDING]
    asks, stand = f" asks for {len(rows)} decisions", how_they_stand(rows)
    small = context(mrkdwn(place), plain(f"run {run.id}", 60), mrkdwn(stand))
    if lost := [str(number) for number, row in enumerate(rows, 1) if row.id in unfiled]:
        small["elements"].append(mrkdwn(f"{UNFILED} (row {', '.join(lost)})"))
    blocks = [heading(_cut(team), asks), small]
    for number, row in enumerate(rows, 1):
        blocks += [{"type": "divider"}, *_row(number, row)]
    if waiting:
        blocks += [{"type": "divider"}, *_for_all(waiting, away)]
    return Drawing(f"{escape(team)}{asks}: {escape(tools(rows))} (for {mention(first.requester)}) – {stand}", blocks)


def how_they_stand(rows: Sequence[Request]) -> str:
    """Count the rows by state: `2 of 5 wait · 1 approved · 2 rejected`."""
    count = Counter(row.status for row in rows)
    parts = [f"{count[Status.PENDING]} of {len(rows)} wait" if count[Status.PENDING] else "none waits any more"]
    return " · ".join(parts + [f"{count[one]} {_SETTLED[one]}" for one in _SETTLED if count[one]])


def tools(rows: Sequence[Request]) -> str:
    """List the tools to be run, each once: `refund ×3, mail`."""
    count = Counter(quoted(row.question.call.tool if row.question.call else row.question.title, 40) for row in rows)
    names = [f"{name} ×{times}" if times > 1 else name for name, times in count.items()]
    return ", ".join(names[:_TOOLS]) + (", …" if len(names) > _TOOLS else "")


def _row(number: int, request: Request) -> list[Block]:
    who, wish = asks(request.question, "", quoted(request.question.title, TITLE))
    shown, whole = in_row(request.question)
    whole = whole and _cut(wish) == wish  # the title is judged too
    blocks = [heading(f"{number}. {_cut(who)}", _cut(wish)), *shown]
    if request.decision is None:
        if request.rules.quorum > 1:
            blocks.append(votes(request))
        buttons = {
            "type": "actions",
            "block_id": f"decide {request.id}",
            "elements": _row_buttons(request, whole=whole),
        }
        return [*blocks, buttons]
    settled = words(sentence(request, request.decision))
    settled["accessory"] = button("View full", card_controls.VIEW_FULL, Handle(request.id, request.digest).write())
    blocks += [settled, *standing_of(request, request.decision)]
    if lines := [one for one in (changes_of(request), typed(request.decision.words)) if one.strip()]:
        blocks.append(data(_cut(one_line(one, 400), _SAID) for one in lines))
    return blocks


def _row_buttons(request: Request, *, whole: bool) -> list[Block]:
    """Draw Approve or Review…, Reject, and the rest in a menu of the row."""
    value, question = Handle(request.id, request.digest).write(), request.question
    buttons, rest = [], []
    for verb, label, style in button_labels.of(question.kind).buttons:
        if verb not in question.offers:
            continue
        if verb in _FROM_THE_MENU:
            rest.append((f"{label}…", _FROM_THE_MENU[verb]))
        elif verb is Verb.APPROVE and not whole:  # nobody approves by one click what the row does not show
            buttons.append(button("Review…", card_controls.REVIEW, value, style))
        else:
            buttons.append(
                button(label, card_controls.APPROVE if verb is Verb.APPROVE else card_controls.REJECT, value, style)
            )
    rest.append(("Arguments" if whole else "View full", MenuItem.VIEW_FULL))
    if Verb.APPROVE in question.offers and grants.why_not(request) is None:
        rest.append(("Approve and don't ask again…", MenuItem.PERMIT))
    if Verb.APPROVE in question.offers and may_break_glass(request):
        rest.append(("Break glass…", MenuItem.BREAK_GLASS))
    options = [{"text": plain(label), "value": card_controls.option(do, request.id)} for label, do in rest]
    return [*buttons, {"type": "overflow", "action_id": card_controls.MORE, "options": options}]


def _for_all(waiting: Sequence[Request], away: Iterable[Absence]) -> list[Block]:
    """Draw what the rows share: they are asked within seconds, by the same rules."""
    first = min(waiting, key=lambda row: (row.deadline is None, row.deadline or row.created_at))
    own = " · the requester may decide too" if first.rules.own_requests else ""
    if may_break_glass(first):
        own += " · in an emergency the requester alone, with a reason that you all read"
    decides = named(deciders(first), stand_ins(first, away))
    may = words(f"May decide: {decides}{own}")
    may["accessory"] = {"type": "overflow", "action_id": card_controls.MORE, "options": card_controls.options(*waiting)}
    why = [plain(_cut(one["text"], _SAID), 300) for one in why_me(first)]
    small = [context(mrkdwn(expiry(first))), *how_it_waits(first)]
    return [*small, *([context(*why)] if why else []), may]


def _cut(text: str, room: Room = _NAMED) -> str:
    beginning, hidden, _ = shorten(text, room)
    return beginning + "…" * bool(hidden)


def _buttons(request: Request) -> list[Block]:
    value, question = Handle(request.id, request.digest).write(), request.question
    buttons: list[Block] = []
    for verb, label, style in button_labels.of(question.kind).buttons:
        if verb in question.offers:
            one = button(label, _ACTIONS[verb], value, style)
            buttons += (
                choice_controls.buttons(question, one, whole=complete(question)) if verb is Verb.CHOOSE else [one]
            )
    if question.call and has_room(question):
        buttons.append(button("Arguments", card_controls.VIEW_FULL, value))
    if complete(question) and not high_risk.is_asked(request, Verb.APPROVE):
        return buttons
    for made in buttons:  # nobody approves by one click what the card does not show, or what is of high risk
        if made["action_id"] == card_controls.APPROVE:
            label = made["text"]["text"]
            made |= {"action_id": card_controls.REVIEW, "text": plain("Review…" if label == "Approve" else f"{label}…")}
    return buttons


def _deadline(request: Request) -> Block:
    text = expiry(request)
    return words(f":warning: {text}") if approved_by_timeout(request) else context(mrkdwn(text))


def _settled_text(request: Request, decision: Decision, team: str, title: str) -> str:
    return f"{sentence(request, decision)} – {escape(team)} asked: {escape(title)}"


def _outcome(request: Request, decision: Decision) -> list[Block]:
    settled = words(sentence(request, decision))
    if request.question.call is not None:
        settled["accessory"] = button("View full", card_controls.VIEW_FULL, Handle(request.id, request.digest).write())
    blocks = [settled, *details(request, decision)]
    if request.rules.quorum > 1:
        blocks.append(votes(request))
    return blocks
