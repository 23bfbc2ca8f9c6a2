"""The job engine when things go wrong, seen with real processes in about a minute.

`python bench/job_engine.py` prints the table on which docs/decisions/0001-job-engine.md rests. Everything runs with a
redelivery time of 2 s on an embedded Valkey behind a password. "docket" is the engine as it comes, "ours" the same
through countersign.store.job_queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import secrets
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import redis.asyncio
from docket import Docket, Worker

from countersign.domain.ids import RunId
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.job_queue import Queue, work

REDELIVERY = timedelta(seconds=2)
Note = tuple[str, str, float, int]
"""What a worker wrote: "start" or "end", run, time, process."""


def row(what: str, seen: str) -> None:
    print(f"  {what:<72} {seen}", flush=True)


async def job(run: str) -> None:
    """Work `verb:seconds:name`.

    `once` ends at once when it was started before; `until` gives a time of day.
    """
    verb, seconds, _ = run.split(":")
    again = verb == "once" and any(note[1] == run for note in read_notes(Path(os.environ["NOTES"])))
    write_note("start", run)
    if verb == "block":
        time.sleep(float(seconds))  # noqa: ASYNC251 -- a blocked loop is what is looked at
    elif not again:
        await asyncio.sleep(float(seconds) - (time.time() if verb == "until" else 0))
    write_note("end", run)


def write_note(what: str, run: str) -> None:
    with Path(os.environ["NOTES"]).open("a") as file:
        file.write(f"{what} {run} {time.time()} {os.getpid()}\n")


def read_notes(file: Path) -> list[Note]:
    if not file.exists():
        return []
    parts = (line.split() for line in file.read_text().splitlines())
    return [(what, run, float(at), int(pid)) for what, run, at, pid in parts]


async def worker_process(engine: str, url: str, name: str, concurrency: str) -> None:
    """One worker until SIGTERM, which stops it the gentle way."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    write_note("up", "-")
    if engine == "ours":
        async with Queue(url, name) as queue:
            await work(queue, job, concurrency=int(concurrency), redelivery=REDELIVERY, stop=stop)
        return
    async with Docket(name=name, url=url) as docket:
        docket.register(job, names=["advance"])
        async with Worker(
            docket,
            concurrency=int(concurrency),
            redelivery_timeout=REDELIVERY,
            reconnection_delay=timedelta(seconds=1),
        ) as worker:
            forever = asyncio.create_task(worker.run_forever())
            await stop.wait()
        await forever


class Stage:
    """One scenario: its own docket, its workers, their notes."""

    def __init__(self, url: str, engine: str = "docket") -> None:
        self.url, self.engine = url, engine
        self.name = "b" + secrets.token_hex(4)
        self.notes_file = Path(tempfile.mkdtemp(prefix="engine-")) / "notes"
        self.workers: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> Stage:
        self.docket: Docket = Docket(name=self.name, url=self.url)
        self.queue = Queue(self.url, self.name)
        await (self.queue if self.engine == "ours" else self.docket).__aenter__()
        self.docket.register(job, names=["advance"])
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.workers:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        shutil.rmtree(self.notes_file.parent)
        await (self.queue if self.engine == "ours" else self.docket).__aexit__(None, None, None)

    async def worker(self, concurrency: int = 10) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            "worker",
            self.engine,
            self.url,
            self.name,
            str(concurrency),
            env=os.environ | {"NOTES": str(self.notes_file)},
            stderr=asyncio.subprocess.DEVNULL,
        )
        self.workers.append(process)
        await self.until(lambda: len(self.of("up", "-")) == len(self.workers))
        return process

    async def add(self, run: str, after: float = 0, key: str | None = None) -> str:
        if self.engine == "ours":
            await self.queue.advance(RunId(run), after=timedelta(seconds=after))
            return "asked"
        when = datetime.now(UTC) + timedelta(seconds=after)
        execution = await self.docket.add("advance", when=when, key=key or run)(run)
        return "taken" if execution.disposition.value == "scheduled" else "dropped"

    def of(self, what: str, run: str) -> list[Note]:
        return [note for note in read_notes(self.notes_file) if note[:2] == (what, run)]

    async def until(self, fact: Callable[[], object], within: float = 20) -> None:
        async with asyncio.timeout(within):
            while not fact():  # noqa: ASYNC110 -- facts of other processes
                await asyncio.sleep(0.01)

    async def started(self, run: str, times: int = 1) -> Note:
        await self.until(lambda: len(self.of("start", run)) >= times)
        return self.of("start", run)[times - 1]


