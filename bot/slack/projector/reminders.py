"""Tell people again of a request that waits.

A reminder goes to its card's thread, and a card to those who may decide next.

All of them are messages of the request, and are settled with it (R6): cards lose their buttons, words say how it ended.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence

from countersign.domain import schedule
from countersign.domain.delegation import Absence, deciders
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, ChannelId, UserId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Raised, Request, Status
from countersign.domain.vote_count import tied
from countersign.text.safe_text import one_line, quoted
from countersign.usecases.ports import Change, Message, Store

from ..ports import CannotPost, Importance
from ..views import card_content
from ..views.block_kit import TITLE, Drawing, context, mrkdwn, plain, words
from ..views.button_labels import how_they_stand, the_card, tools
from ..views.request_summary import sentence
from ..views.request_text import expiry, named, stand_ins
from ..views.slack_markup import escape, link
from .card_placement import Card, number_of
from .message_sync import File, Place, Poster

_log = logging.getLogger(__name__)


Draw = Callable[[Store, Poster, Card, Sequence[Request]], Awaitable[Drawing | None]]
"""Draws a card with some of its rows."""


async def nudge(poster: Poster, store: Store, sheet: Card, card: Message, draw: Draw) -> list[File]:
    """Post new reminders and escalations, and bring what stands up to date.

    Once for all rows of a card: they were asked within seconds. Returns the files that belong to new cards.
    """
    files: list[File] = []
    rows = sheet.rows
    shown = {rows[0].rules.approvals_channel}
    for number in sorted({raised.number for row in rows for raised in row.raised}):
        there = [row for row in rows if any(raised.number == number for raised in row.raised)]
        raised = next(raised for raised in there[0].raised if raised.number == number)
        channel = schedule.place_of(there[0], raised)
        drawing = await draw(store, poster, sheet, there) if channel not in shown else None
        has_card = drawing is not None and await _raised_card(poster, store, sheet, there, raised, drawing, files)
        if not has_card or not sheet.pending:  # the reply may stand since Slack refused the card
            note = raised_note(there, raised, poster.link(card))
            await _reply(poster, sheet, card, f"raised/{rows[0].id}/{number}", note)
        shown.add(channel)
    away = await absent(store, rows[0])
    reminded = max(row.reminded for row in rows)
    for number in range(1, reminded + 1):
        if not sheet.pending or number == reminded:
            note = reminder_note(rows, poster.link(card), away)
            await _reply(poster, sheet, card, f"reminder/{rows[0].id}/{number}", note)
    return files


def reminder_note(rows: Sequence[Request], card_link: str, away: Sequence[Absence] = ()) -> Drawing:
    """Remind those who have not voted, or their stand-ins; or tell how it ended."""
    waiting = [row for row in rows if row.status is Status.PENDING]
    users = frozenset(user for row in waiting for user in _asked(row, away))
    groups = frozenset(group for row in waiting for group in row.rules.reviewers.groups)
    at = link(card_link, the_card(rows[0]))
    what = "answer" if rows[0].rules.in_thread else "decision"
    text = f":bell: {named(Reviewers(users, groups))}: {_this(waiting)} waiting for your {what}: {at}."
    return _note(rows, text, "Still pending")


def raised_note(rows: Sequence[Request], raised: Raised, card_link: str) -> Drawing:
    """Tell the next people that they may decide too; or how it ended."""
    whom = deciders(rows[0], rows[0].rules.escalation[raised.number].reviewers)
    at = link(card_link, "open the card")
    text = f":arrow_up: Escalated to {named(whom)}: nobody has decided yet, and now you can: {at}."
    if not whom:
        only = "The next step names only the requester, who can't decide on their own request"
        text = f":arrow_up: Nobody has decided yet. {only}: {at}."
    return _note(rows, text, "Escalated because nobody has decided")


def _asked(request: Request, away: Sequence[Absence]) -> frozenset[UserId]:
    voted = set() if tied(request) else {vote.seat or vote.user for vote in request.votes}
    gone = {a.user: a.stand_in for a in stand_ins(request, away)}
    return frozenset(gone.get(user, user) for user in deciders(request).users - voted)


def _this(waiting: Sequence[Request]) -> str:
    return "this is still" if len(waiting) == 1 else f"these {len(waiting)} are still"


def _note(rows: Sequence[Request], text: str, said: str) -> Drawing:
    title = quoted(rows[0].question.title, TITLE) if len(rows) == 1 else one_line(tools(rows), TITLE)
    waiting = next((row for row in rows if row.decision is None), None)
    if waiting is None:
        decision = rows[0].decision
        over = sentence(rows[0], decision) if len(rows) == 1 and decision is not None else how_they_stand(rows)
        return Drawing(over, [words(over), context(plain(title, TITLE))])
    return Drawing(f"{said}: {escape(title)}", [words(text), context(plain(title, TITLE), mrkdwn(expiry(waiting)))])


async def _reply(poster: Poster, sheet: Card, card: Message, name: str, note: Drawing) -> None:
    thread = Place(card.channel, card.thread or card.ts)
    importance = Importance.OUTCOME if sheet.pending else Importance.REST
    await poster.show(name, thread, note, request=sheet.rows[0].id, post=sheet.pending, importance=importance)


async def _raised_card(
    poster: Poster,
    store: Store,
    sheet: Card,
    rows: Sequence[Request],
    raised: Raised,
    drawing: Drawing,
    files: list[File],
) -> bool:
    """Show a card where the requests went, or put on record that Slack does not take one (R21)."""
    first, channel = rows[0], schedule.place_of(rows[0], raised)
    try:
        card = await poster.show(
            f"{sheet.name}/{raised.number}",
            Place(channel),
            drawing,
            request=first.id,
            post=sheet.pending,
            importance=Importance.CARD if sheet.pending else Importance.SETTLED,
        )
    except CannotPost as refused:
        for request in rows:
            await record_unposted(store, request, str(refused), channel)
        return False
    for request in rows:
        if card is not None and request.status is Status.PENDING and card_content.needs_file(request):
            file = card_content.file_of(request, number_of(request, rows))
            files.append(File(f"file/{request.id}/{raised.number}", Place(card.channel, card.ts), *file))
    return True


async def absent(store: Store, request: Request) -> list[Absence]:
    """The people of its workspace who are away now."""
    absences = await store.absences()
    return [a for a in absences.value.people if a.workspace == request.workspace and absences.now < a.until]


async def record_unposted(store: Store, request: Request, problem: str, channel: ChannelId) -> None:
    """Record once a day that a card cannot stand in this channel, with Slack's word."""
    _log.error("Request %s cannot be shown in %s: %s", request.id, channel, problem)
    event = Event(
        EventType.CARD_NOT_POSTED,
        await store.now(),
        run=request.run,
        request=request.id,
        workspace=request.workspace,
        data={"problem": problem, "channel": channel},
    )
    await store.commit(Change(events=(event,), once=AttemptId(f"unposted-{request.id}-{channel}")))
