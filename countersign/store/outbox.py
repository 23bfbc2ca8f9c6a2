"""Outbox of events: each is handed to the projector until Slack shows it.

The lists follow first. One process at a time is the projector, by a lease. All projectors read as the same consumer of
one group, so what a dead one had in hand is read again by the next.
"""

import logging
from datetime import timedelta
from typing import Final

import redis.exceptions

from countersign import metrics
from countersign.domain.errors import UnknownSchema
from countersign.domain.events import Event
from countersign.metrics import Repair
from countersign.store.reads import reaching
from countersign.store.request_lists import Lists
from countersign.store.store import Store
from countersign.store.worker_reports import read_event

GROUP: Final = "projector"
_BLOCK: Final = timedelta(seconds=1)
_log = logging.getLogger(__name__)


class Outbox:
    """Reads the event stream for the projector."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lists = Lists(store)
        self._undelivered = "0"
        self._claimed_to = b"0-0"
        self._left: set[bytes] = set()

    async def claim(self, owner: str, ttl: timedelta) -> bool:
        """Claim the right to draw for `ttl`; False if another process has it."""
        return await self._store.leases.claim_projector(owner, ttl) > 0

    async def renew(self, owner: str, ttl: timedelta) -> bool:
        """Keep the right to draw; False if another process has it by now."""
        return await self._store.leases.renew_projector(owner, ttl)

    async def release(self, owner: str) -> None:
        """Give the right to draw back at once."""
        await self._store.leases.release_projector(owner)

    async def open(self) -> None:
        """Make the group if there is none, and read again what was handed out but not finished."""
        self._undelivered = "0"
        async with reaching():
            try:
                await self._store.client.xgroup_create(self._store.keys.events, GROUP, id="0", mkstream=True)
            except redis.exceptions.ResponseError as wrong:
                if "BUSYGROUP" not in str(wrong):
                    raise

    async def read(self, limit: int) -> list[tuple[str, Event]]:
        """The next events with their ids, oldest first; empty after a second without any."""
        async with reaching():
            answer = await self._store.client.xreadgroup(
                GROUP,
                "projector",
                {self._store.keys.events: self._undelivered},
                count=limit,
                block=round(_BLOCK.total_seconds() * 1000),
            )
        entries = _entries(answer)
        told = await self._told(entries)
        if self._undelivered != ">":
            if told:
                _log.warning("The projector before left %d events half drawn; drawing them again.", len(told))
                metrics.repaired(Repair.PROJECTOR_STOPPED, len(told))
            self._undelivered = entries[-1][0].decode() if entries else ">"
        return told

    async def overlooked(self, idle: timedelta, limit: int) -> list[tuple[str, Event]]:
        """Events that were handed out at least so long ago and not finished, the oldest first; some may be in hand.

        The reply that handed them out may have been lost, or taken by a process that may not draw any more. What
        is left for a newer version hides nothing behind it: the search goes on where it ended.
        """
        while True:
            async with reaching():
                self._claimed_to, entries, *_ = await self._store.client.xautoclaim(
                    self._store.keys.events,
                    GROUP,
                    "projector",
                    round(idle.total_seconds() * 1000),
                    start_id=self._claimed_to,
                    count=limit,
                )
            if (told := await self._told(entries)) or self._claimed_to == b"0-0":
                return told

    async def done(self, entry: str) -> None:
        """Slack shows this event."""
        async with reaching():
            await self._store.client.xack(self._store.keys.events, GROUP, entry)

    async def _told(self, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> list[tuple[str, Event]]:
        """The events, of which the lists know already: who sees a card finds it in the lists too.

        Without those of a newer version of this program: they stay in hand, and its projector reads them again.
        """
        told = []
        for entry, fields in entries:
            try:
                if fields:
                    told.append((entry.decode(), read_event(fields, entry)))
            except UnknownSchema as wrong:
                if entry not in self._left:
                    self._left.add(entry)
                    _log.error("Event %s is left for a version that can read it. %s", entry.decode(), wrong)
        await self._lists.follow(event for _, event in told)
        return told


def _entries(answer: object) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """The entries in XREADGROUP's reply, which is a list in RESP2 and a mapping in RESP3."""
    if isinstance(answer, dict):
        found = [entry for batches in answer.values() for batch in batches for entry in batch]
        return found
    if isinstance(answer, list):
        return [entry for _, batch in answer for entry in batch]
    return []
