"""The adapter to the job engine: hints that arrive, however workers, Redis and the loop misbehave."""

import asyncio
import logging
import os
import pickle
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docket
import pytest
import redis.asyncio

from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import RequestId, RunId
from countersign.runs.job_queue import TAKEN_AT_ONCE, Queue, _Connection, _Hand, _Worker, work
from countersign.store.embedded_server import EmbeddedRedis
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]

RUN = RunId("r1")
SHORT, LONG = timedelta(seconds=0.5), timedelta(minutes=10)


class Recorder:
    """An `advance` that notes what it was called with, and may be held."""

    def __init__(self) -> None:
        self.started: list[RunId] = []
        self.ended: list[RunId] = []
        self.cancelled: list[RunId] = []
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self, run: RunId) -> None:
        self.started.append(run)
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            self.cancelled.append(run)
            raise
        self.ended.append(run)


def _ended(recorder: Recorder, run: RunId) -> bool:
    return run in recorder.ended


async def until(fact: Callable[[], bool], within: float = PATIENCE) -> None:
    async with asyncio.timeout(within):
        while not fact():  # noqa: ASYNC110 -- facts of other tasks and processes
            await asyncio.sleep(0.005)


@asynccontextmanager
async def working(
    queue: Queue, advance: Recorder, *, concurrency: int = 10, redelivery: timedelta = LONG
) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    task = asyncio.create_task(work(queue, advance, concurrency=concurrency, redelivery=redelivery, stop=stop))
    try:
        yield stop
    finally:
        stop.set()
        advance.open.set()
        await task


@pytest.fixture
async def queue(redis_url: str, namespace: str) -> AsyncIterator[Queue]:
    async with Queue(redis_url, namespace) as queue:
        yield queue