async def kill_9_on_an_idle_queue(url: str) -> None:
    async with Stage(url) as stage:
        await asyncio.gather(stage.worker(), stage.worker())
        await stage.add("once:30:a")
        first = await stage.started("once:30:a")
        killed = time.time()
        os.kill(first[3], signal.SIGKILL)
        second = await stage.started("once:30:a", times=2)
        row("(a) kill -9 of the worker, nothing else queued", f"started again after {second[2] - killed:.1f} s")


async def longer_than_the_lease(url: str) -> None:
    async with Stage(url) as stage:
        await asyncio.gather(stage.worker(), stage.worker())
        await stage.add("sleep:7:a")
        await stage.until(lambda: stage.of("end", "sleep:7:a"))
        row("(b) a healthy job of 7 s", f"started {len(stage.of('start', 'sleep:7:a'))} time(s)")


async def blocked_loop(url: str) -> None:
    async with Stage(url) as stage:
        await asyncio.gather(stage.worker(), stage.worker())
        await stage.add("block:5:a")
        await stage.until(lambda: stage.of("end", "block:5:a"))
        await asyncio.sleep(1)
        starts, ends = stage.of("start", "block:5:a"), stage.of("end", "block:5:a")
        at_once = ", two at once" if len(starts) > 1 and starts[1][2] < ends[0][2] else ""
        row("(c) a job that blocks its loop for 5 s", f"started {len(starts)} time(s){at_once}")


async def the_same_key(url: str) -> None:
    async with Stage(url) as stage:
        seen = [await stage.add("sleep:1:a"), await stage.add("sleep:1:a")]
        row("(d) the same key while queued", seen[1])
        later = await stage.add("sleep:0:b", after=60)
        now = await stage.add("sleep:0:b")
        row("(d) the same key for now, while one for in 60 s is queued", f"{now} ({later} before): comes in 60 s")
        await stage.worker()
        await stage.started("sleep:1:a")
        row("(d) the same key while running", await stage.add("sleep:1:a"))
        await stage.until(lambda: stage.of("end", "sleep:1:a"))
        await asyncio.sleep(0.1)
        again = await stage.add("sleep:1:a")
        await stage.started("sleep:1:a", times=2)
        row("(d) the same key after it ended", f"{again}, started")
    async with Stage(url, "ours") as stage:
        await stage.add("sleep:0:b", after=60)
        await stage.worker()
        await stage.add("sleep:0:b")
        await stage.started("sleep:0:b")
        row("(d) ours: for now, while one for in 60 s is queued", "started now")


async def sigterm(url: str) -> None:
    async with Stage(url) as stage:
        first = await stage.worker()
        await stage.add("sleep:2:a")
        await stage.started("sleep:2:a")
        asked = time.time()
        first.terminate()
        status = await first.wait()
        ended = "ended its job" if stage.of("end", "sleep:2:a") else "dropped its job"
        row(
            "(e) SIGTERM with a job of 2 s running", f"{ended}, left after {time.time() - asked:.1f} s, status {status}"
        )
    async with Stage(url) as stage:
        first = await stage.worker()
        await stage.add("sleep:6:a")
        await stage.started("sleep:6:a")
        await stage.worker()
        first.terminate()
        await first.wait()
        times = len(stage.of("start", "sleep:6:a"))
        row(
            "(e) SIGTERM with a job of 6 s running, another worker up",
            f"started {times} times: no renewal while draining",
        )


