"""The record in Redis: a chain of entries that follows the events.

It is appended to in one step, which finds every double and gap.

The head holds which event was chained last, so the chain itself is the place in the events: there is nothing to tick
off, and two auditors, a repeat after a lost reply or a kill at any moment cannot make a double, a gap or a fork.
"""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from countersign.domain.errors import UnknownSchema
from countersign.domain.hash_chain import START, Head, Kept, read_head
from countersign.store.codec import compress, decompress, from_ms, ms
from countersign.store.keys import KEPT_LEASE
from countersign.store.ownership import EVENTS
from countersign.store.reads import reaching
from countersign.store.redis.scripts import Script
from countersign.store.store import Store
from countersign.store.worker_reports import read_event

KEPT_HEAD: Final = timedelta(days=30)
"""How long it is known which head was the first of a day."""
COUNTED: Final = timedelta(days=7)
"""How long a call that the policy did not let pass is counted."""
MOST_COUNTED: Final = 1000
_PAGE: Final = 500
_HERE = Path(__file__).parent


class Told(NamedTuple):
    """An event as it counts, by its id in the stream; `by_worker`: web has only a worker's word for it."""

    event: str
    raw: bytes
    by_worker: bool


@dataclass(frozen=True, slots=True)
class Position:
    """The extent of the record: its head, the last event chained, its begin since it was trimmed."""

    head: Head
    event: str
    checkpoint: Head = START