class Bomb:
    """Runs code where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return Path.touch, (self.mark,)


async def test_job_with_code_is_dropped_and_the_next_advances(
    queue: Queue, redis_url: str, tmp_path: Path, subtests: pytest.Subtests
) -> None:
    """R29: whoever can add jobs can add a name of a run, and nothing else."""
    mark, recorder = tmp_path / "ran", Recorder()
    bad = {"pickled": pickle.dumps(Bomb(mark)), "three": b'["a", "b", "c"]', "deep": b"[" * 100_000}
    places = ("args", "kwargs", "when", "function", "attempt", "key")
    async with redis.asyncio.Redis.from_url(redis_url) as client, working(queue, recorder):
        for where, what in product(places, bad):
            with subtests.test(where=where, what=what):
                job: dict[Any, Any] = {"key": "r9", "function": "advance", "args": b'["r9"]', "kwargs": b"{}"}
                job |= {"attempt": "1", "when": datetime.now(UTC).isoformat(), "generation": "1", where: bad[what]}
                run = RunId(f"r-{where}-{what}")  # its own: the end of the last one may still be written down
                await client.xadd(queue._docket.stream_key, job)
                await queue.advance(run)
                await until(partial(_ended, recorder, run), 50)
    assert not mark.exists()


NAMES_OF_NO_RUN = (b'["x y"]', b'[""]', b'["r1", "r2"]', b"[7]", b"\xff")


async def test_job_without_a_run_is_dropped_without_an_error(
    queue: Queue, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """R27: whoever may add jobs fills no log with tracebacks."""
    recorder, engine = Recorder(), logging.getLogger("docket")
    engine.addHandler(caplog.handler)
    try:
        async with redis.asyncio.Redis.from_url(redis_url) as client, working(queue, recorder, concurrency=1):
            for args in NAMES_OF_NO_RUN:
                await client.xadd(queue._docket.stream_key, {"key": "r9", "function": "advance", "args": args})
            await queue.advance(RUN)
            await until(lambda: bool(recorder.ended or caplog.text))
    finally:
        engine.removeHandler(caplog.handler)
    assert recorder.ended == [RUN]
    assert caplog.text == ""


def test_docket_unpickles_in_no_new_place() -> None:
    """R29: where a newer docket does, this says so."""
    found = {
        path.name: len(re.findall(r"pickle\.loads\(", path.read_text()))
        for path in Path(docket.__file__).parent.rglob("*.py")
    }
    assert {name: count for name, count in found.items() if count} == {
        "execution.py": 4,  # a job's two parts; the other two in `get_result`, which nobody calls
        "strikelist.py": 1,
        "docket.py": 2,  # in `get_execution`, likewise
    }


async def test_ended_run_is_advanced_again_when_asked(queue: Queue) -> None:
    """Each ask after its end starts it once more."""
    recorder = Recorder()
    async with working(queue, recorder):
        for times in range(1, 4):
            before = len(recorder.ended)
            while len(recorder.ended) == before:  # an ask while the engine still writes the end down is dropped
                await queue.advance(RUN)
                await asyncio.sleep(0.01)
            assert len(recorder.ended) >= times


async def test_ask_for_a_queued_or_running_run_is_dropped(queue: Queue) -> None:
    """The run is advanced once."""
    recorder = Recorder()
    await queue.advance(RUN)
    await queue.advance(RUN)
    recorder.open.clear()
    async with working(queue, recorder):
        await until(lambda: recorder.started == [RUN])
        await queue.advance(RUN)
        await queue.advance(RunId("r2"))
        await until(lambda: len(recorder.started) == 2)
    assert sorted(recorder.started) == [RUN, "r2"]


async def test_delayed_job_runs_when_due(queue: Queue) -> None:
    recorder = Recorder()
    async with working(queue, recorder):
        due = datetime.now(UTC) + timedelta(seconds=0.5)
        await queue.advance(RUN, after=timedelta(seconds=0.5))
        await until(lambda: recorder.ended == [RUN])
        assert datetime.now(UTC) >= due


async def test_delayed_job_does_not_block_an_immediate_one(queue: Queue) -> None:
    """Both are for the same run."""
    recorder = Recorder()
    await queue.advance(RUN, after=timedelta(hours=1))
    async with working(queue, recorder):
        await queue.advance(RUN)
        await until(lambda: recorder.ended == [RUN])


async def test_delayed_job_does_not_start_a_run_twice(queue: Queue) -> None:
    """The run is in hand when the job is due."""
    recorder = Recorder()
    recorder.open.clear()
    async with working(queue, recorder):
        await queue.advance(RUN, after=timedelta(seconds=0.1))
        await queue.advance(RUN)
        await until(lambda: recorder.started == [RUN])
        await queue.advance(RunId("r2"), after=timedelta(seconds=0.2))
        await until(lambda: "r2" in recorder.started)
        assert recorder.started == [RUN, "r2"]


async def test_run_released_twice_within_a_second_is_requested_twice(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5: the job that brought it to a worker, which is going too, does not stand in the way of the next."""
    second = datetime.now(UTC).replace(microsecond=0)
    moments = iter([second + timedelta(milliseconds=100), second + timedelta(milliseconds=600)])
    monkeypatch.setattr("countersign.runs.job_queue.datetime", SimpleNamespace(now=lambda zone: next(moments)))
    recorder = Recorder()
    recorder.open.clear()
    async with working(queue, recorder):
        await queue.advance(RUN, after=timedelta(milliseconds=1))
        await until(lambda: recorder.started == [RUN])
        await queue.advance(RUN, after=timedelta(milliseconds=1))
        recorder.open.set()
        await until(lambda: recorder.ended == [RUN, RUN])


async def test_signal_is_heard_while_its_job_is_ending(queue: Queue) -> None:
    """R5: what comes while a run is let go is looked at once more, never two at once."""
    recorder = Recorder()
    recorder.open.clear()
    async with working(queue, recorder):
        await queue.advance(RUN)
        await until(lambda: recorder.started == [RUN])
        await queue.advance(RUN, signal=RequestId("q1"))
        await queue.advance(RUN, signal=RequestId("q1"))
        await queue.advance(RunId("r2"))
        await until(lambda: len(recorder.started) == 2)
        assert recorder.started == [RUN, "r2"]
        recorder.open.set()
        await until(lambda: recorder.ended.count(RUN) == 2)
    assert recorder.started.count(RUN) == 2


