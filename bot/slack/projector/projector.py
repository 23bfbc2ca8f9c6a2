"""Keeps Slack equal to the events: reads them in order, draws from the store, and only then ticks them off (R6).

What an event says is only that something changed; what is drawn is the store's state at that moment, so drawing
twice, late, or after a crash ends in the same picture. Only a notice of changed settings is drawn from its event.
One process at a time does it; runs, and channels whose settings changed, do not wait for each other.
"""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from countersign import metrics, usecases
from countersign.domain.errors import CountersignError, InvalidInput, NewerSchema, StoreUnavailable
from countersign.domain.events import REQUEST_CHANGED, Event, EventType
from countersign.domain.ids import ChannelId, RequestId, RunId
from countersign.domain.requests import How, Request, Status
from countersign.domain.runs import Run
from countersign.metrics import Repair
from countersign.store.outbox import Outbox
from countersign.usecases.ports import Message, Store

from ..slack_calls import CannotPost, DrawingTask, Outdated, drawing_task
from ..views import block_kit, card_content, cards, thread_notes
from . import card_placement, reminders, settings_notices
from .card_placement import Sheet
from .file_uploads import File, Files
from .message_sync import Place, Poster

LEASE: Final = timedelta(seconds=6)
TRY_AGAIN: Final = timedelta(seconds=30)
"""After this long a card that Slack did not take is tried again (R21)."""
BREATH: Final = timedelta(milliseconds=20)
"""Before it draws: what follows at once is drawn with it, and whoever just clicked is answered first."""
OVERLOOKED: Final = timedelta(seconds=10)
"""Events that were handed out so long ago, and that nobody draws, are read again."""
ON_ITS_WAY: Final = timedelta(seconds=1)
"""So long before its lease may end, a process sends nothing more: what is sent takes a while to reach Slack."""
GRACE: Final = 16
"""So many half seconds may what is being drawn take to end: who posted a second copy, or drew over something newer,
is the only one to know. Counted, not measured, because a process that was frozen has no time left on waking."""
_LATE: Final = timedelta(seconds=10)
"""A card that was settled so long ago shows nothing to click on, unless who drew it last was killed as it woke up."""
_IN_HAND: Final = 5000
_UNTIL_HELD: Final = 0.1
"""Seconds between two looks whether this process holds the lease again."""
Subject = RunId | ChannelId
"""What is drawn in its own order: a run, or what changed in a channel's settings."""
_log = logging.getLogger(__name__)