class Ledger:
    """Reads and appends the record of one namespace."""

    def __init__(self, store: Store) -> None:
        self._client = store.client
        self._keys = store.keys
        self._append = store.writing((_HERE / "append_audit.lua").read_text())
        self._trim = Script(store.client, (_HERE / "trim_audit.lua").read_text())
        self._lease = Script(store.client, (_HERE / "hold_lease.lua").read_text())
        self._three = [store.keys.audit, store.keys.audit_head, store.keys.events]

    async def position(self) -> Position:
        """The extent of the record. ValueError if its head was damaged."""
        async with reaching():
            raw = await self._client.hmget(self._keys.audit_head, "n", "hash", "event", "checkpoint")
        n, digest, event, checkpoint = ((part or b"").decode(errors="replace") for part in raw)
        head = read_head(f"{n}:{digest}") if n or digest else START
        return Position(head, event, read_head(checkpoint) if checkpoint else START)

    async def events(self, after: str, limit: int, wait: timedelta) -> list[Told]:
        """The next events, oldest first; empty if none came while it waited."""
        async with reaching():
            answer = await self._client.xread({self._keys.events: after or "0"}, limit, round(wait / _MS) or None)
        batches = answer.values() if isinstance(answer, dict) else [batch for _, batch in answer or ()]
        flat = [entry for batch in batches for entry in batch]
        if flat and isinstance(flat[0], list):  # RESP3 has one list more
            flat = [entry for inner in flat for entry in inner]
        return [_told(entry, fields) for entry, fields in flat]

    async def append(self, after: Position, made: Sequence[tuple[str, Kept | None]]) -> str:
        """`done`, or nothing changed: `moved` if the head is another one by now, `gap` if other events follow it."""
        first = after.head.n == 0 and not after.event
        args: list[str | bytes] = ["", ""] if first else [str(after.head.n), after.head.hash]
        args += [after.event, next((kept.hash for _, kept in reversed(made) if kept), after.head.hash)]
        for event, kept in made:
            args += [event, compress(kept.entry.encode()), bytes.fromhex(kept.hash)] if kept else [event, "", ""]
        async with reaching():
            answer = await self._append(keys=self._three, args=args)
        return str(answer.decode())

    async def read(self, after: int, limit: int = _PAGE) -> list[tuple[int, Kept]]:
        """Entries that follow number `after`, with the numbers under which they are kept; empty if none does."""
        async with reaching():
            found = await self._client.xrange(self._keys.audit, f"({after}-18446744073709551615", "+", count=limit)
        return [_standing(entry, fields) for entry, fields in found]

    async def all(self, after: int = 0) -> AsyncIterator[tuple[int, Kept]]:
        """All entries that follow number `after`."""
        while page := await self.read(after):
            for n, kept in page:
                yield n, kept
            after = page[-1][0]

    async def before(self, moment: datetime) -> int:
        """The number of the last entry kept whose event was stored before the moment; else the one before them all."""
        position = await self.position()
        low, high = position.checkpoint.n, position.head.n
        while low < high:
            middle = (low + high + 1) // 2
            found = await self.read(middle - 1, 1)
            if found and _stored_before(found[0][1], moment):
                low = middle
            else:
                high = middle - 1
        return low

    async def trim_events(self, before: datetime | None = None) -> int:
        """Drop events that are drawn and chained, of any age or stored before then; answers how many are left."""
        return await self._drop("events", "+" if before is None else f"{max(ms(before), 0)}-0")

    async def trim(self, upto: int) -> int:
        """Drop the entries up to that number, but never the last; what is left is verified from a checkpoint."""
        return await self._drop("record", str(upto))

    async def contradicted(self, event: str) -> None:
        """Count a call that the policy did not let pass; each event once, and at most so many."""
        key, at = self._keys.audit_contradicted, int(event.split("-")[0])
        async with reaching():
            await self._client.zadd(key, {event: at})
            await self._client.zremrangebyrank(key, 0, -MOST_COUNTED - 1)
            await self._client.pexpire(key, ms(COUNTED))

    async def head_of(self, day: date) -> Head | None:
        """The head that stands for that day: whichever was the head when this was asked first. None without any."""
        head = (await self.position()).head
        if head.n == 0:
            return None
        async with reaching():
            name = self._keys.audit_day(day)
            await self._client.set(name, str(head), nx=True, px=ms(KEPT_HEAD))
            found = await self._client.get(name)
        return read_head(found.decode()) if found else head

    async def claim(self, owner: str, ttl: timedelta) -> bool:
        """Claim the record for `ttl`; False if another process has it. It saves work, the chain does not need it."""
        return await self._leased("claim", owner, 0, ttl)

    async def renew(self, owner: str, ttl: timedelta) -> bool:
        """Keep that right; False if another process has it by now."""
        return await self._leased("renew", owner, -1, ttl)

    async def release(self, owner: str) -> None:
        """Let that right go at once."""
        await self._leased("release", owner, -1, timedelta(0))

    async def _drop(self, what: str, upto: str) -> int:
        async with reaching():
            return int(await self._trim(keys=self._three, args=[what, upto]))

    async def _leased(self, verb: str, owner: str, fence: int, ttl: timedelta) -> bool:
        async with reaching():
            return bool(
                await self._lease(keys=[self._keys.auditor], args=[verb, owner, fence, ms(ttl), ms(KEPT_LEASE)])
            )


_MS = timedelta(milliseconds=1)


def _standing(entry: bytes, fields: dict[bytes, bytes]) -> tuple[int, Kept]:
    """An entry with the number under which it stands. What is no text any more is shown, and does not fit its hash."""
    text, digest = fields.get(b"entry", b""), fields.get(b"hash", b"")
    with contextlib.suppress(UnknownSchema):
        text = decompress(text)
    return int(entry.split(b"-")[0]), Kept(text.decode("ascii", "replace"), digest.hex())


def _told(entry: bytes, fields: dict[bytes, bytes]) -> Told:
    """As it stands there if it is ours."""
    by_agents = fields.get(b"by") == b"agents"
    stored = EVENTS.dump(read_event(fields, entry)) if by_agents else fields.get(b"event", b"")
    return Told(entry.decode(), stored, by_agents)


def _stored_before(kept: Kept, moment: datetime) -> bool:
    """Whether the event that it tells of was; no if it does not say: then nothing is dropped, and more is looked at."""
    try:
        return from_ms(int(str(kept.fields()["event"]).split("-")[0])) < moment
    except (ValueError, KeyError, OverflowError, OSError):
        return False
