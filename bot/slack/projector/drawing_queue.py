"""Draw the events of each run or channel in turn, under the drawing lease.

One process draws at a time. It retries as long as a retry may help.
"""

import asyncio
import itertools
import logging
import math
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from countersign.domain.errors import CountersignError, NewerSchema, StoreUnavailable
from countersign.domain.events import Event
from countersign.domain.ids import ChannelId, RequestId, RunId
from countersign.domain.pauses import doubling
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.logs import about
from countersign.usecases.ports import Store

from ..ports import CannotPost, DrawingTask, Outbox, Outdated, drawing_task
from .message_sync import File

LEASE: Final = timedelta(seconds=6)
ON_ITS_WAY: Final = timedelta(seconds=1)
"""A process stops sending this long before its lease may end, because a call takes time to reach Slack."""
TRY_AGAIN: Final = timedelta(seconds=30)
"""Pause before a card that Slack refused is tried again (R21)."""
_FIRST_PAUSE: Final = 0.5
_LEASE_LOOK: Final = 0.1
"""Seconds between two checks whether this process holds the lease again."""
Subject = RunId | ChannelId
"""A unit that is drawn in order: a run, or a channel's notices about its settings."""
Entry = tuple[str, Event]
"""An event, and its id in the stream."""
_log = logging.getLogger(__name__)


class DrawingLease:
    """Lease of this process.

    `held_until`: the time, by the loop's clock, from which another process may draw.
    """

    def __init__(self, outbox: Outbox, owner: str) -> None:
        self._outbox = outbox
        self._owner = owner
        self.held_until = -math.inf

    async def claim(self) -> bool:
        """Claim the lease, and tell whether this process may draw from now on."""
        asked = asyncio.get_running_loop().time()
        return self._note(asked, await self._outbox.lease.claim(self._owner, LEASE))

    async def renew(self) -> bool:
        """Renew the lease, and tell whether this process may continue."""
        asked = asyncio.get_running_loop().time()
        return self._note(asked, await self._outbox.lease.renew(self._owner, LEASE))

    async def was_kept(self) -> bool:
        """Tell whether no other process held the lease since this process claimed it."""
        return await self._outbox.lease.renew(self._owner, LEASE)

    async def release(self) -> None:
        """Let another process draw at once."""
        try:
            await self._outbox.lease.release(self._owner)
        except StoreUnavailable:
            _log.info("The drawing lease could not be released; it will expire.")

    def _note(self, asked: float, holds: bool) -> bool:
        self.held_until = asked + (LEASE - ON_ITS_WAY).total_seconds() if holds else -math.inf
        return holds


@dataclass(slots=True)
class Batch:
    """New events of one subject, drawn together, and the files to upload for them.

    `doubted`: see `CardDrawing.draw`.
    """

    subject: Subject
    entries: list[Entry] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    doubted: set[RequestId] = field(default_factory=set)

    @property
    def events(self) -> list[Event]:
        """Return the events without their stream ids."""
        return [event for _, event in self.entries]


