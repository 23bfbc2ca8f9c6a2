"""Indexes of requests and runs that wait, are due, are active, or were lost.

A member without a record is removed wherever it is found: memory may be damaged, or a record deleted by hand.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from countersign import metrics
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.metrics import Repair, WaitingKind
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
    """Indexes that find requests and runs without their ids."""

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
        """Find the ids of runs that have not ended and are not parked, oldest first."""
        return RunId.among(await self._client.zrange(self._keys.active, 0, limit - 1))

    async def standing(self) -> dict[WaitingKind, int]:
        """Count waiting requests and runs."""
        indexes = {
            WaitingKind.REQUESTS: self._keys.pending,
            WaitingKind.UNPOSTED_REQUESTS: self._keys.unposted,
            WaitingKind.RUNS: self._keys.active,
            WaitingKind.PARKED_RUNS: self._keys.parked,
        }
        return {kind: int(await self._client.zcard(index)) for kind, index in indexes.items()}

    async def unposted_since(self) -> datetime | None:
        """Find when the oldest request without a posted card was asked, if any."""
        while True:
            first = await self._client.zrange(self._keys.unposted, 0, 0, withscores=True)
            names = RequestId.among([member for member, _ in first])
            strays = await self.gone(names)
            if not strays:
                return from_ms(int(first[0][1])) if first else None
            await self._remove(self._keys.unposted, strays)

    async def unposted(self, requests: Sequence[RequestId]) -> list[datetime]:
        """Find when the unposted ones of these requests were asked."""
        scores = await self._client.zmscore(self._keys.unposted, [*requests]) if requests else []
        return [from_ms(int(score)) for score in scores if score is not None]

    async def unrecorded_since(self) -> datetime | None:
        """Find when the oldest event outside the audit log happened, if any."""
        last = await self._client.hget(self._keys.audit_head, "event")
        first = f"({last.decode()}" if last else "-"
        events = await self._client.xrange(self._keys.events, first, "+", count=1)
        return from_ms(int(events[0][0].split(b"-")[0])) if events else None

    async def undelivered(self, limit: int, older: timedelta) -> list[Request]:
        """Find settled requests whose run has not received the outcome.

        Requests settled at least `older` ago, oldest first.
        """
        until = ms(await self._reads.now() - older)
        members = await self._client.zrange(self._keys.undelivered, "-inf", until, byscore=True, offset=0, num=limit)
        return await self._there(self._keys.undelivered, await self._reads.readable(RequestId.among(members)))

    async def unreported(self, limit: int, start: int = 0) -> list[RequestId]:
        """Find requests of programs whose outcome was not reported, oldest first.

        Skips the first `start` of them.
        """
        return RequestId.among(await self._client.zrange(self._keys.unreported, start, start + limit - 1))

    async def forget_unreported(self, requests: Sequence[RequestId]) -> None:
        """Remove requests that no longer await an outcome."""
        await self._remove(self._keys.unreported, requests)

    async def gone(self, requests: Sequence[RequestId]) -> list[RequestId]:
        """Find which of these requests Redis lost."""
        missing: list[RequestId] = []
        for start in range(0, len(requests), _AT_ONCE):
            batch = requests[start : start + _AT_ONCE]
            names = [self._keys.request(name) for name in batch]
            missing += [batch[place - 1] for place in await self._gone(names)]
        return missing

    async def forgotten(self, start: int) -> tuple[list[RunId], int]:
        """Find the parked runs of one page whose question is gone.

        No decision will ever resume them. `start` is the creation time (ms) at which the page begins. Also returns the
        start of the next page, 0 after the last.
        """
        page = await self._client.zrange(
            self._keys.parked, start, "+inf", byscore=True, offset=0, num=_AT_ONCE, withscores=True
        )
        found = await self._reads.readable_runs(RunId.among([name for name, _ in page]))
        runs = await self._there(self._keys.parked, found)
        asked = {request: run.id for run in runs for request in run.open.values()}
        forgotten = [asked[request] for request in await self.gone(list(asked))]
        # The last moment is read again, because some of its runs may be on the next page; but every page advances.
        following = max(int(page[-1][1]), start + 1) if len(page) == _AT_ONCE else 0
        return list(dict.fromkeys(forgotten)), following

    async def waiting(self, limit: int) -> list[Request]:
        """Read undecided requests, ordered by their next scheduled step."""
        members = await self._client.zrange(self._keys.pending, 0, limit - 1)
        requests = await self._reads.readable(RequestId.among(members))
        return [request for request in requests.values() if request is not None]

    async def due(self, limit: int, start: int = 0) -> tuple[list[RequestId], datetime | None, datetime]:
        """Find requests with a due step, skipping the first `start` of them.

        Also returns the time of the next step after those, and the server's clock.
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

        `due` maps requests to the time of their next step, None for never; settled or unknown requests leave the index.
        """
        if due:
            scores: dict[str, int | str] = {name: "+inf" if at is None else ms(at) for name, at in due.items()}
            await self._client.zadd(self._keys.pending, scores, xx=True)
        if settled:
            await self._client.zrem(self._keys.pending, *settled)
        await self._remove(self._keys.pending, unknown)

    async def look_again(self, name: str, after: timedelta) -> None:
        """Schedule a check for a second copy of the message after the time `after`."""
        at = ms(await self._reads.now() + after)
        await self._client.zadd(self._keys.second_look, {name: at})

    async def to_look_at(self) -> list[str]:
        """Read the names of the messages whose check is due."""
        now = ms(await self._reads.now())
        members = await self._client.zrange(self._keys.second_look, "-inf", now, byscore=True)
        return [name.decode() for name in members]

    async def looked_at(self, name: str) -> None:
        """Note that the message was checked."""
        await self._client.zrem(self._keys.second_look, name)

    async def _there(self, index: str, found: Mapping[N, V | None]) -> list[V]:
        """Return the existing records; remove the other names from the index."""
        await self._remove(index, [name for name, record in found.items() if record is None])
        return [record for record in found.values() if record is not None]

    async def _remove(self, index: str, strays: Sequence[RequestId | RunId]) -> None:
        if not strays:
            return
        removed = int(await self._client.zrem(index, *strays))
        if removed:
            _log.warning("%d names in %s belong to nothing (%s …); removed.", removed, index, strays[0])
            metrics.repaired(Repair.STRAY, removed)