async def test_error_is_logged_and_the_worker_continues(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    """One run that fails leaves the next its turn."""
    calls: list[RunId] = []

    async def breaks(run: RunId) -> None:
        calls.append(run)
        raise ValueError("the model is on fire")

    stop = asyncio.Event()
    task = asyncio.create_task(work(queue, breaks, concurrency=2, redelivery=SHORT, stop=stop))
    await queue.advance(RUN)
    await queue.advance(RunId("r2"))
    await until(lambda: len(calls) == 2)
    stop.set()
    await task
    assert "Run r1 was not advanced because of an error" in caplog.text
    assert "the model is on fire" in caplog.text


async def test_stopping_worker_takes_no_jobs_and_finishes_its_runs(queue: Queue) -> None:
    """Nothing in hand is cancelled."""
    recorder = Recorder()
    recorder.open.clear()
    async with working(queue, recorder, redelivery=timedelta(seconds=10)) as stop:
        await queue.advance(RUN)
        await until(lambda: recorder.started == [RUN])
        stop.set()
        await asyncio.sleep(0)
        assert recorder.ended == []
    assert recorder.ended == [RUN]
    assert recorder.cancelled == []


async def test_stopping_worker_passes_new_jobs_on(queue: Queue) -> None:
    """R5: a run that it let go is asked for at once, and it is often the first to hear of that."""
    stop, took = asyncio.Event(), asyncio.Queue[tuple[str, RunId]]()

    async def let_go(run: RunId) -> None:
        took.put_nowait(("going", run))
        await stop.wait()
        await queue.advance(run, after=timedelta(milliseconds=1))
        await asyncio.sleep(0.6)  # longer than a job for later needs to be due

    async def take(run: RunId) -> None:
        took.put_nowait(("coming", run))

    serve = partial(work, concurrency=5, redelivery=timedelta(seconds=5))
    going = asyncio.create_task(serve(queue, let_go, stop=stop))
    await queue.advance(RunId("r1"))
    assert await took.get() == ("going", "r1")
    stop.set()
    await asyncio.wait_for(going, PATIENCE)
    end = asyncio.Event()
    coming = asyncio.create_task(serve(queue, take, stop=end))
    async with asyncio.timeout(PATIENCE):
        assert await took.get() == ("coming", "r1")
    end.set()
    await coming


async def test_cancelled_worker_leaves_its_job_to_another(queue: Queue) -> None:
    first, second = Recorder(), Recorder()
    first.open.clear()
    task = asyncio.create_task(
        work(queue, first, concurrency=1, redelivery=SHORT, stop=asyncio.Event()),
    )
    await queue.advance(RUN)
    await until(lambda: first.started == [RUN])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    assert first.cancelled == [RUN]
    async with working(queue, second, redelivery=SHORT):
        await until(lambda: second.ended == [RUN])


@pytest.mark.slow
async def test_long_run_is_not_redelivered(redis_url: str, namespace: str) -> None:
    """A run may last longer than the redelivery time of its job."""
    recorder, other = Recorder(), Recorder()
    recorder.open.clear()
    short = timedelta(seconds=3)  # a slow machine renews within it
    async with (
        Queue(redis_url, namespace) as one,
        Queue(redis_url, namespace) as two,
        working(one, recorder, redelivery=short),
    ):
        await one.advance(RUN)
        await until(lambda: recorder.started == [RUN])
        async with working(two, other, redelivery=short):
            await two.advance(RunId("r2"), after=timedelta(seconds=5))  # the fact to wait for
            await until(lambda: "r2" in recorder.started + other.started)
        assert sorted(recorder.started + other.started) == [RUN, "r2"]


async def test_hundreds_of_waiting_runs_do_not_delay_another(queue: Queue, caplog: pytest.LogCaptureFixture) -> None:
    """redis-py's pool fails above 100 connections; the hundreds end at the same moment."""
    recorder = Recorder()
    recorder.open.clear()
    async with working(queue, recorder, concurrency=5_000):
        await asyncio.gather(*(queue.advance(RunId(f"rw{number}")) for number in range(300)))
        await until(lambda: len(recorder.started) == 300)
        await queue.advance(RUN)
        await until(lambda: recorder.started[-1] == RUN)
        recorder.open.set()
        await until(lambda: len(recorder.ended) == 301)
    assert caplog.text == ""


WORKER = """
import asyncio, sys
from datetime import UTC, datetime, timedelta
from countersign.runs.job_queue import TAKEN_AT_ONCE, Queue, work, _Connection, _Hand, _Worker

async def advance(run):
    print(run, flush=True)
    await asyncio.Event().wait()

async def main():
    async with Queue(sys.argv[1], sys.argv[2]) as queue:
        room, redelivery = int(sys.argv[3]), timedelta(seconds=float(sys.argv[4]))
        await work(queue, advance, concurrency=room, redelivery=redelivery, stop=asyncio.Event())

asyncio.run(main())
"""


@pytest.mark.slow
async def test_run_of_a_killed_worker_moves_to_another(redis_url: str, namespace: str, queue: Queue) -> None:
    """R4: nobody adds a job meanwhile; the sweep alone finds the abandoned one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WORKER, redis_url, namespace, "5", "0.5", stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    await queue.advance(RUN)
    assert await process.stdout.readline() == b"r1\n"
    process.kill()
    await process.communicate()
    recorder = Recorder()
    async with working(queue, recorder, redelivery=SHORT):
        await until(lambda: recorder.ended == [RUN])


@pytest.mark.slow
async def test_runs_of_a_killed_worker_are_shared(redis_url: str, namespace: str, queue: Queue) -> None:
    """R4: one that took them all would take twice as long."""
    count = 4 * TAKEN_AT_ONCE
    lost, other = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", WORKER, redis_url, namespace, str(room), "2", stdout=asyncio.subprocess.PIPE
        )
        for room in (count, 2 * count)
    ]
    assert lost.stdout is not None
    assert other.stdout is not None
    recorder = Recorder()
    recorder.open.clear()
    try:
        other.send_signal(signal.SIGSTOP)
        await asyncio.gather(*(queue.advance(RunId(f"r{n}")) for n in range(count)))
        for _ in range(count):
            await lost.stdout.readline()
        other.send_signal(signal.SIGCONT)
        await queue.advance(RunId("rother"))
        assert await other.stdout.readline() == b"rother\n"
        async with (
            working(queue, recorder, concurrency=2 * count, redelivery=timedelta(seconds=2)),
            asyncio.timeout(PATIENCE),
        ):
            lost.kill()
            await other.stdout.readline()
            await until(lambda: bool(recorder.started))
    finally:
        for process in (lost, other):
            if process.returncode is None:
                process.kill()
            await process.communicate()


async def test_job_lost_by_redis_is_requested_again(queue: Queue) -> None:
    """R5: docket leaves it to redelivery, which is for workers that died. Only after a loss: names may be shared.

    What names no run keeps nobody from that, and ends no worker.
    """
    docket = queue._docket
    worker = _Worker(docket)
    worker.hand = _Hand(Recorder(), asyncio.Event(), queue)
    await docket._ensure_stream_and_group()
    async with docket.redis() as client:
        for args in NAMES_OF_NO_RUN:
            await client.xadd(docket.stream_key, {"key": "r9", "function": "advance", "args": args})
        await queue.advance(RUN)
        assert await client.xreadgroup(docket.worker_group_name, worker.name, {docket.stream_key: ">"})
        async with _Connection.worker_lifecycle(docket, worker):
            assert await client.zcard(docket.queue_key) == 0
        async with _Connection.worker_lifecycle(docket, worker):
            assert await client.zcard(docket.queue_key) == 1


@pytest.mark.slow
async def test_redis_restart_keeps_runs_and_brings_new_work(tmp_path: Path) -> None:
    """R4: docket alone would wait for the run in hand before it connected again."""
    recorder = Recorder()
    recorder.open.clear()
    async with EmbeddedRedis(tmp_path) as server, Queue(server.url, "t") as queue:
        async with working(queue, recorder):
            await queue.advance(RUN)
            await until(lambda: recorder.started == [RUN])
            await kill_redis(server.url)
            await ask_until_taken(queue, RunId("r2"))
            await until(lambda: "r2" in recorder.started)
            assert recorder.started == [RUN, "r2"]
            assert recorder.ended == recorder.cancelled == []
        assert sorted(recorder.ended) == [RUN, "r2"]


@pytest.mark.slow
async def test_stop_during_a_redis_outage_ends_the_worker(tmp_path: Path) -> None:
    recorder = Recorder()
    async with EmbeddedRedis(tmp_path) as server:
        queue = await Queue(server.url, "t").__aenter__()
        stop = asyncio.Event()
        task = asyncio.create_task(work(queue, recorder, concurrency=2, redelivery=SHORT, stop=stop))
        await queue.advance(RUN)
        await until(lambda: recorder.ended == [RUN])
    stop.set()
    async with asyncio.timeout(PATIENCE):
        await task
    with pytest.raises(StoreUnavailable, match="Redis did not take the job for run r1"):
        await queue.advance(RUN)
    await queue.__aexit__(None, None, None)


async def test_missing_redis_at_the_start_is_reported_and_stoppable() -> None:
    """The message keeps the password out, and `stop` still ends the worker."""
    nowhere = "redis://:secret@127.0.0.1:1/0"
    recorder = Recorder()
    async with asyncio.timeout(PATIENCE), Queue(nowhere, "t") as queue:
        with pytest.raises(StoreUnavailable, match="the run is kept"):
            await queue.advance(RUN)
        async with working(queue, recorder) as stop:
            stop.set()
    assert recorder.started == []


async def ask_until_taken(queue: Queue, run: RunId) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await queue.advance(run)
            except StoreUnavailable:
                await asyncio.sleep(0.01)


async def kill_redis(url: str) -> None:
    client = redis.asyncio.Redis.from_url(url)
    os.kill((await client.info("server"))["process_id"], signal.SIGKILL)
    await client.aclose()
