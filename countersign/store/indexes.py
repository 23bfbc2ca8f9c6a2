"""Indexes of requests and runs that wait, are due, are active, or were lost.

A member whose record is gone is removed wherever it is met: memory may be damaged, or a record deleted by hand.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from countersign import metrics
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.metrics import Repair
from countersign.store.codec import from_ms, ms
from countersign.store.records import Records
from countersign.store.redis.scripts import Script

N = TypeVar("N", RequestId, RunId)
V = TypeVar("V")
_AT_ONCE: Final = 1000
_GONE = """
local gone = {}
for place, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 0 then gone[#gone + 1] = place end
end
return gone
"""
"""Returns which of the keys do not exist, counted from 1."""
_log = logging.getLogger(__name__)


class Indexes:
    """Requests and runs, found without their names."""

    def __init__(self, reads: Records) -> None:
        self._reads = reads
        self._client = reads.client
        self._keys = reads.keys
        self._gone = Script(reads.client, _GONE)

    async def active_runs(self, limit: int) -> list[Run]:
        """Read the newest runs that have not ended."""
        runs = [run for index in (self._keys.active, self._keys.parked) for run in await self.newest(index, limit)]
        return sorted(runs, key=lambda run: run.created_at, reverse=True)[:limit]

    async def newest(self, index: str, limit: int) -> list[Run]:
        """Read the newest runs in an index."""
        names = RunId.among(await self._client.zrevrange(index, 0, limit - 1))
        return await self._there(index, await self._reads.readable_runs(names))

    async def active(self, limit: int) -> list[RunId]:
        """Find runs that have not ended and are not parked, oldest first, unread."""
        return RunId.among(await self._client.zrange(self._keys.active, 0, limit - 1))

    async def standing(self) -> dict[str, int]:
        """Count waiting requests, active runs, and parked runs."""
        indexes = {"requests": self._keys.pending, "runs": self._keys.active, "parked_runs": self._keys.parked}
        return {kind: int(await self._client.zcard(index)) for kind, index in indexes.items()}

    async def undelivered(self, limit: int, older: timedelta) -> list[Request]:
        """Find requests whose run has not heard that they were settled.

        They were settled at least the time `older` ago; the oldest come first.
        """
        until = ms(await self._reads.now() - older)
        members = await self._client.zrange(self._keys.undelivered, "-inf", until, byscore=True, offset=0, num=limit)
        return await self._there(self._keys.undelivered, await self._reads.readable(RequestId.among(members)))

    async def unreported(self, limit: int, start: int = 0) -> list[RequestId]:
        """Find requests of programs whose outcome was not reported, oldest first.

        Those after the first `start` of them.
        """
        return RequestId.among(await self._client.zrange(self._keys.unreported, start, start + limit - 1))

    async def forget_unreported(self, requests: Sequence[RequestId]) -> None:
        """Remove requests of which no outcome is awaited."""
        await self._remove(self._keys.unreported, requests)

    async def gone(self, requests: Sequence[RequestId]) -> list[RequestId]:
        """Find those of these requests that Redis lost."""
        missing: list[RequestId] = []
        for start in range(0, len(requests), _AT_ONCE):
            batch = requests[start : start + _AT_ONCE]
            names = [self._keys.request(name) for name in batch]
            missing += [batch[place - 1] for place in await self._gone(names)]
        return missing

    async def forgotten(self, start: int) -> tuple[list[RunId], int]:
        """Find parked runs that wait for a question that is gone, on one page of them.

        No decision will ever call them. `start` is the moment (ms) with whose runs the page begins. Also returns the
        start of the next page, 0 after the last.
        """
        page = await self._client.zrange(
            self._keys.parked, start, "+inf", byscore=True, offset=0, num=_AT_ONCE, withscores=True
        )
        found = await self._reads.readable_runs(RunId.among([name for name, _ in page]))
        runs = await self._there(self._keys.parked, found)
        asked = {request: run.id for run in runs for request in run.open.values()}
        forgotten = [asked[request] for request in await self.gone(list(asked))]
        # The last moment is read again, for some of its runs may be on the next page; but a page moves on in any case.
        following = max(int(page[-1][1]), start + 1) if len(page) == _AT_ONCE else 0
        return list(dict.fromkeys(forgotten)), following

    async def waiting(self, limit: int) -> list[Request]:
        """Read undecided requests, in the order in which something is due to them."""
        members = await self._client.zrange(self._keys.pending, 0, limit - 1)
        requests = await self._reads.readable(RequestId.among(members))
        return [request for request in requests.values() if request is not None]

    async def due(self, limit: int, start: int = 0) -> tuple[list[RequestId], datetime | None, datetime]:
        """Find requests to which something is due, after the first `start` of them.

        Also returns the moment of the next thing after those, and the server's clock.
        """
        now = await self._reads.now()
        first = await self._client.zrange(self._keys.pending, start, start + limit, withscores=True)
        due = [name for member, score in first if score <= ms(now) and (name := RequestId.named(member)) is not None]
        later = [score for _, score in first if ms(now) < score < float("inf")]
        return due[:limit], from_ms(later[0]) if later else None, now

    async def tidy(
        self, due: Mapping[RequestId, datetime | None], settled: Sequence[RequestId], unknown: Sequence[RequestId]
    ) -> None:
        """Correct the index of deadlines.

        `due` maps requests to the moment when something is due to them, None for never; those that are settled or
        unknown leave the index.
        """
        if due:
            scores: dict[str, int | str] = {name: "+inf" if at is None else ms(at) for name, at in due.items()}
            await self._client.zadd(self._keys.pending, scores, xx=True)
        if settled:
            await self._client.zrem(self._keys.pending, *settled)
        await self._remove(self._keys.pending, unknown)

    async def look_again(self, name: str, after: timedelta) -> None:
        """Have a second copy of the message looked for once `after` has passed."""
        at = ms(await self._reads.now() + after)
        await self._client.zadd(self._keys.second_look, {name: at})

    async def to_look_at(self) -> list[str]:
        """Read the names of the messages whose time for that has come."""
        now = ms(await self._reads.now())
        members = await self._client.zrange(self._keys.second_look, "-inf", now, byscore=True)
        return [name.decode() for name in members]

    async def looked_at(self, name: str) -> None:
        """Note that the message was looked at."""
        await self._client.zrem(self._keys.second_look, name)

    async def _there(self, index: str, found: Mapping[N, V | None]) -> list[V]:
        """Return the records that exist; the names of others leave the index."""
        await self._remove(index, [name for name, record in found.items() if record is None])
        return [record for record in found.values() if record is not None]

    async def _remove(self, index: str, strays: Sequence[RequestId | RunId]) -> None:
        if not strays:
            return
        removed = int(await self._client.zrem(index, *strays))
        if removed:
            _log.warning("%d names in %s belong to nothing (%s …); removed.", removed, index, strays[0])
            metrics.repaired(Repair.STRAY, removed)
