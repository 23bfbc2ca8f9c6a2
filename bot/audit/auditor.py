"""Chain the events, copy the record into a database, and drop old entries.

A lease lets one process at a time do this; if two ever do, the ledger's script lets only one win. All of the state is
in Redis, so the process may be killed at any moment.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Protocol

from countersign import metrics
from countersign.domain.errors import StoreUnavailable
from countersign.domain.hash_chain import Head, Kept, seal
from countersign.store.audit_log import Ledger, Position, StreamEvent
from countersign.store.store import Store

from .entries import about, entry_of

LEASE: Final = timedelta(seconds=6)
TRIM_EVERY: Final = timedelta(minutes=1)
AT_ONCE: Final = timedelta(0)
"""Events with this retention are dropped as soon as they are drawn and chained, within about a second."""
_WAIT: Final = timedelta(seconds=1)
_BATCH: Final = 20
"""Entries made at once: each takes about a quarter of a millisecond, and clicks share the event loop."""
_log = logging.getLogger(__name__)


class Sink(Protocol):
    """A database that the record is copied to."""

    async def position(self) -> int:
        """Return the number of the last entry that is certainly there."""
        ...


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention of events and entries.

    None keeps them for ever, AT_ONCE until they are drawn and chained.
    """

    events: timedelta | None = AT_ONCE
    entries: timedelta | None = None


Work = Callable[[], Coroutine[None, None, None]]


class Auditor:
    """Keeper of the record, as long as this process holds the auditor's lease.

    `beside`: other work under the same lease.
    """

    def __init__(
        self,
        store: Store,
        owner: str,
        *,
        keep: Retention | None = None,
        sink: Sink | None = None,
        beside: Sequence[Work] = (),
        lease: timedelta = LEASE,
    ) -> None:
        self._store = store
        self._ledger = Ledger(store)
        self._owner = owner
        self._keep = keep or Retention()
        self._sink = sink
        self._beside = beside
        self._held = lease

    async def run(self) -> None:
        """Keep the record until cancelled, then release the lease for another process."""
        try:
            while True:
                try:
                    if await self._ledger.lease.claim(self._owner, self._held):
                        await self._as_auditor()
                except StoreUnavailable as away:
                    _log.warning("%s The record continues when the store is back.", away)
                await asyncio.sleep(self._held.total_seconds() / 6)
        finally:
            try:
                await self._ledger.lease.release(self._owner)
            except StoreUnavailable:
                _log.info("The auditor's lease could not be released; it will expire.")

    async def _as_auditor(self) -> None:
        works = [asyncio.create_task(work(), name="record") for work in (self._chain, *self._beside)]
        try:
            while not any(work.done() for work in works):
                await asyncio.wait(works, timeout=self._held.total_seconds() / 3, return_when=asyncio.FIRST_COMPLETED)
                if not await self._ledger.lease.renew(self._owner, self._held):
                    _log.warning("Another process keeps the record now.")
                    return
            for work in works:
                if work.done():
                    work.result()
        finally:
            for work in works:
                work.cancel()
            await asyncio.gather(*works, return_exceptions=True)

    async def _chain(self) -> None:
        loop = asyncio.get_running_loop()
        trim_at = drop_at = loop.time()
        left = True  # events, by the auditor before
        while True:
            try:
                left = await self.chain(_WAIT) > 0 or left
                if left and self._keep.events == AT_ONCE and loop.time() >= drop_at:
                    left = await self._ledger.trim_events() > 0  # if so, they are not drawn or not chained yet
                    drop_at = loop.time() + _WAIT.total_seconds()
                if loop.time() >= trim_at:
                    await self.trim()
                    trim_at = loop.time() + TRIM_EVERY.total_seconds()
            except ValueError as wrong:  # a damaged head: nothing may be built on it, and nothing is lost by waiting
                _log.error("The record cannot continue: %s Run `countersign audit verify` to see the cause.", wrong)
                await asyncio.sleep(TRIM_EVERY.total_seconds())

    async def chain(self, wait: timedelta = timedelta(0)) -> int:
        """Chain the next events and return their number; 0 if none came in time."""
        position = await self._ledger.position()
        events = await self._ledger.events(position.event, _BATCH, wait)
        if not events:
            return 0
        answer = await self._ledger.append(position, await self._made(position, events))
        if answer == "done":
            now = (await self._store.now()).timestamp()
            for stored in events:
                metrics.entry_recorded(now - int(stored.event.split("-")[0]) / 1000)
        if answer == "gap":
            _log.error("The stream after event %s changed while it was read; reading again.", position.event)
        return len(events) if answer == "done" else 0

    async def catch_up(self) -> None:
        """Chain all events there are."""
        while await self.chain():
            pass

    async def trim(self) -> None:
        """Drop events and entries after their retention period.

        Events that are not drawn and chained stay, and so do entries that are not in the sink.
        """
        now = await self._store.now()
        if self._keep.events is not None:
            await self._ledger.trim_events(None if self._keep.events == AT_ONCE else now - self._keep.events)
        if self._keep.entries is None:
            return
        upto = await self._ledger.before(now - self._keep.entries)
        if self._sink is not None:
            upto = min(upto, await self._sink.position())
        dropped = await self._ledger.trim(upto)
        if dropped:
            _log.info("Dropped %d entries of the record after their retention period.", dropped)

    async def _made(self, position: Position, events: Sequence[StreamEvent]) -> list[tuple[str, Kept | None]]:
        names = [about(stored.raw) for stored in events]
        wanted = list(dict.fromkeys(name for name in names if name is not None))
        requests = await self._store.readable(wanted)  # continues without unreadable ones
        made: list[tuple[str, Kept | None]] = []
        head = position.head
        for stored, name in zip(events, names, strict=True):
            fields = entry_of(stored, requests.get(name) if name else None)
            kept = seal(head, fields) if fields is not None else None
            if kept is not None:
                head = Head(head.n + 1, kept.hash)
            made.append((stored.event, kept))
        return made
