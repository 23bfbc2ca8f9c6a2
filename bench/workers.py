"""A store with workers and runs of the benchmark's teams; no Slack.

A person in it approves.
"""

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Final

from countersign import usecases
from countersign.domain.channel_settings import OnTimeout, Rules
from countersign.domain.decision_attempts import Attempt
from countersign.domain.ids import AttemptId, ChannelId, RequestId, RunId, UserId, WorkerId, WorkspaceId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Request, Verb
from countersign.runs.area import Area
from countersign.runs.job_queue import Queue
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases.ports import Announcement, TeamInfo
from tests.processes import Process
from tests.worker_service import said, served

RULES: Final = Rules(
    ChannelId("C0APPROVALS"), Reviewers(frozenset({UserId("U0BOB"), UserId("U0CAROL")})), on_timeout=OnTimeout.WAIT
)
AT_ONCE: Final = 50
_WORKSPACE, _CHANNEL, _ALICE, _BOB = WorkspaceId("T0LOCAL"), ChannelId("C0GENERAL"), UserId("U0ALICE"), UserId("U0BOB")


class Installation:
    """One namespace of a Redis, and its workers."""

    def __init__(self, url: str, namespace: str, store: Store, queue: Queue, data: Path) -> None:
        self.url = url
        self.namespace = namespace
        self.store = store
        self.queue = queue
        self.workers: list[Process] = []
        self._data = data

    async def worker(self, **env: str) -> Process:
        """Start a worker process; return when it has announced its teams."""
        common = {"REDIS_URL": self.url, "NAMESPACE": self.namespace, "DATA_DIR": str(self._data)}
        process = await Process("agents", {**common, "TEAMS": "bench/teams", "REQUESTS": "0", **env}).start()
        self.workers.append(process)
        await process.said(r"is ready")
        return process

    async def some(self, count: int, **env: str) -> list[Process]:
        """Start this many workers at once."""
        return await asyncio.gather(*(self.worker(**env) for _ in range(count)))

    async def start(self, runs: Sequence[RunId], task: str) -> None:
        """Start runs of the team `turns`, some at a time."""
        for first in range(0, len(runs), AT_ONCE):
            await asyncio.gather(*(self._start(run, task) for run in runs[first : first + AT_ONCE]))

    async def _start(self, run: RunId, task: str) -> None:
        await usecases.start(
            self.store,
            self.queue,
            run=run,
            workspace=_WORKSPACE,
            channel=_CHANNEL,
            requester=_ALICE,
            team="turns",
            task=task,
        )

    async def parked(self) -> int:
        """The number of parked runs."""
        return int(await self.store.client.zcard(self.store.keys.parked))

    async def all_parked(self, count: int, within: timedelta) -> None:
        """Wait until this many runs are parked. TimeoutError otherwise."""
        await self._all(self.store.keys.parked, count, within)

    async def all_asked(self, count: int, within: timedelta) -> None:
        """Wait until this many requests wait for people. TimeoutError otherwise."""
        await self._all(self.store.keys.pending, count, within)

    async def _all(self, index: str, count: int, within: timedelta) -> None:
        async with asyncio.timeout(within.total_seconds()):
            while await self.store.client.zcard(index) < count:  # noqa: ASYNC110 -- another process
                await asyncio.sleep(0.05)

    async def asked(self, run: RunId) -> Request:
        """Return the request that the run waits for."""
        seen = await self.store.run(run)
        assert seen is not None
        request = await self.store.request(RequestId(next(iter(seen.value.open.values()))))
        assert request is not None
        return request.value

    async def approve(self, request: Request) -> int:
        """Approve as Bob; return the monotonic nanosecond before that."""
        attempt = Attempt(AttemptId(secrets.token_hex(8)), Actor(_WORKSPACE, _BOB), Verb.APPROVE, request.digest)
        sent = time.monotonic_ns()
        await usecases.decide(self.store, self.queue, request.id, attempt)
        return sent


@asynccontextmanager
async def installation(url: str, data: Path, rules: Rules = RULES) -> AsyncIterator[Installation]:
    """An empty one. Its workers end with the block, and its keys are deleted."""
    namespace = f"bench{secrets.token_hex(4)}"
    client = connect(url)
    store = Store(client, namespace)
    await store.set_defaults(rules)
    await store.set_workspace(_WORKSPACE)
    teams = Announcement((TeamInfo("turns", ""),))
    await store.workers.announce(WorkerId("bench"), teams, timedelta(minutes=30))
    async with (
        Queue(url, namespace) as queue,
        Wakeups(store) as wakeups,
        served(store, wakeups, _WORKSPACE, _CHANNEL) as web,
        said(Area(client, namespace), web),
    ):
        there = Installation(url, namespace, store, queue, data)
        try:
            yield there
        finally:
            await asyncio.gather(*(worker.kill(signal.SIGTERM) for worker in there.workers if worker.running))
            await _empty(store, namespace)
            await client.aclose()


async def _empty(store: Store, namespace: str) -> None:
    batch = []
    async for key in store.client.scan_iter(f"*{{{namespace}}}*", count=1000):
        batch.append(key)
        if len(batch) == 1000:
            await store.client.unlink(*batch)
            batch.clear()
    if batch:
        await store.client.unlink(*batch)