class DrawingQueue:
    """Draws one part of each subject, cards or thread, under the lease.

    Subjects do not wait for each other. Events that arrive while their subject is being drawn form its next batch.
    """

    def __init__(
        self,
        store: Store,
        lease: DrawingLease,
        draw: Callable[[Batch], Awaitable[list[File]]],
        drawn: Callable[[Batch], Awaitable[None]],
        delay: timedelta,
    ) -> None:
        """Take the two halves of the work.

        `draw` draws a batch and returns its files; `drawn` is called with the batch afterwards. `delay`: events within
        this time are drawn together.
        """
        self._store = store
        self._lease = lease
        self._draw_part = draw
        self._drawn = drawn
        self._delay = delay.total_seconds()
        self._waiting: dict[Subject, Batch] = {}
        self._at_rest: set[asyncio.Task[Any]] = set()
        self._tasks: dict[Subject, asyncio.Task[None]] = {}

    def add(self, batch: Batch) -> None:
        """Queue an event, to be drawn with the waiting events of the same subject."""
        waiting = self._waiting.setdefault(batch.subject, Batch(batch.subject))
        waiting.entries += batch.entries
        waiting.files += batch.files
        if batch.subject not in self._tasks:
            self._tasks[batch.subject] = asyncio.create_task(self._run(batch.subject), name=f"draw {batch.subject}")

    async def stop(self, half_seconds: int) -> None:
        """Start no new batch, and give the running ones this long to end."""
        self._waiting.clear()
        tasks = list(self._tasks.values())
        for _ in range(half_seconds):
            for task in self._at_rest:
                task.cancel()
            if not all(task.done() for task in tasks):
                await asyncio.wait(tasks, timeout=0.5)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._waiting.clear()

    async def _run(self, subject: Subject) -> None:
        """Draw batches until none is left."""
        kind = "channel" if isinstance(subject, ChannelId) else "run"
        try:
            with about(**{kind: subject}):
                while subject in self._waiting:
                    await asyncio.sleep(self._delay)
                    batch = self._waiting.pop(subject, None)
                    if batch is None:
                        return  # drawing was stopped in the meantime
                    batch.files += await self._until_drawn(batch)
                    await self._drawn(batch)
        finally:
            self._tasks.pop(subject, None)

    async def _until_drawn(self, batch: Batch) -> list[File]:
        """Draw, retrying as long as it may help, and return the files."""
        subject = batch.subject
        pauses = doubling(_FIRST_PAUSE, TRY_AGAIN.total_seconds())
        task = DrawingTask(lambda: self._lease.held_until, lambda: subject in self._waiting)
        drawing_task.set(task)
        while True:
            try:
                if isinstance(subject, ChannelId):
                    return await self._draw_part(batch)
                return await self._draw_run(subject, batch)
            except Outdated as outdated:
                _log.info("%s", outdated)
                if not task.overtaken and asyncio.get_running_loop().time() > self._lease.held_until:
                    with self._resting():
                        await asyncio.sleep(_LEASE_LOOK)
                if (news := self._waiting.pop(subject, None)) is not None:
                    batch.entries += news.entries
                    batch.files += news.files
                continue
            except StoreUnavailable as away:
                _log.warning("%s Drawing %s continues when the store is back.", away, subject)
            except CannotPost as refused:
                _log.error("Slack refuses the messages of %s (%s).", subject, refused)
                if isinstance(subject, ChannelId) or await self._over(subject):
                    return []
                pauses = itertools.repeat(TRY_AGAIN.total_seconds())
            except NewerSchema as newer:
                _log.error("%s is left for a newer version of the app. %s", subject, newer)
                pauses = itertools.repeat(TRY_AGAIN.total_seconds())
            except CountersignError as wrong:
                _log.error("%s cannot be drawn: %s", subject, wrong)
                return []
            except Exception:
                _log.exception("%s could not be drawn; trying again.", subject)
            with self._resting():
                await asyncio.sleep(next(pauses))

    async def _draw_run(self, run: RunId, batch: Batch) -> list[File]:
        """Draw a run, and draw it again if it changed in the meantime.

        Twice is enough. Only a change made by drawing itself has no event: a deadline that begins with its card. Any
        other change has an event, which is drawn next, so even a run that changes constantly gets its events ticked
        off.
        """
        for drawn in itertools.count(1):
            before = await self._state(run, batch.events)
            files = await self._draw_part(batch)
            if await self._state(run, batch.events) == before or (drawn > 1 and await self._lease.was_kept()):
                break
        return files

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Mark this task as safe to cancel."""
        task = asyncio.current_task()
        assert task is not None
        self._at_rest.add(task)
        try:
            yield
        finally:
            self._at_rest.discard(task)

    async def _state(self, run: RunId, events: list[Event]) -> tuple[Run | None, dict[RequestId, Request | None]]:
        """Read the run and the requests of these events; unreadable ones are left out."""
        seen = await self._store.run(run)
        requests = dict.fromkeys(event.request for event in events if event.request is not None)
        return seen.value if seen else None, await self._store.readable(list(requests))

    async def _over(self, run: RunId) -> bool:
        seen = await self._store.run(run)
        return seen is None or seen.value.over
