"""Queue of jobs "advance run X": adapter to the job engine, docket.

No other module knows the engine.

A job is a hint. It may be dropped (one for this run is queued or running), delivered twice (a worker was slow or its
loop was blocked) or lost; the store's lease decides which worker may advance a run, the store's signals decide whether
there is something to do, and the reconciler requeues runs whose jobs were lost. docs/decisions/0001-job-engine.md has
measurements and reasons. A job carries a run id only, as JSON (`countersign.runs.job_codec`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from docket import Docket, Worker
from docket.dependencies import Dependency
from redis.exceptions import RedisClusterException, RedisError, ResponseError

from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import RequestId, RunId
from countersign.logs import OF_REDIS
from countersign.runs import job_codec
from countersign.store.keys import area_namespace
from countersign.store.redis.redis_py_compat import EngineConnections

log = logging.getLogger(__name__)

Advance = Callable[[RunId], Awaitable[None]]

RECONNECT_AFTER: Final = timedelta(seconds=1)
LOOK_EVERY: Final = timedelta(milliseconds=250)
"""How often an idle worker's blocking read returns, and how late a delayed job may be; new jobs come at once."""

TAKEN_AT_ONCE: Final = 50
"""Most jobs that a worker takes at once, so that the remaining workers share a lost worker's jobs."""

ENGINE_ENDS_WITHIN: Final = timedelta(seconds=3)
"""Time for the engine to clean up after the last run, which is optional and impossible without Redis."""

CONNECTIONS: Final = 20
"""Connections for jobs at the same time; a job needs one for about 1 ms when it starts and when it ends."""

WITHOUT_TTL: Final[dict[str, str]] = {
    "jobs:stream": "the queue itself; a job leaves it when it ended",
    "jobs:queue": "jobs for later by due time; empties as they become due",
    "jobs:*@*": "a job for later; goes when it becomes due",
    "jobs:runs:*": "while the job is queued or running; 15 minutes after it ended it goes",
    "jobs:progress:*": "while the job runs; a killed worker's goes when the job was redelivered",
    "jobs:workers": "one key; workers that stopped answering are dropped after 10 s",
    "jobs:task-workers:advance": "one key; workers that stopped answering are dropped after 10 s",
}
"""The engine's keys, after `{namespace}:`, that have no TTL, and why; see countersign.store.keys."""


class Queue:
    """The queue of jobs, an async context manager.

    `url`: as for countersign.store.redis.connection. `namespace`: the installation's, as in countersign.store.keys.
    `area`: the id of a worker's key that has an area of its own.
    """

    def __init__(self, url: str, namespace: str, area: str = "") -> None:
        self._docket = _Docket(
            name=f"{{{area_namespace(namespace, area)}}}:jobs", url=url, execution_ttl=timedelta(minutes=15)
        )
        self._docket.tasks.clear()
        self._docket.register(_nobody, names=["advance"])

    async def __aenter__(self) -> Self:
        job_codec.calm_docket()
        job_codec.mend_docket()
        await self._docket.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._docket.__aexit__(kind, error, trace)

    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        """Add a job to advance this run, now or after a while (up to 0.3 s late).

        The job is dropped if one is already queued or running for the run, so look for signals before releasing a
        lease; it may be delivered more than once. A delayed job never blocks an immediate one. `signal`: the settled
        request that the job is about; such a job is not dropped because of a job that is just ending. StoreUnavailable
        if Redis did not take it: the stored run stays, and the reconciler requeues it.
        """
        due = datetime.now(UTC) + after
        key = f"{run}!{signal}" if signal else str(run)
        if after > timedelta(0):
            key += f"@{due:%Y%m%dT%H%M%S.%f}"
        try:
            await self._docket.add("advance", when=due, key=key)(str(run))
        except (RedisError, RedisClusterException) as error:
            raise StoreUnavailable(
                f"Redis did not take the job for run {run} ({error}); the run is kept and will be advanced later."
            ) from error

    async def pass_on(self, run: RunId) -> None:
        """Pass a job that reached a stopping worker to another worker.

        Its key is new, because this worker may have added the job itself, for a run that it released.
        """
        key = f"{run}@{secrets.token_hex(6)}"
        try:
            await self._docket.add("advance", when=datetime.now(UTC) + LOOK_EVERY, key=key)(str(run))
        except (RedisError, RedisClusterException) as error:
            log.warning("Run %s will be advanced later: its job came as this worker stopped (%s).", run, error)


