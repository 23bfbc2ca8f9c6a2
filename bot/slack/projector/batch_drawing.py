"""Draw the events of one run or channel, and try again as long as it may help."""

import asyncio
import itertools
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from countersign.domain.errors import CountersignError, NewerSchema, StoreUnavailable
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, RequestId, RunId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.ports import Store

from ..slack_calls import CannotPost, DrawingTask, Outdated, drawing_task
from . import run_drawing, settings_notices
from .drawing_lease import DrawingLease
from .file_uploads import File
from .message_sync import Poster

TRY_AGAIN: Final = timedelta(seconds=30)
"""After this long a card that Slack did not take is tried again (R21)."""
_FIRST_PAUSE: Final = 0.5
_UNTIL_HELD: Final = 0.1
"""Seconds between two looks whether this process holds the lease again."""
Subject = RunId | ChannelId
"""What is drawn in its own order: a run, or the notices about a channel's settings."""
Entry = tuple[str, Event]
"""An event, and its id in the stream."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Batch:
    """New events of one subject, drawn together. `doubted`: see `run_drawing.draw`."""

    subject: Subject
    entries: list[Entry]
    doubted: set[RequestId] = field(default_factory=set)

    @property
    def events(self) -> list[Event]:
        """The events alone."""
        return [event for _, event in self.entries]


class BatchDrawing:
    """Draws batches, while this process holds the lease. `at_rest` are tasks that wait until they try again."""

    def __init__(
        self,
        store: Store,
        poster: Poster,
        lease: DrawingLease,
        waiting: dict[Subject, list[Entry]],
        allow: Callable[[RequestId], Awaitable[None]] | None,
    ) -> None:
        """`waiting`: what happened to a subject since it was read. `allow` may answer a new request before anything is
        drawn of it."""
        self._store = store
        self._poster = poster
        self._lease = lease
        self._waiting = waiting
        self._allow = allow
        self.at_rest: set[asyncio.Task[Any]] = set()

    async def until_drawn(self, batch: Batch) -> list[File]:
        """Draw, and try again as long as it may help; returns the files that belong to what is drawn."""
        subject, pause = batch.subject, _FIRST_PAUSE
        drawing_task.set(DrawingTask(lambda: self._lease.held_until, lambda: bool(self._waiting.get(subject))))
        while True:
            try:
                if isinstance(subject, ChannelId):
                    await settings_notices.draw(self._poster, batch.entries)
                    return []
                return await self._draw_run(subject, batch)
            except Outdated as outdated:
                _log.info("%s", outdated)
                if asyncio.get_running_loop().time() > self._lease.held_until:
                    with self._resting():
                        await asyncio.sleep(_UNTIL_HELD)
                batch.entries += self._waiting.pop(subject, [])
                continue
            except StoreUnavailable as away:
                _log.warning("%s Drawing %s goes on when it is back.", away, subject)
            except CannotPost as refused:
                _log.error("Slack refuses what %s should show (%s).", subject, refused)
                if isinstance(subject, ChannelId) or await self._over(subject):
                    return []
                pause = TRY_AGAIN.total_seconds()
            except NewerSchema as newer:
                _log.error("%s is left for a newer version of the app. %s", subject, newer)
                pause = TRY_AGAIN.total_seconds()
            except CountersignError as wrong:
                _log.error("%s cannot be drawn: %s", subject, wrong)
                return []
            except Exception:
                _log.exception("%s could not be drawn; trying again.", subject)
            with self._resting():
                await asyncio.sleep(pause)
            pause = min(pause * 2, TRY_AGAIN.total_seconds())

    async def _draw_run(self, run: RunId, batch: Batch) -> list[File]:
        """Draw a run until no older picture can stand over a newer one.

        What drawing itself changes, such as a deadline that begins with its card, is drawn at once. Another process
        may have drawn what changed meanwhile; not if this one still holds the lease: then the change has an event,
        which comes next. So a run that never rests does not keep its events from being ticked off.
        """
        if self._allow is not None:
            for event in batch.events:
                if event.type is EventType.REQUEST_ASKED and event.request:
                    await self._allow(event.request)
        for drawn in itertools.count(1):
            before = await self._state(run, batch.events)
            files = await run_drawing.draw(self._store, self._poster, run, batch.events, batch.doubted)
            if await self._state(run, batch.events) == before or (drawn > 1 and await self._lease.was_held()):
                break
        return files

    @contextmanager
    def _resting(self) -> Iterator[None]:
        """Mark this task as one that has nothing under way which it would have to see the end of."""
        task = asyncio.current_task()
        assert task is not None
        self.at_rest.add(task)
        try:
            yield
        finally:
            self.at_rest.discard(task)

    async def _state(self, run: RunId, events: list[Event]) -> tuple[Run | None, list[Request | None]]:
        """Read what is drawn from: the run, and all of its open requests, which may be rows of the same card."""
        seen = await self._store.run(run)
        still = seen.value.open.values() if seen else ()
        requests = dict.fromkeys([*(e.request for e in events if e.request is not None), *still])
        return seen.value if seen else None, await self._store.requests(list(requests))

    async def _over(self, run: RunId) -> bool:
        seen = await self._store.run(run)
        return seen is None or seen.value.over