class Scribe:
    """Draws Slack from the events as long as this process holds the scribe's lease."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        poster: Poster,
        owner: str,
        *,
        drawn: Callable[[Event], None] = lambda event: None,
        overlooked: timedelta = OVERLOOKED,
        allow: Callable[[RequestId], Awaitable[None]] | None = None,
    ) -> None:
        """`drawn` is told of each event, once Slack shows what it changed there. `allow` may answer a new request
        before anything is drawn of it."""
        self._store = store
        self._outbox = outbox
        self._poster = poster
        self._files = Files(poster, store)
        self._owner = owner
        self._drawn = drawn
        self._overlooked = overlooked
        self._allow = allow
        self._waiting: dict[Subject, list[tuple[str, Event]]] = {}
        self._drawing: dict[Subject, asyncio.Task[None]] = {}
        self._attaching: dict[asyncio.Task[None], list[str]] = {}
        self._at_rest: set[asyncio.Task[Any]] = set()
        self._held_until = -math.inf
        self._in_hand: set[str] = set()
        self._room = asyncio.Semaphore(_IN_HAND)

    async def run(self) -> None:
        """Draw until cancelled; lets the lease go then, so that another process goes on at once."""
        try:
            while True:
                try:
                    if await self._holding(self._outbox.claim):
                        await self._as_scribe()
                except StoreUnavailable as away:
                    _log.warning("%s Drawing goes on when it is back.", away)
                await asyncio.sleep(LEASE.total_seconds() / 6)
        finally:
            await self._put_down()
            try:
                await self._outbox.release(self._owner)
            except StoreUnavailable:
                _log.info("The scribe's lease could not be let go; it ends by itself.")

    async def _holding(self, verb: Callable[[str, timedelta], Awaitable[bool]]) -> bool:
        """Whether this process holds the lease, and until when no other one may draw."""
        asked = asyncio.get_running_loop().time()
        holds = await verb(self._owner, LEASE)
        self._held_until = asked + (LEASE - ON_ITS_WAY).total_seconds() if holds else -math.inf
        return holds

    async def _as_scribe(self) -> None:
        await self._outbox.open()
        reading = asyncio.create_task(self._read(), name="scribe reads")
        looking = asyncio.create_task(self._look_again(), name="scribe looks again")
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=LEASE.total_seconds() / 3)
                if not await self._holding(self._outbox.renew):
                    _log.warning("Another process draws Slack now.")
                    return
            reading.result()
        finally:
            reading.cancel()
            looking.cancel()
            await asyncio.gather(reading, looking, return_exceptions=True)
            await self._put_down()

    async def _look_again(self) -> None:
        while True:
            try:
                await self._poster.look_again()
            except CountersignError as wrong:
                _log.warning("Second copies in Slack are looked for later. %s", wrong)
            await asyncio.sleep(LEASE.total_seconds() / 3)

    async def _put_down(self) -> None:
        self._waiting.clear()
        tasks, files = list(self._drawing.values()), list(self._attaching)
        for task in files:
            task.cancel()
        for _ in range(GRACE):
            for task in self._at_rest:
                task.cancel()
            if not all(task.done() for task in tasks):
                await asyncio.wait(tasks, timeout=0.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *files, return_exceptions=True)
        self._drawing.clear()
        self._attaching.clear()
        self._waiting.clear()
        self._in_hand.clear()
        self._room = asyncio.Semaphore(_IN_HAND)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        look_at = loop.time() + self._overlooked.total_seconds()
        while True:
            entries = await self._outbox.read(100)
            if loop.time() >= look_at:
                entries += await self._left_over()
                look_at = loop.time() + self._overlooked.total_seconds()
            for entry, event in entries:
                subject = event.run or settings_notices.concerns(event)
                if subject is None:
                    await self._outbox.done(entry)
                    metrics.happened(event)
                    self._drawn(event)
                    continue
                await self._room.acquire()
                self._in_hand.add(entry)
                self._ask_for(subject, [(entry, event)])

    def _ask_for(self, subject: Subject, entries: list[tuple[str, Event]]) -> None:
        self._waiting.setdefault(subject, []).extend(entries)
        if subject not in self._drawing:
            self._drawing[subject] = asyncio.create_task(self._draw(subject), name=f"draw {subject}")

    async def _left_over(self) -> list[tuple[str, Event]]:
        found = await self._outbox.overlooked(self._overlooked, 100)
        left = [(entry, event) for entry, event in found if entry not in self._in_hand]
        if left:
            _log.warning("Events that were handed out and drawn by nobody: %d; drawing them.", len(left))
            metrics.repaired(Repair.EVENT_OVERLOOKED, len(left))
        return left

    async def _draw(self, subject: Subject) -> None:
        """Draw what changed in one run, or in one channel's settings, until nothing is left to draw."""
        try:
            while subject in self._waiting:
                await asyncio.sleep(BREATH.total_seconds())
                entries = self._waiting.pop(subject, [])
                if not entries:
                    return  # put down meanwhile
                kept = False
                try:
                    files = await self._until_drawn(subject, entries)
                    if kept := bool(files):
                        task = asyncio.create_task(
                            self._attach(subject, files, entries), name=f"attach files of {subject}"
                        )
                        self._attaching[task] = [file.name for file in files]
                        task.add_done_callback(self._attaching.pop)
                    else:
                        await self._tick_off(entries)
                except StoreUnavailable as away:
                    _log.warning(
                        "%s What is new of %s is drawn and not ticked off; it is looked at again.", away, subject
                    )
                finally:
                    if not kept:
                        self._let_go(entries)
        finally:
            self._drawing.pop(subject, None)

    async def _attach(self, subject: Subject, files: list[File], entries: list[tuple[str, Event]]) -> None:
        """Last, and beside all that is drawn meanwhile: a file may take minutes, and no decision waits for it (R36).
        Then the run is drawn once more, for what could not be uploaded is said where it is missed."""
        try:
            for file in files:
                await self._files.attach(file)
        except CountersignError as wrong:
            _log.warning("Files of %s are uploaded later. %s", subject, wrong)
            self._let_go(entries)
        except BaseException:
            self._let_go(entries)
            raise
        else:
            self._ask_for(subject, entries)

    async def _tick_off(self, entries: list[tuple[str, Event]]) -> None:
        for entry, event in entries:
            await self._outbox.done(entry)
            metrics.happened(event)
            self._drawn(event)

    def _let_go(self, entries: list[tuple[str, Event]]) -> None:
        for entry, _ in entries:
            self._in_hand.discard(entry)
            self._room.release()

    async def _until_drawn(self, subject: Subject, entries: list[tuple[str, Event]]) -> list[File]:
        """Returns the files that are still to be uploaded."""
        drawing_task.set(DrawingTask(lambda: self._held_until))
        pause, events = 0.5, [event for _, event in entries]
        while True:
            try:
                if isinstance(subject, ChannelId):
                    await self._tell(entries)
                    return []
                if self._allow is not None:
                    for asked in [e.request for e in events if e.type is EventType.REQUEST_ASKED and e.request]:
                        await self._allow(asked)
                while True:
                    before = await self._state(subject, events)
                    files = await self._draw_once(subject, events)
                    if await self._state(subject, events) == before:
                        return files
            except Outdated as outdated:
                _log.info("%s", outdated)
                if asyncio.get_running_loop().time() > self._held_until:
                    with self._resting():
                        await asyncio.sleep(_UNTIL_HELD)
                continue
            except StoreUnavailable as away:
                _log.warning("%s Drawing %s goes on when it is back.", away, subject)
            except CannotPost as refused:
                _log.error("Slack refuses what %s should show (%s).", subject, refused)
                if isinstance(subject, ChannelId) or await self._over(subject):
                    return []
                pause = TRY_AGAIN.total_seconds()
            except NewerSchema as newer:
                _log.error("%s is left for a scribe that can draw it. %s", subject, newer)
                pause = TRY_AGAIN.total_seconds()
            except CountersignError as wrong:
                _log.error("%s cannot be drawn: %s", subject, wrong)
                return []
            except Exception:
                _log.exception("%s could not be drawn; trying again.", subject)
            with self._resting():
                await asyncio.sleep(pause)
            pause = min(pause * 2, TRY_AGAIN.total_seconds())

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Until it tries again, it has nothing under way that it would have to see the end of."""
        task = asyncio.current_task()
        assert task is not None
        self._at_rest.add(task)
        try:
            yield
        finally:
            self._at_rest.discard(task)

    async def _state(self, run: RunId, events: list[Event]) -> tuple[Run | None, list[Request | None]]:
        """What is drawn from. If it changed meanwhile, another process may have drawn that before we drew the older.

        All that is open: the other rows of a card are drawn with the one that an event is about.
        """
        seen = await self._store.run(run)
        still = seen.value.open.values() if seen else ()
        asked = dict.fromkeys([*(e.request for e in events if e.request is not None), *still])
        return seen.value if seen else None, await self._store.requests(list(asked))

    async def _over(self, run: RunId) -> bool:
        seen = await self._store.run(run)
        return seen is None or seen.value.over

    async def _tell(self, entries: list[tuple[str, Event]]) -> None:
        """The notices of changed settings, in their order."""
        for entry, event in entries:
            try:
                await settings_notices.show(self._poster, entry, event)
            except InvalidInput as wrong:
                _log.error("Nobody is told of the change in event %s. %s", entry, wrong)

    async def _draw_once(self, run_id: RunId, events: list[Event]) -> list[File]:
        seen = await self._store.run(run_id)
        if seen is None:
            _log.warning("Events tell of run %s, which is not known any more.", run_id)
            return []
        run = seen.value
        root = await self._root(run)
        changed = dict.fromkeys(e.request for e in events if e.type in REQUEST_CHANGED and e.request is not None)
        refused = {e.request: e for e in events if e.type is EventType.ATTEMPT_REFUSED and e.request is not None}
        for request, last in refused.items():
            if await self._doubt(request, last):
                changed[request] = None
        await card_placement.seat(self._store, run, changed)
        if run.progress or run.writing:
            await self._note(f"progress/{run.id}", root, thread_notes.progress_note(run))
        files: list[File] = []
        for request in changed:
            await self._request(run, root, request, files)
        if run.over:
            whole = thread_notes.outcome_file(run)
            if whole is not None:
                thread = Place(root.channel, root.ts)
                files.append(File(f"outcome-file/{run.id}", thread, *whole, "All of the final words"))
            filed = not (whole and await self._missing([files[-1].name]))
            await self._note(f"outcome/{run.id}", root, thread_notes.outcome_note(run, filed=filed))
        return await self._to_attach(files)

    async def _missing(self, names: list[str]) -> set[str]:
        """Those of these files that could not be uploaded."""
        return {name for name, file in (await self._store.messages(names)).items() if file.problem}

    async def _to_attach(self, files: list[File]) -> list[File]:
        """Those that do not stand in Slack, were not tried in vain, and are not on their way."""
        known = await self._store.messages([file.name for file in files])
        over = {name for name, file in known.items() if file.ts or file.problem}
        under_way = {name for names in self._attaching.values() for name in names}
        return [file for file in files if file.name not in over | under_way]

    async def _doubt(self, request: RequestId, attempt: Event) -> bool:
        """Whether somebody still found a button for what was settled long before: its card is sent anew."""
        seen = await self._store.request(request)
        decision = seen.value.decision if seen else None
        if seen is None or decision is None or attempt.at - decision.at < _LATE:
            return False
        sheet = await card_placement.sheet_of(self._store, seen.value)
        for name in (sheet.name, f"{sheet.name}/instead"):
            await self._poster.doubt(name)
        return True

    async def _root(self, run: Run) -> Message:
        """The message in the requester's channel that the run's thread hangs on; a direct message if need be."""
        name, drawing = f"run/{run.id}", thread_notes.run_message(run)
        try:
            root = await self._poster.show(name, Place(run.channel), drawing)
        except CannotPost as refused:
            _log.error(
                "Run %s cannot be shown in %s (%s); telling the requester directly.", run.id, run.channel, refused
            )
            root = await self._poster.show(f"{name}/direct", Place(run.requester), drawing)
        assert root is not None, "a message that is to be posted is posted or refused"
        return root

    async def _note(
        self,
        name: str,
        root: Message,
        drawing: block_kit.Drawing,
        *,
        request: RequestId | None = None,
        post: bool = True,
    ) -> None:
        await self._poster.show(name, Place(root.channel, root.ts), drawing, request=request, post=post)

    async def _request(self, run: Run, root: Message, request_id: RequestId, files: list[File]) -> None:
        seen = await usecases.admitted(self._store, request_id)
        if seen is None:
            return
        request = seen.value
        sheet = await card_placement.sheet_of(self._store, request)
        first, more, row = sheet.rows[0], len(sheet.rows) - 1, card_placement.number_of(request, sheet.rows)
        card = await self._card(run, root, sheet, request, seen.claim, files)
        if card is not None:
            # Of a settled request only if it stands already, and perhaps nobody has written down where.
            waiting = thread_notes.waiting_note(first, self._poster.link(card), more)
            await self._note(f"waiting/{first.id}", root, waiting, request=first.id, post=sheet.pending)
        if card is not None and request.decision is not None and request.decision.how is How.BREAK_GLASS:
            thread = Place(card.channel, card.thread or card.ts)
            await self._poster.show(f"glass/{request.id}", thread, thread_notes.break_glass_note(request, row))
        if request.status is not Status.PENDING:
            told = thread_notes.decided_note(request, row)
            await self._note(f"decided/{request.id}", root, told, request=request.id)

    async def _card(
        self, run: Run, root: Message, sheet: Sheet, request: Request, claim: str, files: list[File]
    ) -> Message | None:
        """The card on which the request is; None if it was settled before it had one. A card that cannot be posted goes
        to the run's own thread instead, and the requester is told (R21). `claim` is what a new card vouches for."""
        absences = await self._store.absences()
        away = [a for a in absences.value.people if a.workspace == request.workspace and absences.now < a.until]
        long = {f"file/{row.id}": row.id for row in sheet.rows if card_content.needs_file(row)}
        unfiled = frozenset(long[name] for name in await self._missing([*long]))
        draw: reminders.Draw = lambda some: cards.batch(  # noqa: E731
            some, run=run, run_link=self._poster.link(root), away=away, unfiled=unfiled
        )
        drawing = draw(sheet.rows)
        post: Callable[[str, Place], Awaitable[Message | None]] = lambda n, place: self._poster.show(  # noqa: E731
            n, place, drawing, request=sheet.rows[0].id, post=sheet.pending, claim=claim
        )
        problem = ""
        try:
            card = await post(sheet.name, Place(request.rules.approvals_channel))
        except CannotPost as refused:
            card, problem = None, str(refused)
            first = sheet.rows[0]
            unposted = thread_notes.not_posted_note(first, problem)
            await self._note(f"unposted/{first.id}", root, unposted, post=sheet.pending)
            await reminders.record_unposted(self._store, request, problem, request.rules.approvals_channel)
        if card is not None and card.stands_since is not None:
            await usecases.stands(self._store, request.id, card.stands_since)
        # Slack may have refused the card once and take it now: what stands instead is settled with it.
        instead = await self._poster.show(
            f"{sheet.name}/instead",
            Place(root.channel, root.ts),
            drawing,
            request=sheet.rows[0].id,
            post=sheet.pending and bool(problem),
        )
        card = card or instead
        if card is not None and request.status is Status.PENDING and card_content.needs_file(request):
            file = card_content.file_of(request, card_placement.number_of(request, sheet.rows))
            files.append(File(f"file/{request.id}", Place(card.channel, card.thread or card.ts), *file))
        if card is not None and any(row.raised or row.reminded for row in sheet.rows):
            files += await reminders.nudge(self._poster, self._store, sheet, card, draw, away)
        return card
