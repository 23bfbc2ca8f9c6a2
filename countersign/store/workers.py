"""The present workers, their teams, and the runs that they hold."""

from datetime import timedelta
from functools import partial
from typing import Final

from countersign.domain.ids import RunId, WorkerId
from countersign.store.codec import ms
from countersign.store.record_codecs import ANNOUNCEMENTS
from countersign.store.records import Records
from countersign.usecases.ports import Announcement, TeamInfo

_WORKERS: Final = 1000


class Workers:
    """Announcements of workers."""

    def __init__(self, reads: Records) -> None:
        self._reads = reads
        self._client = reads.client
        self._keys = reads.keys

    async def announce(self, worker: WorkerId, announcement: Announcement, ttl: timedelta) -> None:
        """Keep this worker's announcement for `ttl`."""
        now = await self._reads.now()
        await self._client.set(self._keys.worker(worker), ANNOUNCEMENTS.dump(announcement), px=ttl)
        await self._client.zremrangebyscore(self._keys.workers, "-inf", ms(now))
        await self._client.zadd(self._keys.workers, {worker: ms(now + ttl)})

    async def retire(self, worker: WorkerId) -> None:
        """Withdraw the announcement of this worker."""
        await self._client.delete(self._keys.worker(worker))
        await self._client.zrem(self._keys.workers, worker)

    async def teams(self) -> list[TeamInfo]:
        """Read the teams that some worker runs now, sorted by name.

        A usable team wins over a broken team of the same name.
        """
        teams: dict[str, TeamInfo] = {}
        for announced in await self._announced():
            for team in announced.teams:
                if team.name not in teams or teams[team.name].problem:
                    teams[team.name] = team
        return [teams[name] for name in sorted(teams)]

    async def present(self) -> list[Announcement]:
        """Read the announcements of all present workers."""
        return await self._announced()

    async def held(self) -> frozenset[RunId]:
        """Read the runs that some worker holds now."""
        return frozenset(run for announced in await self._announced() for run in announced.runs)

    async def _announced(self) -> list[Announcement]:
        workers = WorkerId.among(await self._client.zrange(self._keys.workers, 0, _WORKERS - 1))
        stored, _ = await self._reads.values(*(self._keys.worker(worker) for worker in workers))
        raw = zip(workers, stored, strict=True)
        return [*self._reads.tolerant.each("Worker", {w: partial(ANNOUNCEMENTS.load, r) for w, r in raw if r}).values()]
