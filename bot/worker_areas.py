"""Workers' areas in Redis, as `web` uses them.

`web` puts jobs and its own address there.
"""

import asyncio
import logging
import socket
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final, Self

from countersign.domain import api_keys
from countersign.domain.api_keys import WORKERS
from countersign.domain.errors import CountersignError
from countersign.domain.ids import RequestId, RunId
from countersign.runs.area import Area
from countersign.runs.job_queue import Queue
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.usecases import program_keys

EVERY: Final = timedelta(seconds=5)
_OVERLAP: Final = timedelta(minutes=1)
_ANYWHERE: Final = ("0.0.0.0", "::", "")
_log = logging.getLogger(__name__)


def url_of(host: str, port: int) -> str:
    """Write the address at which others reach a port of this machine."""
    name = socket.gethostname() if host in _ANYWHERE else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


class WorkerAreas:
    """The areas of one workspace's workers, as a context manager.

    It is a queue as well: a job goes to the area of its run.
    """

    def __init__(self, redis_url: str, store: Store) -> None:
        self._redis_url = redis_url
        self._store = store
        self._keys = ApiKeys(store)
        self._queues: dict[str, Queue] = {}
        self._turn = asyncio.Lock()
        self._said_revoked = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.__aenter__()
        await self._queue("")
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._stack.__aexit__(*error)

    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        """Ask a worker of the run's area to advance it, as `Queue.advance` does."""
        seen = await self._store.run(run)
        queue = await self._queue("" if seen is None else seen.value.area)
        await queue.advance(run, after=after, signal=signal)

    async def _queue(self, area: str) -> Queue:
        async with self._turn:
            if area not in self._queues:
                queue = Queue(self._redis_url, self._store.keys.namespace, area)
                self._queues[area] = await self._stack.enter_async_context(queue)
            return self._queues[area]

    async def keep_address(self, url: str, every: timedelta = EVERY) -> None:
        """Keep the address of `web` in each area, until cancelled."""
        shared = Area(self._store.client, self._store.keys.namespace)
        areas = [shared]
        try:
            while True:
                try:
                    await shared.put_address(url, await self._shared_key(shared))
                    areas = [shared, *await self._own_areas()]
                    for area in areas[1:]:
                        await area.put_address(url, "")
                except CountersignError as away:
                    _log.warning("The address of web could not be stored for workers: %s", away)
                await asyncio.sleep(every.total_seconds())
        finally:
            try:
                async with asyncio.timeout(1):
                    for area in areas:
                        await area.drop_address(url)
            except (CountersignError, TimeoutError):
                _log.info("The address of web will expire in the areas of workers.")

    async def _own_areas(self) -> list[Area]:
        """The areas of workers that have a key of their own, which may be used."""
        keys = [key for key in await self._keys.all() if key.worker and key.area and key.revoked_at is None]
        return [Area(self._store.client, self._store.keys.namespace, area=key.area) for key in keys]

    async def _shared_key(self, area: Area) -> str:
        """Return the key of the workers' shared area, made now if no valid one exists."""
        token = await area.web_key()
        parts = api_keys.parts_of(token)
        seen = None if parts is None else await self._store.api_key(parts[0])
        secret = None if parts is None or seen is None else api_keys.secret_of(seen.value, parts[1])
        if seen is not None and secret is not None and secret.valid(seen.now):
            return token
        shared = await self._store.api_key(api_keys.id_of(WORKERS))
        if shared is not None and shared.value.revoked_at is not None:
            if not self._said_revoked:  # not every few seconds
                _log.error("The key of all workers is revoked. `countersign keys rotate %s` opens it again.", WORKERS)
            self._said_revoked = True
            return ""
        if shared is not None:
            return (await program_keys.rotate(self._store, api_keys.id_of(WORKERS), _OVERLAP, "web")).token
        issued = api_keys.issue_worker(WORKERS, (), await self._store.now())
        await program_keys.create(self._store, issued, "web")
        return issued.token
