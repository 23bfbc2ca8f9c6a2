"""Remind people of a pending request.

A reminder goes to the thread of the request's card; an escalation posts a card for the next reviewers.

Both belong to the request and are settled with it (R6): cards lose their buttons, notes show the outcome.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from countersign.domain import schedule
from countersign.domain.delegation import Absence
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, ChannelId
from countersign.domain.requests import Raised, Request, Status
from countersign.usecases.ports import Change, Message, Store

from ..ports import CannotPost, Importance
from ..views import reviewed_content
from ..views.block_kit import Drawing
from .card_grouping import Card, number_of
from .message_sync import File, Place, Poster

_log = logging.getLogger(__name__)


class Drawings(NamedTuple):
    """Functions that draw a card, a reminder, and an escalation's note."""

    card: Callable[[Store, Poster, Card, Sequence[Request]], Awaitable[Drawing | None]]
    reminder: Callable[[Sequence[Request], str, Sequence[Absence]], Drawing]
    escalation: Callable[[Sequence[Request], Raised, str], Drawing]


async def remind(poster: Poster, store: Store, card: Card, message: Message, draw: Drawings) -> list[File]:
    """Post new reminders and escalations, and update the existing ones.

    One message serves all rows of a card, which were asked within seconds. Returns the files that belong to new cards.
    """
    files: list[File] = []
    rows = card.rows
    shown = {rows[0].rules.approvals_channel}
    for number in sorted({raised.number for row in rows for raised in row.raised}):
        there = [row for row in rows if any(raised.number == number for raised in row.raised)]
        raised = next(raised for raised in there[0].raised if raised.number == number)
        channel = schedule.place_of(there[0], raised)
        drawing = await draw.card(store, poster, card, there) if channel not in shown else None
        has_card = drawing is not None and await _raised_card(poster, store, card, there, raised, drawing, files)
        if not has_card or not card.pending:  # the reply may date from before Slack refused the card
            note = draw.escalation(there, raised, poster.link(message))
            await _reply(poster, card, message, f"raised/{rows[0].id}/{number}", note)
        shown.add(channel)
    away = await absent(store, rows[0])
    reminded = max(row.reminded for row in rows)
    for number in range(1, reminded + 1):
        if not card.pending or number == reminded:
            note = draw.reminder(rows, poster.link(message), away)
            await _reply(poster, card, message, f"reminder/{rows[0].id}/{number}", note)
    return files


async def _reply(poster: Poster, card: Card, message: Message, name: str, note: Drawing) -> None:
    thread = Place(message.channel, message.thread or message.ts)
    importance = Importance.OUTCOME if card.pending else Importance.REST
    await poster.show(name, thread, note, request=card.rows[0].id, post=card.pending, importance=importance)


async def _raised_card(
    poster: Poster,
    store: Store,
    card: Card,
    rows: Sequence[Request],
    raised: Raised,
    drawing: Drawing,
    files: list[File],
) -> bool:
    """Show a card where the requests went, or record Slack's refusal (R21)."""
    first, channel = rows[0], schedule.place_of(rows[0], raised)
    try:
        message = await poster.show(
            f"{card.name}/{raised.number}",
            Place(channel),
            drawing,
            request=first.id,
            post=card.pending,
            importance=Importance.CARD if card.pending else Importance.SETTLED,
        )
    except CannotPost as refused:
        for request in rows:
            await record_unposted(store, request, str(refused), channel)
        return False
    for request in rows:
        if message is not None and request.status is Status.PENDING and reviewed_content.needs_file(request):
            file = reviewed_content.file_of(request, number_of(request, rows))
            files.append(File(f"file/{request.id}/{raised.number}", Place(message.channel, message.ts), *file))
    return True


async def absent(store: Store, request: Request) -> list[Absence]:
    """List the people of the request's workspace who are away now."""
    absences = await store.absences()
    return [a for a in absences.value.people if a.workspace == request.workspace and absences.now < a.until]


async def record_unposted(store: Store, request: Request, problem: str, channel: ChannelId) -> None:
    """Record once a day that this channel takes no card, with Slack's error code."""
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