async def work(queue: Queue, advance: Advance, *, concurrency: int, redelivery: timedelta, stop: asyncio.Event) -> None:
    """Advance runs until `stop` is set, then wait for the runs in hand.

    `concurrency`: runs in hand at once, waiting ones included; a job that waits costs 14 kB and next to no CPU, so
    thousands are fine. `redelivery`: after this long without a sign of life a worker's jobs go to another one.
    `advance` must check `stop` itself and park its run: a run that drains longer than `redelivery` is delivered
    a second time. Its errors are logged, and the job ends: the reconciler asks again. A lost Redis never ends
    `work` and never ends a run in hand. Cancelling `work` cancels the runs in hand; their jobs are redelivered.
    """
    hand = _Hand(advance, stop, queue)
    docket = queue._docket
    docket.register(hand.job, names=["advance"])
    worker = _Worker(
        docket,
        concurrency=concurrency,
        redelivery_timeout=redelivery,
        reconnection_delay=RECONNECT_AFTER,
        minimum_check_interval=LOOK_EVERY,
        scheduling_resolution=LOOK_EVERY,
        schedule_automatic_tasks=False,
        message_batch=TAKEN_AT_ONCE,
        dependencies=[_Connection()],
    )
    worker.hand = hand
    engine = asyncio.create_task(_run(worker, stop), name="job engine")
    stopped = asyncio.create_task(stop.wait(), name="job engine stop")
    try:
        await asyncio.wait({engine, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not stop.is_set():
            await engine
        await hand.empty()
        if not (await asyncio.wait({engine}, timeout=ENGINE_ENDS_WITHIN.total_seconds()))[0]:
            log.warning("The job engine was left behind: Redis does not answer. Its jobs go to another worker later.")
            engine.cancel()
        else:
            engine.result()
    except BaseException:
        engine.cancel()
        hand.drop()
        raise
    finally:
        stopped.cancel()
        await hand.empty()


async def _run(worker: Worker, stop: asyncio.Event) -> None:
    """Run the job engine until `stop` is set."""
    async with worker:
        forever = asyncio.create_task(worker.run_forever(), name="jobs")
        stopped = asyncio.create_task(stop.wait(), name="jobs stop")
        try:
            await asyncio.wait({forever, stopped}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            forever.cancel()
            raise
        finally:
            stopped.cancel()
    await forever


class _Hand:
    """The runs that this process advances.

    A run outlives its job when the engine loses Redis; a later job picks it up again. Otherwise docket would wait for
    every job in hand before it reconnects: one run that waits for a human would keep the worker from new work.
    """

    def __init__(self, advance: Advance, stop: asyncio.Event, queue: Queue) -> None:
        self._queue = queue
        self._advance = advance
        self._stop = stop
        self._runs: dict[RunId, asyncio.Task[None]] = {}
        self._again: set[RunId] = set()
        self._jobs: set[asyncio.Task[None]] = set()
        self._dropped = False
        self.was_lost = False  # jobs may have arrived then that were never begun

    async def job(self, run: str) -> None:
        """Advance a run for docket; a run in hand is advanced again after its release.

        The cause of the second job may have come too late for the first.
        """
        of = RunId.named(run)
        if of is None:
            return
        if self._stop.is_set():
            await self._queue.pass_on(of)
            return
        task = self._runs.get(of)
        if task is None:
            task = self._runs[of] = asyncio.create_task(self._advanced(of), name=f"run {of}")
        else:
            self._again.add(of)
        job = asyncio.current_task()
        assert job is not None
        self._jobs.add(job)
        try:
            await asyncio.shield(task)
        finally:
            self._jobs.discard(job)

    async def _advanced(self, run: RunId) -> None:
        try:
            await self._advance(run)
            while run in self._again and not self._stop.is_set():
                self._again.discard(run)
                await self._advance(run)
        except Exception:
            log.exception("Run %s was not advanced because of an error; it is kept and will be tried again.", run)
        finally:
            self._again.discard(run)
            self._runs.pop(run, None)

    async def ask_again(self, handed_out: list[RunId]) -> None:
        """Requeue runs whose jobs came just before Redis was lost: redelivery is slow."""
        for run in handed_out:
            if run not in self._runs:
                await self._queue.pass_on(run)

    def lost(self) -> None:
        """Drop the jobs when Redis is lost, so that they are redelivered; keep the runs."""
        if not (self._stop.is_set() or self._dropped):
            log.warning(
                "The job engine lost Redis; no new work until it is back. Runs kept in hand: %d.",
                len(self._runs),
                extra=OF_REDIS,
            )
            self.was_lost = True
            for job in self._jobs:
                job.cancel()

    def drop(self) -> None:
        self._dropped = True
        for task in self._runs.values():
            task.cancel()

    async def empty(self) -> None:
        while self._runs:
            await asyncio.wait(list(self._runs.values()))


class _Docket(Docket):
    """Docket with a bound on its connections.

    redis-py's pool fails above 100, and docket takes one for each job that starts or ends: a thousand runs that park at
    once would fail as if Redis were lost.
    """

    def __init__(self, name: str, url: str, execution_ttl: timedelta) -> None:
        super().__init__(name=name, url=url, execution_ttl=execution_ttl)
        self._redis = EngineConnections(url)
        self._process = secrets.token_hex(4)
        self._gate = asyncio.Semaphore(CONNECTIONS)

    @property
    def prefix(self) -> str:
        """Return the name with its hash tag: a Cluster has the same keys as one server."""
        return self.name

    @property
    def redelivery_sweep_key(self) -> str:
        """Return a key for each process; with docket's, one process takes all lost jobs."""
        return f"{super().redelivery_sweep_key}:{self._process}"

    @contextlib.asynccontextmanager
    async def redis(self) -> AsyncGenerator[Any, None]:
        async with self._gate, super().redis() as client:
            yield client


class _Worker(Worker):
    hand: _Hand


class _Connection(Dependency[None]):
    """Hook around each connection of a worker, left when Redis is lost."""

    async def __aenter__(self) -> None:
        """Do nothing for a single job."""

    @classmethod
    @contextlib.asynccontextmanager
    async def worker_lifecycle(cls, docket: Docket, worker: _Worker) -> AsyncIterator[None]:
        if worker.hand.was_lost:
            await worker.hand.ask_again(await _handed_out(docket, worker.name))
        try:
            yield
        finally:
            worker.hand.lost()


async def _handed_out(docket: Docket, worker: str) -> list[RunId]:
    """Read the runs of jobs that this worker has in hand, the oldest 1,000."""
    async with docket.redis() as client:
        stream, group = docket.stream_key, docket.worker_group_name
        with contextlib.suppress(ResponseError):  # before the first job neither stream nor group exists
            pending = await client.xpending_range(stream, group, "-", "+", 1000, consumername=worker)
            jobs = [await client.xrange(stream, entry["message_id"], entry["message_id"]) for entry in pending]
            runs = (job_codec.run_of(fields) for [(_, fields)] in filter(None, jobs))
            return [run for run in runs if run is not None]
    return []


async def _nobody(run: str) -> None:
    """Stand for the task in a process that only adds jobs."""
    raise NotImplementedError(run)