async def redis_restarted(engine: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedRedis(Path(folder)) as server, Stage(server.url, engine) as stage:
            await stage.worker()
            await stage.add("sleep:8:a")
            await stage.started("sleep:8:a")
            client = redis.asyncio.Redis.from_url(server.url)
            os.kill((await client.info("server"))["process_id"], signal.SIGKILL)
            await client.aclose()
            killed = time.time()
            while True:
                with contextlib.suppress(Exception):
                    await stage.add("sleep:0:b")
                    break
                await asyncio.sleep(0.05)
            note = await stage.started("sleep:0:b")
            await stage.until(lambda: stage.of("end", "sleep:8:a"))
            await asyncio.sleep(2.5)
            times = len(stage.of("start", "sleep:8:a"))
            row(
                f"(f) {engine}: Redis killed under a job of 8 s; a new job",
                f"started {note[2] - killed:.1f} s after; the job in hand {times} time(s) in all",
            )


async def many_end_at_once(engine: str) -> None:
    async with embedded() as url, Stage(url, engine) as stage:
        await stage.worker(concurrency=10_000)
        at = time.time() + 5
        for first in range(0, 1_000, 50):
            await asyncio.gather(*(stage.add(f"until:{at}:{n}") for n in range(first, first + 50)))
        await asyncio.sleep(at + 5 - time.time())
        starts = [note[1] for note in read_notes(stage.notes_file) if note[0] == "start"]
        row(
            f"(i) {engine}: 1,000 jobs that end at the same moment",
            f"{len(set(starts)):,} started, {len(starts) - len(set(starts)):,} of them again",
        )


async def keys_and_needs(url: str) -> None:
    client = redis.asyncio.Redis.from_url(url, decode_responses=True)
    async with Stage(url, "ours") as stage:
        await stage.add("sleep:1:later", after=3600)
        await stage.worker()
        await stage.add("sleep:3:running")
        await stage.add("sleep:0:ended")
        await stage.until(lambda: stage.of("end", "sleep:0:ended"))
        await stage.started("sleep:3:running")
        await asyncio.sleep(0.2)
        keys = [key async for key in client.scan_iter(f"*{stage.name}*", count=1000)]
        endless = sorted([key.split("}:", 1)[1] for key in keys if await client.ttl(key) == -1])
        row("(g) keys without a TTL (one job ended, one running, one for later)", ", ".join(endless))
        ended = f"{{{stage.name}}}:jobs:runs:sleep:0:ended"
        row(
            "(g) an ended job leaves",
            f"{await client.memory_usage(ended)} bytes for {await client.ttl(ended)} s",
        )
    modules = [module["name"] for module in await client.module_list()]
    row("(g) modules of the server (Valkey 9 carries Lua as one)", ", ".join(modules))
    await client.aclose()


def usage(pid: int) -> tuple[float, float]:
    """Resident megabytes and seconds of CPU of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return pages * 4096 / 1e6, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def many_waiting(url: str) -> None:
    client = redis.asyncio.Redis.from_url(url, decode_responses=True)
    async with Stage(url, "ours") as stage:
        process = await stage.worker(concurrency=10_000)
        await stage.add("sleep:0:warm")
        await stage.started("sleep:0:warm")
        empty, _ = usage(process.pid)
        waiting = 0
        for target in (0, 1_000, 5_000):
            begun, known = time.time(), started_in(stage) - waiting + target
            await asyncio.gather(*(stage.add(f"sleep:600:{n}") for n in range(waiting, target)))
            await stage.until(functools.partial(has_started, stage, known), 60)
            filled = time.time() - begun
            waiting = target
            (memory, cpu), commands = usage(process.pid), await processed(client)
            await asyncio.sleep(3)
            (_, later), more = usage(process.pid), await processed(client)
            delays = []
            for n in range(50):
                at = time.time()
                await stage.add(f"sleep:0:{target}-{n}")
                delays.append((await stage.started(f"sleep:0:{target}-{n}"))[2] - at)
            row(
                f"(w) {target:,} waiting jobs in one worker",
                f"+{memory - empty:.0f} MB, {(later - cpu) / 3:.1%} of a core, {(more - commands) / 3:.0f} commands/s, "
                f"filled in {filled:.1f} s, a new one starts {statistics.median(delays) * 1000:.1f} ms after",
            )
    await client.aclose()


def started_in(stage: Stage) -> int:
    return sum(note[0] == "start" for note in read_notes(stage.notes_file))


def has_started(stage: Stage, jobs: int) -> bool:
    return started_in(stage) >= jobs


async def processed(client: redis.asyncio.Redis) -> int:
    return int((await client.info("stats"))["total_commands_processed"])


@contextlib.asynccontextmanager
async def embedded() -> AsyncIterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        async with EmbeddedRedis(Path(folder)) as server:
            yield server.url


async def main() -> None:
    print(f"Redelivery after {REDELIVERY.seconds} s, Valkey with appendfsync always, password, loopback\n")
    begun = time.time()
    async with embedded() as url:
        await asyncio.gather(kill_9_on_an_idle_queue(url), longer_than_the_lease(url), blocked_loop(url))
        await asyncio.gather(the_same_key(url), sigterm(url))
        await asyncio.gather(redis_restarted("docket"), redis_restarted("ours"), keys_and_needs(url))
        await many_waiting(url)
    await asyncio.gather(many_end_at_once("docket"), many_end_at_once("ours"))
    print(f"\n{time.time() - begun:.0f} s")


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        asyncio.run(worker_process(*sys.argv[2:6]))
    else:
        asyncio.run(main())
