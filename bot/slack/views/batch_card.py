"""One card for a burst: a row for each request, with its own buttons, and its own line once it is settled (R26).

Nothing is decided for more than one: each button carries the id of its own row's request (R1). What applies to all,
who may decide and until when, stands once below them. Pure, as all drawings.
"""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from typing import Final

from countersign.domain import grants
from countersign.domain.decision_rules import may_break_glass
from countersign.domain.delegation import Absence, deciders
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request, Status, Verb
from countersign.domain.runs import Run

from . import button_labels, card_menu, cards, pending_state
from .block_kit import Block, button, context, data, heading, mrkdwn, plain, words
from .card_content import TITLE, UNFILED, in_row
from .cards import Drawing, Handle
from .outcome_text import changes_of, named, sentence, standing_of, votes
from .safe_text import Room, one_line, quoted, shorten, typed
from .slack_markup import escape, link, mention

_NAMED: Final = Room(100, 150, 1)
"""Of who asks for what in a row's first line; a longer one is cut, and the full view has it."""
_SAID: Final = Room(160, 260, 1)
"""Of what was changed or said; the note in the run's thread has all."""
_TOOLS: Final = 4


def card(
    rows: Sequence[Request],
    *,
    run: Run,
    run_link: str | None,
    away: Iterable[Absence] = (),
    unfiled: Container[RequestId] = (),
) -> Drawing:
    """The card of one request, or of a burst with a row for each. `away`: who is not here. `unfiled`: those whose file
    could not be uploaded."""
    if len(rows) == 1:
        return cards.card(rows[0], run=run, run_link=run_link, away=away, filed=rows[0].id not in unfiled)
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
    """`2 of 5 wait · 1 approved · 2 rejected`."""
    count = Counter(row.status for row in rows)
    parts = [f"{count[Status.PENDING]} of {len(rows)} wait" if count[Status.PENDING] else "none waits any more"]
    return " · ".join(parts + [f"{count[one]} {_SETTLED[one]}" for one in _SETTLED if count[one]])


def tools(rows: Sequence[Request]) -> str:
    """What is to be run, each tool once: `refund ×3, mail`."""
    count = Counter(quoted(row.question.call.tool if row.question.call else row.question.title, 40) for row in rows)
    names = [f"{name} ×{times}" if times > 1 else name for name, times in count.items()]
    return ", ".join(names[:_TOOLS]) + (", …" if len(names) > _TOOLS else "")


_SETTLED: Final = {
    Status.APPROVED: "approved",
    Status.EDITED: "approved with changes",
    Status.ANSWERED: "answered",
    Status.REJECTED: "rejected",
    Status.EXPIRED: "expired",
    Status.WITHDRAWN: "withdrawn",
}
_FROM_THE_MENU: Final = {Verb.EDIT: card_menu.EDIT, Verb.RESPOND: card_menu.RESPOND}


def _row(number: int, request: Request) -> list[Block]:
    who, what = cards.asks(request.question, "", quoted(request.question.title, TITLE))
    shown, whole = in_row(request.question)
    whole = whole and _cut(what) == what  # the title is judged too
    blocks = [heading(f"{number}. {_cut(who)}", _cut(what)), *shown]
    if request.decision is None:
        if request.rules.quorum > 1:
            blocks.append(votes(request))
        buttons = {"type": "actions", "block_id": f"decide {request.id}", "elements": _buttons(request, whole=whole)}
        return [*blocks, buttons]
    told = words(sentence(request, request.decision))
    told["accessory"] = button("View full", cards.VIEW_FULL, Handle(request.id, request.digest).write())
    blocks += [told, *standing_of(request, request.decision)]
    if said := [one for one in (changes_of(request), typed(request.decision.words)) if one.strip()]:
        blocks.append(data(_cut(one_line(one, 400), _SAID) for one in said))
    return blocks


def _buttons(request: Request, *, whole: bool) -> list[Block]:
    """Approve or Review…, Reject, and the rest in a menu of its own."""
    value, question = Handle(request.id, request.digest).write(), request.question
    buttons, rest = [], []
    for verb, label, style in button_labels.of(question.kind).buttons:
        if verb not in question.offers:
            continue
        if verb in _FROM_THE_MENU:
            rest.append((f"{label}…", _FROM_THE_MENU[verb]))
        elif verb is Verb.APPROVE and not whole:  # nobody approves by one click what the row does not show
            buttons.append(button("Review…", cards.REVIEW, value, style))
        else:
            buttons.append(button(label, cards.APPROVE if verb is Verb.APPROVE else cards.REJECT, value, style))
    rest.append(("Arguments" if whole else "View full", card_menu.VIEW_FULL))
    if Verb.APPROVE in question.offers and grants.why_not(request) is None:
        rest.append(("Approve and don't ask again…", card_menu.PERMIT))
    if Verb.APPROVE in question.offers and may_break_glass(request):
        rest.append(("Break glass…", card_menu.BREAK_GLASS))
    options = [{"text": plain(label), "value": card_menu.option(do, request.id)} for label, do in rest]
    return [*buttons, {"type": "overflow", "action_id": card_menu.MORE, "options": options}]


def _for_all(waiting: Sequence[Request], away: Iterable[Absence]) -> list[Block]:
    """What the rows share: they are asked within seconds, by the same rules."""
    first = min(waiting, key=lambda row: (row.deadline is None, row.deadline or row.created_at))
    own = " · the requester may decide too" if first.rules.own_requests else ""
    if may_break_glass(first):
        own += " · in an emergency the requester alone, with a reason that you all read"
    decides = named(deciders(first), pending_state.stand_ins(first, away))
    may = words(f"May decide: {decides}{own}")
    may["accessory"] = {"type": "overflow", "action_id": card_menu.MORE, "options": pending_state.options(*waiting)}
    why = [plain(_cut(one["text"], _SAID), 300) for one in cards.why_me(first)]
    small = [context(mrkdwn(cards.expiry(first))), *pending_state.lines(first)]
    return [*small, *([context(*why)] if why else []), may]


def _cut(text: str, room: Room = _NAMED) -> str:
    beginning, hidden, _ = shorten(text, room)
    return beginning + "…" * bool(hidden)
