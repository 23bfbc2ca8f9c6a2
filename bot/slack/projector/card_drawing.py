"""Draw the cards of runs from the store.

Cards do not wait for the thread: both are drawn concurrently, the more important first. If Slack refuses a card, it is
posted in the run's own thread instead, and the requester is notified (R21).
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from weakref import WeakValueDictionary

from countersign import usecases
from countersign.domain.batching import may_be_a_row
from countersign.domain.events import REQUEST_CHANGED, Event, EventType
from countersign.domain.ids import ApiKeyId, ChannelId, RequestId, RunId
from countersign.domain.requests import How, Request, Status
from countersign.domain.runs import Run
from countersign.usecases.ports import Message, SeenRequest, Store

from ..people.account_check import why_not_shown
from ..people.users_and_groups import Directory
from ..ports import CannotPost, Importance, RowsAdded
from ..views import approval_card, reviewed_content, thread_notes
from ..views.block_kit import Drawing
from ..views.reminder_text import escalation_note, reminder_note
from . import card_grouping, reminders
from .card_grouping import Burst, Card, number_of
from .message_sync import File, Place, Poster
from .run_thread import RunThread, root_of

_CHANGE_A_CARD: Final = REQUEST_CHANGED | {EventType.RUN_FINISHED, EventType.RUN_FAILED, EventType.ACTION_REPORTED}
"""Events after which their request's card is drawn; after other events only the run's own messages are.

