"""Read events in order, draw them in Slack, and only then tick them off (R6).

An event only says that something changed. The drawing is made from the store's state at that moment, so drawing twice,
late, or after a crash ends in the same picture. Only a notice about settings is drawn from its event. A run's cards and
its thread are drawn concurrently, so no card waits for a note. A lease lets one process draw at a time; runs, and
channels whose settings changed, do not wait for each other.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from countersign import metrics
from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, RequestId, RunId
from countersign.metrics import Repair
from countersign.usecases.ports import Store
from countersign.usecases.requeued_runs import Unheld

from ..people.users_and_groups import Directory
from ..ports import Outbox
from ..views.run_steps import SILENT_AFTER
from . import settings_notices, thread_drawing
from .agent_features import AgentFeatures
from .card_drawing import CardDrawing
from .drawing_queue import LEASE, Batch, DrawingLease, DrawingQueue, Entry
from .file_uploads import Files
from .message_sync import File, Poster

THREAD_DELAY: Final = timedelta(milliseconds=500)
"""Wait before drawing a thread: notes that are drawn together save calls."""
OVERLOOKED: Final = timedelta(seconds=10)
"""Events handed out longer ago than this, and not being drawn, are read again."""
GRACE: Final = 16
"""Half seconds that running drawings get to end on shutdown: only they know whether they posted a second copy or drew
over something newer. Counted, not measured: a frozen process would find its time used up on waking."""
_IN_HAND: Final = 20_000
"""Largest number of events in memory; the rest stay in the stream. Events of notes may wait for minutes behind
cards."""
_log = logging.getLogger(__name__)


class Projector:
    """Draws Slack from the events as long as this process holds the lease."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        poster: Poster,
        owner: str,
        *,
        drawn: Callable[[Event], None] = lambda event: None,
        overlooked: timedelta = OVERLOOKED,
        thread_delay: timedelta = THREAD_DELAY,
        allow: Callable[[RequestId], Awaitable[None]] | None = None,
        directory: Directory | None = None,
    ) -> None:
        """Take what to draw from and with.

        `drawn` is called with each event once Slack shows its change. `allow` may answer a new request before it is
        drawn. `directory` knows which people have left.
        """
        self._store = store
        self._outbox = outbox
        self._poster = poster
        self._files = Files(poster, store)
        self.cards = CardDrawing(store, poster, directory)
        self._agent_features = AgentFeatures(poster.calls, store)
        self._lease = DrawingLease(outbox, owner)
        self._drawn = drawn
        self._overlooked = overlooked
        self._allow = allow
        self._directory = directory
        self._unheld = Unheld(store)
        self._without_worker: frozenset[RunId] = frozenset()
        self._card_queue = DrawingQueue(store, self._lease, self._draw_cards, self._cards_drawn, timedelta(0))
        self._thread_queue = DrawingQueue(store, self._lease, self._draw_thread, self._thread_drawn, thread_delay)
        self._attaching: dict[asyncio.Task[None], list[str]] = {}
        self._in_hand: set[str] = set()
        self._room = asyncio.Semaphore(_IN_HAND)

    async def run(self) -> None:
        """Draw until cancelled, then release the lease to another process."""
        try:
            while True:
                try:
                    if await self._lease.claim():
                        await self._draw_events()
                except StoreUnavailable as away:
                    _log.warning("%s Drawing continues when the store is back.", away)
                await asyncio.sleep(LEASE.total_seconds() / 6)
        finally:
            await self._stop_drawing()
            await self._lease.release()

    async def _draw_events(self) -> None:
        await self._outbox.open()
        reading = asyncio.create_task(self._read(), name="read events")
        beside = [
            asyncio.create_task(_again_and_again(look), name=name)
            for name, look in (
                ("look for second copies", self._poster.copies.look_again),
                ("look for runs without a worker", self._look_for_lost_workers),
            )
        ]
        try:
            while not reading.done():
                await asyncio.wait({reading}, timeout=LEASE.total_seconds() / 3)
                if not await self._lease.renew():
                    _log.warning("Another process draws Slack now.")
                    return
            reading.result()
        finally:
            for task in (reading, *beside):
                task.cancel()
            await asyncio.gather(reading, *beside, return_exceptions=True)
            await self._stop_drawing()

    async def _look_for_lost_workers(self) -> None:
        """Draw runs that lost or regained a worker, or whose stream is about to end."""
        before = self._without_worker
        self._without_worker = frozenset(await self._unheld.since(SILENT_AFTER))
        for run in (before ^ self._without_worker) | {*self._agent_features.overdue()}:
            self._thread_queue.add(Batch(run))

    async def _stop_drawing(self) -> None:
        files = list(self._attaching)
        for task in files:
            task.cancel()
        ends = await asyncio.gather(
            self._card_queue.stop(GRACE), self._thread_queue.stop(GRACE), *files, return_exceptions=True
        )
        for wrong in ends:
            if isinstance(wrong, Exception):
                _log.error("Drawing did not stop as it should.", exc_info=wrong)
        self._attaching.clear()
        self._in_hand.clear()
        self._room = asyncio.Semaphore(_IN_HAND)

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        look_at = loop.time() + self._overlooked.total_seconds()
        while True:
            entries = await self._outbox.read(100)
            if loop.time() >= look_at:
                entries += await self._left_over(entries)
                look_at = loop.time() + self._overlooked.total_seconds()
            for entry, event in entries:
                subject = event.run or settings_notices.channel_of(event)
                if subject is None:
                    await self._tick_off([(entry, event)])
                    continue
                await self._room.acquire()
                self._in_hand.add(entry)
                self._card_queue.add(Batch(subject, [(entry, event)]))

    async def _left_over(self, read: list[Entry]) -> list[Entry]:
        """Return overlooked events; the events in `read` are about to be drawn."""
        known = self._in_hand | {entry for entry, _ in read}  # some are drawn and let go while Redis answers
        idle = await self._outbox.overlooked(self._overlooked, 100)
        left = [(entry, event) for entry, event in idle if entry not in known]
        if left:
            _log.warning("Drawing %d events that were handed out but never drawn.", len(left))
            metrics.repaired(Repair.EVENT_OVERLOOKED, len(left))
        return left

    async def _draw_cards(self, batch: Batch) -> list[File]:
        if isinstance(batch.subject, ChannelId):
            return []
        if self._allow is not None:
            for event in batch.events:
                if event.type is EventType.REQUEST_ASKED and event.request:
                    await self._allow(event.request)
        return await self.cards.draw(batch.subject, batch.events, batch.doubted)

    async def _cards_drawn(self, batch: Batch) -> None:
        self._thread_queue.add(Batch(batch.subject, batch.entries, batch.files))

    async def _draw_thread(self, batch: Batch) -> list[File]:
        if isinstance(batch.subject, ChannelId):
            await settings_notices.draw(self._store, self._poster, batch.entries)
            return []
        without_worker = batch.subject in self._without_worker
        return await thread_drawing.draw(
            self._store,
            self._poster,
            batch.subject,
            self._directory,
            self._agent_features,
            without_worker=without_worker,
        )

    async def _thread_drawn(self, batch: Batch) -> None:
        """Upload the batch's files, or tick its events off if it has none."""
        kept = False
        try:
            files = await self._to_attach(batch.files)
            if kept := bool(files):
                task = asyncio.create_task(self._attach(batch, files), name=f"attach files of {batch.subject}")
                self._attaching[task] = [file.name for file in files]
                task.add_done_callback(self._attaching.pop)
            else:
                await self._tick_off(batch.entries)
        except StoreUnavailable as away:
            _log.warning(
                "%s %s is drawn, but its events are not ticked off and will be read again.", away, batch.subject
            )
        finally:
            if not kept:
                self._release(batch.entries)

    async def _attach(self, batch: Batch, files: list[File]) -> None:
        """Upload files in the background.

        An upload may take minutes, and no decision waits for it (R36). Afterwards the run is drawn again, because its
        cards and notes say which files could not be uploaded.
        """
        try:
            for file in files:
                await self._files.attach(file)
        except CountersignError as wrong:
            _log.warning("Files of %s will be uploaded later. %s", batch.subject, wrong)
            self._release(batch.entries)
        except BaseException:
            self._release(batch.entries)
            raise
        else:
            self._card_queue.add(Batch(batch.subject, batch.entries))

    async def _tick_off(self, entries: list[Entry]) -> None:
        for entry, event in entries:
            await self._outbox.done(entry)
            metrics.happened(event)
            self._drawn(event)

    def _release(self, entries: list[Entry]) -> None:
        for entry, _ in entries:
            self._in_hand.discard(entry)
            self._room.release()

    async def _to_attach(self, files: list[File]) -> list[File]:
        """Select files that are not in Slack, not being uploaded, and have not failed."""
        known = await self._store.messages([file.name for file in files])
        over = {name for name, file in known.items() if file.ts or file.problem}
        under_way = {name for names in self._attaching.values() for name in names}
        return [file for file in files if file.name not in over | under_way]


async def _again_and_again(look: Callable[[], Awaitable[None]]) -> None:
    """Call it every few seconds until cancelled, whatever goes wrong."""
    while True:
        try:
            await look()
        except CountersignError as wrong:
            _log.warning("%s is tried again. %s", look.__qualname__, wrong)
        except Exception:
            _log.exception("%s failed; it is tried again.", look.__qualname__)
        await asyncio.sleep(LEASE.total_seconds() / 3)
