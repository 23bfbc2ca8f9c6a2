"""The record in Redis: a chain of entries that follows the events.

Entries are appended in one step, which detects every duplicate and gap. The head names the last chained event, so the
chain itself marks the position in the events and no separate bookkeeping is needed. Two auditors, a repeat after a lost
reply or a kill at any moment cannot make a duplicate, a gap or a fork.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from countersign.domain.errors import UnknownSchema
from countersign.domain.hash_chain import START, Head, Kept, read_head
from countersign.store.codec import compress, decompress, from_ms, ms
from countersign.store.leases import ProcessLease
from countersign.store.records import stream_entries
from countersign.store.redis.scripts import Script
from countersign.store.store import Store

TOGETHER: Final = 0.02
"""Seconds from a new event until it is read. Events that follow at once are read with it, and the callers that decided
or wait for the decision are answered first."""
KEPT_HEAD: Final = timedelta(days=30)
"""How long the first head of a day is kept."""
_PAGE: Final = 500
_HERE = Path(__file__).parent


class StreamEvent(NamedTuple):
    """A stored event, by its id in the stream."""

    event: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """The extent of the record: head, last event chained, last entry trimmed."""

    head: Head
    event: str
    checkpoint: Head = START


class Ledger:
    """The record of one namespace."""

    def __init__(self, store: Store) -> None:
        self.lease = ProcessLease(store.client, store.keys.auditor)
        """The lease only saves work; the chain is safe without it."""
        self._client = store.client
        self._keys = store.keys
        self._append = store.writing((_HERE / "append_audit.lua").read_text())
        self._trim = Script(store.client, (_HERE / "trim_audit.lua").read_text())
        self._three = [store.keys.audit, store.keys.audit_head, store.keys.events]

    async def position(self) -> Position:
        """Read the extent of the record. ValueError if its head was damaged."""
        raw = await self._client.hmget(self._keys.audit_head, "n", "hash", "event", "checkpoint")
        n, digest, event, checkpoint = ((part or b"").decode(errors="replace") for part in raw)
        head = read_head(f"{n}:{digest}") if n or digest else START
        return Position(head, event, read_head(checkpoint) if checkpoint else START)

    async def events(self, after: str, limit: int, wait: timedelta) -> list[StreamEvent]:
        """Read the next events, oldest first; empty if none came while it waited.

        Events that follow a new event at once are returned with it.
        """
        events = await self._events(after, limit, wait)
        if wait and 0 < len(events) < limit:
            await asyncio.sleep(TOGETHER)
            events += await self._events(events[-1].event, limit - len(events), timedelta(0))
        return events

    async def _events(self, after: str, limit: int, wait: timedelta) -> list[StreamEvent]:
        answer = await self._client.xread({self._keys.events: after or "0"}, limit, round(wait / _MS) or None)
        return [StreamEvent(entry.decode(), fields.get(b"event", b"")) for entry, fields in stream_entries(answer)]

    async def append(self, after: Position, made: Sequence[tuple[str, Kept | None]]) -> str:
        """Append the entries made of some events.

        Returns `done`, or, with nothing changed, `moved` if the head has changed, and `gap` if other events follow it.
        """
        first = after.head.n == 0 and not after.event
        args: list[str | bytes] = ["", ""] if first else [str(after.head.n), after.head.hash]
        args += [after.event, next((kept.hash for _, kept in reversed(made) if kept), after.head.hash)]
        for event, kept in made:
            args += [event, compress(kept.entry.encode()) if kept else ""]
        answer = await self._append(keys=self._three, args=args)
        return str(answer.decode())

    async def read(self, after: int, limit: int = _PAGE) -> list[tuple[int, Kept]]:
        """Read the entries that follow number `after`, each with its number."""
        entries = await self._client.xrange(self._keys.audit, f"({after}-18446744073709551615", "+", count=limit)
        return [_standing(entry, fields) for entry, fields in entries]

    async def all(self, after: int = 0) -> AsyncIterator[tuple[int, Kept]]:
        """Read all entries that follow number `after`."""
        while page := await self.read(after):
            for n, kept in page:
                yield n, kept
            after = page[-1][0]

    async def before(self, moment: datetime) -> int:
        """Find the last entry kept whose event was stored before the moment.

        Without such an entry, it is the number before all entries.
        """
        position = await self.position()
        low, high = position.checkpoint.n, position.head.n
        while low < high:
            middle = (low + high + 1) // 2
            entries = await self.read(middle - 1, 1)
            if entries and _stored_before(entries[0][1], moment):
                low = middle
            else:
                high = middle - 1
        return low

    async def trim_events(self, before: datetime | None = None) -> int:
        """Drop events that are drawn and chained; return the number of remaining ones.

        `before`: only events that were stored before then.
        """
        return await self._drop("events", "+" if before is None else f"{max(ms(before), 0)}-0")

    async def trim(self, upto: int) -> int:
        """Drop the entries up to `upto`, but never the last; return their number.

        The rest is verified from a checkpoint. If the entry after it does not follow the last dropped entry, one of the
        two is damaged, and nothing is dropped.
        """
        n = min(upto, (await self.position()).head.n - 1)
        entries = await self.read(n - 1, 2) if n > 0 else []
        if [number for number, _ in entries] != [n, n + 1] or not entries[1][1].follows(entries[0][1].hash):
            return 0
        return await self._drop("record", str(n), entries[0][1].hash)

    async def head_of(self, day: date) -> Head | None:
        """Return the head of that day, None for an empty record.

        It is the head at the time of the first call for that day.
        """
        head = (await self.position()).head
        if head.n == 0:
            return None
        name = self._keys.audit_day(day)
        await self._client.set(name, str(head), nx=True, px=ms(KEPT_HEAD))
        stored = await self._client.get(name)
        return read_head(stored.decode()) if stored else head

    async def _drop(self, kind: str, *upto: str) -> int:
        return int(await self._trim(keys=self._three, args=[kind, *upto]))


_MS = timedelta(milliseconds=1)


def _standing(entry: bytes, fields: dict[bytes, bytes]) -> tuple[int, Kept]:
    """Read an entry with its number; a damaged one is shown as it is."""
    text = fields.get(b"entry", b"")
    with contextlib.suppress(UnknownSchema):
        text = decompress(text)
    return int(entry.split(b"-")[0]), Kept.of(text.decode("ascii", "replace"))


def _stored_before(kept: Kept, moment: datetime) -> bool:
    """Tell whether the entry's event was stored before the moment.

    False if the entry has no time, so that nothing is dropped.
    """
    try:
        return from_ms(int(str(kept.fields()["event"]).split("-")[0])) < moment
    except (ValueError, KeyError, OverflowError, OSError):
        return False
