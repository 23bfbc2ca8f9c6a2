"""The workers that are there, and the teams that they run."""

from datetime import timedelta
from functools import partial
from typing import Final

from countersign.domain.ids import WorkerId
from countersign.store.codec import ms
from countersign.store.indexes import Indexes
from countersign.store.ownership import TEAMS
from countersign.store.records import Records, reaching
from countersign.usecases.ports import TeamInfo

_WORKERS: Final = 1000


class Workers:
    """Announcements of workers."""

    def __init__(self, reads: Records, indexes: Indexes) -> None:
        self._reads = reads
        self._indexes = indexes
        self._client = reads.client
        self._keys = reads.keys

    async def announce(self, worker: str, teams: list[TeamInfo], ttl: timedelta) -> None:
        """Announce that this worker runs these teams, for `ttl`."""
        now = await self._reads.now()
        async with reaching():
            await self._client.set(self._keys.team(worker), TEAMS.dump(teams), px=ttl)
            if await self._client.type(self._keys.workers) not in (b"zset", b"none"):  # begun anew, as commit.lua does
                await self._client.delete(self._keys.workers)
            await self._client.zremrangebyscore(self._keys.workers, "-inf", ms(now))
            await self._client.zadd(self._keys.workers, {worker: ms(now + ttl)})
        await self._indexes.sweep(self._keys.workers, WorkerId, lambda name: (self._keys.team(name),))

    async def retire(self, worker: str) -> None:
        """Withdraw the announcement of this worker."""
        async with reaching():
            await self._client.delete(self._keys.team(worker))
            await self._client.zrem(self._keys.workers, worker)

    async def teams(self) -> list[TeamInfo]:
        """Read the teams that some worker runs now, sorted by name.

        A usable one wins over a broken one of the same name.
        """
        async with reaching():
            workers = WorkerId.among(await self._client.zrange(self._keys.workers, 0, _WORKERS - 1))
        stored, _ = await self._reads.values(*(self._keys.team(worker) for worker in workers))
        announcements = {worker: partial(TEAMS.load, raw) for worker, raw in zip(workers, stored, strict=True) if raw}
        teams: dict[str, TeamInfo] = {}
        for announced in self._reads.tolerant.each("Worker", announcements).values():
            for team in announced:
                if team.name not in teams or teams[team.name].problem:
                    teams[team.name] = team
        return [teams[name] for name in sorted(teams)]
