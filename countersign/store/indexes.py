"""Indexes of requests and runs that wait, are due, are active, or were lost.

A member whose record is gone is removed wherever it is met: memory may be damaged, or a record deleted by hand.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, TypeVar

from countersign import metrics
from countersign.domain.ids import Id, RequestId, RunId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.metrics import Repair
from countersign.store.codec import from_ms, ms
from countersign.store.records import Records, reaching
from countersign.store.redis.scripts import Script

A = TypeVar("A", bound=Id)
_AT_ONCE: Final = 1000
_SWEEPS: Final = 20
"""How often a list is read again after names that belong to nothing were removed from it."""
_FAR: Final = timedelta(days=1)
"""What is due later than this is no moment that anything waits for; a score may say more than a calendar has."""
_LAST: Final = 2**53
"""From here on the next millisecond is no other score; whoever goes on from one would never get further."""
_GONE = """
local gone = {}
for place = 1, #ARGV do
  if redis.call('EXISTS', ARGV[place]) == 0 then gone[#gone + 1] = place end
end
return gone
"""
"""Returns which of the keys in ARGV do not exist, counted from 1.

The key says only where the script goes, as for `_GET` in `countersign.store.records`.
"""
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
        return await self._newest([self._keys.active, self._keys.parked], limit)

    async def newest_runs(self, index: str, limit: int) -> list[tuple[bytes, float]]:
        """Read the newest members of an index of runs, with their scores."""
        await self.sweep(index, RunId, self._keys.run, newest=True)
        async with reaching():
            members: list[tuple[bytes, float]] = await self._client.zrevrange(index, 0, limit - 1, withscores=True)
        return members

    async def active(self, limit: int) -> list[RunId]:
        """Find runs that have not ended and are not parked, oldest first, unread."""
        async with reaching():
            return RunId.among(await self._client.zrange(self._keys.active, 0, limit - 1))

    async def standing(self) -> dict[str, int]:
        """Count waiting requests, active runs, and parked runs."""
        indexes = {"requests": self._keys.pending, "runs": self._keys.active, "parked_runs": self._keys.parked}
        async with reaching():
            return {kind: int(await self._client.zcard(index)) for kind, index in indexes.items()}

    async def undelivered(self, limit: int, older: timedelta) -> list[Request]:
        """Find requests whose run has not heard that they were settled.

        They were settled at least the time `older` ago; the oldest come first.
        """
        until = ms(await self._reads.now() - older)
        await self.sweep(self._keys.undelivered, RequestId, self._keys.request)
        async with reaching():
            members = await self._client.zrange(
                self._keys.undelivered, "-inf", until, byscore=True, offset=0, num=limit
            )
        requests = await self._reads.readable(RequestId.among(members))
        return [request for request in requests.values() if request is not None]

    async def unreported(self, limit: int, start: int = 0) -> list[RequestId]:
        """Find requests of programs whose outcome was not reported, oldest first.

        Those after the first `start` of them. What else workers put there is among them, unless it is nothing at all.
        """
        while True:
            async with reaching():
                members = await self._client.zrange(self._keys.unreported, start, start + limit - 1)
            if not await self.forget(self._keys.unreported, members, RequestId, self._keys.request):
                return RequestId.among(members)

    async def forget_unreported(self, requests: Sequence[RequestId]) -> None:
        """Remove requests of which no outcome is awaited."""
        await self._remove(self._keys.unreported, [name.encode() for name in requests])

    async def gone(self, requests: Sequence[RequestId]) -> list[RequestId]:
        """Find those of these requests that Redis lost."""
        missing: list[RequestId] = []
        for start in range(0, len(requests), _AT_ONCE):
            batch = requests[start : start + _AT_ONCE]
            names = [self._keys.request(name) for name in batch]
            async with reaching():
                missing += [batch[place - 1] for place in await self._gone(keys=[self._keys.pending], args=names)]
        return missing

    async def forgotten(self, start: int) -> tuple[list[RunId], int]:
        """Find parked runs that wait for a question that is gone, on one page of them.

        No decision will ever call them. `start` is the moment (ms) with whose runs the page begins. Also returns the
        start of the next page, 0 after the last.
        """
        while True:
            async with reaching():
                page = await self._client.zrange(
                    self._keys.parked, start, "+inf", byscore=True, offset=0, num=_AT_ONCE, withscores=True
                )
            if not await self.forget(self._keys.parked, [name for name, _ in page], RunId, self._keys.run):
                break
        runs = (await self._reads.readable_runs(RunId.among([name for name, _ in page]))).values()
        asked = {request: run.id for run in runs if run is not None for request in run.open.values()}
        forgotten = [asked[request] for request in await self.gone(list(asked))]
        # The last moment is read again, for some of its runs may be on the next page; but a page moves on in any case.
        more = len(page) == _AT_ONCE and page[-1][1] < _LAST
        following = max(int(page[-1][1]), start + 1) if more else 0
        return list(dict.fromkeys(forgotten)), following

    async def waiting(self, limit: int) -> list[Request]:
        """Read undecided requests, in the order in which something is due to them."""
        async with reaching():
            members = await self._client.zrange(self._keys.pending, 0, limit - 1)
        requests = await self._reads.readable(RequestId.among(members))
        return [request for request in requests.values() if request is not None]

    async def due(self, limit: int, start: int = 0) -> tuple[list[RequestId], datetime | None, datetime]:
        """Find requests to which something is due, after the first `start` of them.

        Also returns the moment of the next thing after those, at most a day from now, and the server's clock.
        """
        now = await self._reads.now()
        first: list[tuple[bytes, float]] = [(b"", 0.0)]
        ids: set[RequestId] = set()
        while first and not ids:  # what is no id has left the index
            async with reaching():
                first = await self._client.zrange(self._keys.pending, start, start + limit, withscores=True)
                ids = set(await self.ids(RequestId, self._keys.pending, [member for member, _ in first]))
        due, following = [], None
        for member, score in first:
            if (name := RequestId.named(member)) is None:
                continue
            if score == float("inf"):
                break
            if score > ms(now):
                following = from_ms(min(score, ms(now + _FAR)))
                break
            due.append(name)
        return due[:limit], following, now

    async def tidy(
        self, due: Mapping[RequestId, datetime | None], settled: Sequence[RequestId], unknown: Sequence[RequestId]
    ) -> None:
        """Correct the index of deadlines.

        `due` maps requests to the moment when something is due to them, None for never; those that are settled or
        unknown leave the index.
        """
        async with reaching():
            if due:
                scores: dict[str, int | str] = {name: "+inf" if at is None else ms(at) for name, at in due.items()}
                await self._client.zadd(self._keys.pending, scores, xx=True)
            if settled:
                await self._client.zrem(self._keys.pending, *settled)
        await self.forget(self._keys.pending, [name.encode() for name in unknown], RequestId, self._keys.request)

    async def look_again(self, name: str, after: timedelta) -> None:
        """Have a second copy of the message looked for once `after` has passed."""
        at = ms(await self._reads.now() + after)
        async with reaching():
            await self._client.zadd(self._keys.second_look, {name: at})

    async def to_look_at(self) -> list[str]:
        """Read the names of the messages whose time for that has come."""
        now = ms(await self._reads.now())
        async with reaching():
            members = await self._client.zrange(self._keys.second_look, "-inf", now, byscore=True)
        return [name.decode() for name in members]

    async def looked_at(self, name: str) -> None:
        """Note that the message was looked at."""
        async with reaching():
            await self._client.zrem(self._keys.second_look, name)

    async def ids(self, kind: type[A], index: str, members: Sequence[bytes]) -> list[A]:
        """Read the ids among these members of an index; any other member leaves it."""
        await self._remove(index, [member for member in members if kind.named(member) is None])
        return kind.among(members)

    async def _newest(self, indexes: list[str], limit: int) -> list[Run]:
        members: list[tuple[bytes, float]] = []
        for index in indexes:
            members += await self.newest_runs(index, limit)
        members.sort(key=lambda entry: -entry[1])
        runs = await self._reads.readable_runs(RunId.among([name for name, _ in members[:limit]]))
        return [run for run in runs.values() if run is not None]

    async def sweep(self, index: str, kind: type[A], key: Callable[[A], str], *, newest: bool = False) -> None:
        """Remove strays among the first or last members of an index."""
        for _ in range(_SWEEPS):
            async with reaching():
                members = await self._client.zrange(index, 0, _AT_ONCE - 1, desc=newest)
            if not await self.forget(index, members, kind, key):
                break

    async def forget(self, index: str, names: Sequence[bytes], kind: type[A], key: Callable[[A], str]) -> int:
        """Remove members that belong to nothing, or are no ids; returns their number."""
        named = [(name, id_) for name in names if (id_ := kind.named(name)) is not None]
        strays = [name for name in names if kind.named(name) is None]
        async with reaching():
            if named:
                async with self._client.pipeline(transaction=False) as looks:
                    for _, id_ in named:
                        looks.exists(key(id_))
                    strays += [
                        name for (name, _), stands in zip(named, await looks.execute(), strict=True) if not stands
                    ]
        await self._remove(index, strays)
        return len(strays)

    async def _remove(self, index: str, strays: Sequence[bytes]) -> None:
        if not strays:
            return
        async with reaching():
            removed = int(await self._client.zrem(index, *strays))
        if removed:
            shown = ascii(strays[0])[:80]
            _log.warning("%d names in %s belong to nothing (%s …); removed.", removed, index, shown)
            metrics.repaired(Repair.STRAY, removed)