The end of a run names a request only if a program reports the outcome.
"""
_LATE: Final = timedelta(seconds=10)
"""A card settled longer ago has no buttons, unless a process that was suspended redrew an old version on waking up."""


class CardDrawing:
    """Draws cards for one workspace; requests of several runs may share a card."""

    def __init__(self, store: Store, poster: Poster, directory: Directory | None = None) -> None:
        """`directory` tells which channels are shared with another company."""
        self._store = store
        self._poster = poster
        self._directory = directory
        self.in_hand: defaultdict[ChannelId, dict[RequestId, None]] = defaultdict(dict)
        """Requests whose cards are being drawn, by channel; the store knows which cards are not posted."""
        self._bursts: defaultdict[ApiKeyId, Burst] = defaultdict(Burst)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def draw(self, run_id: RunId, events: Sequence[Event], doubted: set[RequestId]) -> list[File]:
        """Make Slack show the requests that changed, and return their files.

        `doubted`: the requests whose cards were already sent again for these events.
        """
        newest = {(event.request, event.type): event for event in events}
        changed = [
            event.request for event in newest.values() if event.request and await self._changes_card(event, doubted)
        ]
        seen = await self._store.run(run_id) if changed else None
        if seen is None:
            return []
        run = seen.value
        thread = RunThread(self._store, self._poster, run, thread_notes.run_message(run))
        await card_grouping.give_rows(self._store, run, changed)
        if not run.program and self._poster.is_open(run.channel, Importance.OUTCOME):
            await thread.place()  # so that the card can link to it; if other posts wait, the card goes first
        files: list[File] = []
        for request in dict.fromkeys(changed):
            asked = await self._store.intact(request)
            if asked is not None:
                files += await self._draw_in_turn(thread, asked)
        return files

    async def _draw_in_turn(self, thread: RunThread, asked: SeenRequest) -> list[File]:
        """Draw a request's card.

        The request may become a row of its program's newest card, or of any run's card that waits to be posted in its
        channel.
        """
        store, request = self._store, asked.value
        channel = request.rules.approvals_channel
        in_hand, full = self.in_hand[channel], not self._poster.is_open(channel, Importance.CARD)
        in_hand[request.id] = None  # before the first await, so that concurrent calls find it
        try:
            if may_be_a_row(request) and request.status is Status.PENDING:
                if request.program is not None:
                    await card_grouping.join_burst(store, asked, self._bursts[request.program.key])
                if full:
                    await card_grouping.join_card(store, asked, in_hand)
            while True:
                newest = await store.intact(request.id) or asked
                name = (await card_grouping.card_of(store, newest)).name
                async with self._locks.setdefault(name, asyncio.Lock()):  # its rows may belong to several runs
                    newest = await store.intact(request.id) or asked
                    card = await card_grouping.card_of(store, newest)
                    if card.name != name:
                        continue
                    with suppress(RowsAdded):
                        return await _CardInThread(thread, card, newest.value, self._directory).draw()
        finally:
            in_hand.pop(request.id, None)

    async def _changes_card(self, event: Event, doubted: set[RequestId]) -> bool:
        """Tell whether the event's request needs its card drawn.

        A refused click redraws the card in two cases: the click revealed where the card stands (R47), or the card still
        showed a button long after it was settled. In the second case the card is sent again even if it seems unchanged.
        """
        if event.type is not EventType.ATTEMPT_REFUSED:
            return event.type in _CHANGE_A_CARD
        seen = await self._store.intact(event.request) if event.request is not None else None
        if seen is None:
            return False
        shown, decision = await card_grouping.message_of(self._store, seen), seen.value.decision
        if shown is not None and shown.value.ts and not shown.value.drawn:
            return True
        if decision is None or event.at - decision.at < _LATE:
            return False
        card = await card_grouping.card_of(self._store, seen)
        if seen.value.id not in doubted:
            for name in (card.name, f"{card.name}/instead"):
                await self._poster.doubt(name)
            doubted.add(seen.value.id)
        return True


async def picture(store: Store, poster: Poster, card: Card, rows: Sequence[Request] = ()) -> Drawing | None:
    """Draw the card with its own or the given rows; None if a run is unknown."""
    rows = rows or card.rows
    runs: dict[RunId, tuple[Run, str | None]] = {}
    for name in dict.fromkeys(row.run for row in rows):
        run, root = await store.run(name), await root_of(poster, name)
        if run is None:
            return None
        runs[name] = run.value, poster.link(root) if root else None
        unread = root is not None and (root.channel.startswith("D") or not poster.thread_replies)
        if rows[0].rules.in_thread and unread:  # nobody can reply in the app's direct messages
            runs[name] = run.value, None
    files = {f"file/{row.id}": row.id for row in card.rows if reviewed_content.needs_file(row)}
    unfiled = frozenset(files[name] for name in await poster.missing([*files]))
    first, run_link = runs[rows[0].run]
    pending = any(row.status is Status.PENDING for row in rows)
    away = await reminders.absent(store, rows[0]) if pending else []  # decides who is asked
    return approval_card.batch(
        rows, run=first, run_link=run_link, runs=runs, away=away, unfiled=unfiled, pages=poster.pages
    )


_BY_PEOPLE: Final = (How.REVIEWERS, How.BREAK_GLASS)


@dataclass(frozen=True, slots=True)
class _CardInThread:
    """A card as one of its runs sees it."""

    thread: RunThread
    card: Card
    request: Request
    directory: Directory | None

    async def draw(self) -> list[File]:
        """Draw the request's card, and return the files that belong to it.

        A request that was settled before it had a card gets none, unless people decided it elsewhere.
        """
        store, poster, card, request = self.thread.store, self.thread.poster, self.card, self.request
        drawing = await picture(store, poster, card)
        if drawing is None:
            return []
        message, problem = await self._in_its_channel(drawing)
        if message is not None and message.stands_since is not None:
            await usecases.note_card_shown(store, request.id, message.stands_since)
        # Slack may have refused the card earlier and accept it now: the copy posted instead is settled with it.
        post = card.pending and bool(problem)
        place = await self._instead() if post else Place(request.channel)
        mine = card.of(request.run)
        if mine is not card:  # this run's thread must not show other runs' requests
            drawing = await picture(store, poster, mine) or drawing
        instead = await self._show(f"{mine.name}/instead", place, drawing, post=post, card=mine)
        message = message or instead
        if message is None:
            return []
        if request.decision is not None and request.decision.how is How.BREAK_GLASS:
            note = thread_notes.break_glass_note(request, number_of(request, card.rows))
            below = Place(message.channel, message.thread or message.ts)
            await poster.show(f"glass/{request.id}", below, note, importance=Importance.SETTLED)
        files = self._files(message)
        if any(row.raised or row.reminded for row in card.rows):
            draw = reminders.Drawings(picture, reminder_note, escalation_note)
            files += await reminders.remind(poster, store, card, message, draw)
        return files

    async def _in_its_channel(self, drawing: Drawing) -> tuple[Message | None, str]:
        """Show the card where it belongs, or return Slack's error code."""
        first, place = self.card.of(self.request.run).rows[0], await self._place()
        try:
            post = self.card.pending or await self._was_decided_elsewhere()
            return await self._show(self.card.name, place, drawing, post=post, card=self.card), ""
        except CannotPost as refused:
            problem = str(refused)
        if not place.thread:  # otherwise Slack would refuse the note too
            unposted = thread_notes.not_posted_note(first, problem)
            await self.thread.note(f"unposted/{first.id}", unposted, post=self.card.pending)
        await reminders.record_unposted(self.thread.store, self.request, problem, ChannelId(place.channel))
        return None, problem

    async def _was_decided_elsewhere(self) -> bool:
        """Tell whether people decided it on its page before Slack had its card.

        The channel is notified in that case.
        """
        decision = self.request.decision
        if decision is None or decision.how not in _BY_PEOPLE:
            return False
        return await self.thread.store.message(self.card.name) is None

    async def _place(self) -> Place:
        """Return the approvals channel, or a conversation's thread.

        The thread only if no other company reads it.
        """
        request = self.request
        if not request.rules.in_thread or not self.card.pending:
            return Place(request.rules.approvals_channel)
        if self.directory is not None and await why_not_shown(self.directory, request.channel) is not None:
            return Place(request.rules.approvals_channel)
        return await self.thread.place()

    async def _instead(self) -> Place:
        """Return the fallback place for a card that Slack refuses."""
        rules = self.request.rules
        return Place(rules.approvals_channel) if rules.in_thread else await self.thread.place()

    async def _show(self, name: str, place: Place, drawing: Drawing, *, post: bool, card: Card) -> Message | None:
        return await self.thread.poster.show(
            name,
            place,
            drawing,
            request=card.rows[0].id,
            post=post,
            importance=importance_of(card),
            rows=card.names,
        )

    def _files(self, message: Message) -> list[File]:
        if self.request.status is not Status.PENDING or not reviewed_content.needs_file(self.request):
            return []
        file = reviewed_content.file_of(self.request, number_of(self.request, self.card.rows))
        return [File(f"file/{self.request.id}", Place(message.channel, message.thread or message.ts), *file)]


def importance_of(card: Card) -> Importance:
    """Return the importance of a card, pending or settled."""
    return Importance.CARD if card.pending else Importance.SETTLED
