"""Outbox of events: the projector gets each event until Slack shows it.

The lists of requests are updated before an event is handed out. A lease makes one process at a time the projector. All
projectors read as the same consumer of one group, so the next projector reads the unfinished events of a dead one
again.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from countersign import metrics
from countersign.domain.errors import StoreUnavailable, UnknownSchema
from countersign.domain.events import Event
from countersign.metrics import Repair
from countersign.store.audit_log import TOGETHER
from countersign.store.leases import ProcessLease
from countersign.store.record_codecs import EVENTS
from countersign.store.records import stream_entries
from countersign.store.request_lists import Lists
from countersign.store.store import Store

GROUP: Final = "projector"
_BLOCK: Final = 1
"""Seconds for which a read waits."""
_log = logging.getLogger(__name__)


class Outbox:
    """The event stream, for the projector."""

    def __init__(self, store: Store) -> None:
        self.lease = ProcessLease(store.client, store.keys.projector)
        self._store = store
        self._lists = Lists(store)
        self._undelivered = "0"
        self._claimed_to = b"0-0"
        self._left: set[bytes] = set()

    async def open(self) -> None:
        """Create the group if it is missing, and begin with unfinished events."""
        self._undelivered = "0"
        try:
            await self._store.client.xgroup_create(self._store.keys.events, GROUP, id="0", mkstream=True)
        except StoreUnavailable as wrong:
            if "BUSYGROUP" not in str(wrong):
                raise

    async def read(self, limit: int) -> list[tuple[str, Event]]:
        """Read the next events with their ids, oldest first; empty after a second.

        Events that follow a new event at once are returned with it.
        """
        entries = await self._handed_out(limit, 1000 * _BLOCK)
        if 0 < len(entries) < limit and self._undelivered == ">":
            await asyncio.sleep(TOGETHER)
            entries += await self._handed_out(limit - len(entries), None)
        events = await self._readable(entries)
        if self._undelivered != ">":
            if events:
                _log.warning("The previous projector left %d events unfinished; drawing them again.", len(events))
                metrics.repaired(Repair.PROJECTOR_STOPPED, len(events))
            self._undelivered = entries[-1][0].decode() if entries else ">"
        return events

    async def _handed_out(self, limit: int, block: int | None) -> list[tuple[bytes, dict[bytes, bytes]]]:
        streams = {self._store.keys.events: self._undelivered}
        return stream_entries(
            await self._store.client.xreadgroup(GROUP, "projector", streams, count=limit, block=block)
        )

    async def overlooked(self, idle: timedelta, limit: int) -> list[tuple[str, Event]]:
        """Read unfinished events handed out at least `idle` ago, oldest first.

        Some of them may be in work. The reply that handed them out may have been lost, or received by a process that
        may no longer update Slack. An event left for a newer version does not hide later events: the search continues
        where it ended.
        """
        while True:
            self._claimed_to, entries, *_ = await self._store.client.xautoclaim(
                self._store.keys.events,
                GROUP,
                "projector",
                round(idle.total_seconds() * 1000),
                start_id=self._claimed_to,
                count=limit,
            )
            if (events := await self._readable(entries)) or self._claimed_to == b"0-0":
                return events

    async def done(self, entry: str) -> None:
        """Mark the event as done, because Slack shows it."""
        await self._store.client.xack(self._store.keys.events, GROUP, entry)

    async def _readable(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[tuple[str, Event]]:
        """Read the events and update the lists first: every visible card is listed.

        Events of a newer version of this program are left out: they stay pending for its projector.
        """
        events = []
        for entry, fields in entries:
            try:
                if fields:
                    events.append((entry.decode(), EVENTS.load(fields[b"event"])))
            except UnknownSchema as wrong:
                if entry not in self._left:
                    self._left.add(entry)
                    _log.error("Event %s is left for a version that can read it. %s", entry.decode(), wrong)
        await self._lists.follow(event for _, event in events)
        return events
