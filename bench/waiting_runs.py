"""Runs that wait: return, recovery, and the memory of their workers."""

import asyncio
import os
import time
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench.baseline_autogen import autogen_alone
from bench.baseline_redis import raw_wakeup
from bench.figures import Figure, median
from bench.workers import Installation, installation
from countersign.domain.ids import RunId
from countersign.runs.area import AreaKeys
from tests.processes import Process

RETURN: Final = 12
"""Raw wake-ups that the return of a parked run may take beyond AutoGen's own time for such a team, at the median."""
SHAPES: Final = (("1 agent", "again 1 1"), ("10 agents", "beside 10 10"), ("50 agents", "once 50 50"))
"""Each with the task of bench/teams/turns.py: how the agents speak, how many there are, recorded turns."""
LAST: Final = ("21 ms, AutoGen 3", "40 ms, AutoGen 22", "96 ms, AutoGen 256")
"""On two quiet cores, with AutoGen patched for it."""
RECOVERY: Final = 3.5
"""Times what AutoGen alone takes to build as many such teams, which stay, in as many processes at once."""
MEMORY: Final = 1.1
"""Times an idle worker's memory."""
LEFT: Final = 2
"""Workers that take runs over, or park them: one for each core."""
_TASK: Final = "once 1 1"
_CALM: Final = 0.05
_WARM: Final = 3
_IN_HAND: Final = 40
"""Runs on their way to their question at once: those are in memory, and their room and connections are kept."""
_FIRST: Final = 0.1
"""Of all runs: when these have come and gone the worker is idle, with all that it loads for its work."""
_LOOK: Final = 0.02
_WITHIN: Final = timedelta(minutes=5)


async def measure_return(url: str, data: Path, rounds: int) -> list[Figure]:
    """Measure that many rounds of each shape, with one worker, after three to warm up."""
    figures = []
    async with installation(url, data) as there:
        worker = await there.worker(PARK_AFTER="0s")
        for (agents, task), last in zip(SHAPES, LAST, strict=True):
            ours, limit, wake = await _return(there, worker, url, task, rounds)
            figures.append(
                Figure(
                    f"return of a parked run beyond AutoGen's time, {agents}",
                    f"AutoGen {limit:.1f} ms, raw wake-up {wake:.2f} ms",
                    f"{ours:.1f} ms",
                    (ours - limit) / wake,
                    "wake-ups",
                    RETURN,
                    last=last,
                )
            )
    return figures


async def _return(there: Installation, worker: Process, url: str, task: str, rounds: int) -> tuple[float, ...]:
    """Milliseconds at the median of a return, of AutoGen alone, and of a raw wake-up; the three are taken in turn."""
    taken: list[tuple[float, float, float]] = []
    runs = [RunId(f"r{task.replace(' ', '-')}-{n}") for n in range(rounds + _WARM)]
    await there.start(runs, task)
    await there.all_parked(len(runs), _WITHIN)
    async with raw_wakeup(url) as raw, autogen_alone(task) as alone:
        for run in runs:
            request = await there.asked(run)
            limit = await alone()
            await asyncio.sleep(_CALM)
            wake = await raw.wake()
            await asyncio.sleep(_CALM)
            sent = await there.approve(request)
            went_on = await worker.said(rf"^went on {run} (\d+)")
            taken.append(((int(went_on[1]) - sent) / 1e6, limit, wake))
    return tuple(map(median, zip(*taken[_WARM:], strict=True)))


async def measure_recovery(url: str, data: Path, count: int, lease: str = "10s") -> list[Figure]:
    """Kill two workers whose runs all wait; two others continue them.

    Measured from the end of the last lease until all are back.
    """
    async with installation(url, data) as there:
        env = {"PARK_AFTER": "1h", "CONCURRENCY": "5000", "LEASE": lease}
        lost = await there.some(LEFT, **env)
        runs = [RunId(f"r{n}") for n in range(count)]
        await there.start(runs, _TASK)
        await there.all_asked(count, _WITHIN)
        others = await there.some(LEFT, **env)
        await asyncio.gather(*(worker.kill() for worker in lost))
        lease_ends = await _last_lease(there, runs)
        async with asyncio.timeout(_WITHIN.total_seconds()):
            while len(back := _asking(others)) < count:  # noqa: ASYNC110 -- other processes
                await asyncio.sleep(0.2)
    took = max(back.values()) - lease_ends
    async with AsyncExitStack() as stack:
        each = [await stack.enter_async_context(autogen_alone(_TASK, count // LEFT)) for _ in range(LEFT)]
        rounds = [max(await asyncio.gather(*(alone() for alone in each))) / 1000 for _ in range(_WARM)]
        limit = median(rounds[1:])
    return [
        Figure(
            f"recovery of {count:,} runs of {LEFT} killed workers by {LEFT} others",
            f"AutoGen {limit:.1f} s",
            f"{took:.1f} s after the last lease",
            took / limit,
            aim=RECOVERY,
        )
    ]


async def _last_lease(there: Installation, runs: list[RunId]) -> float:
    """The end of the last lease, by this machine's monotonic clock."""
    store, area = there.store, AreaKeys(there.namespace)
    now, here = await store.now(), time.monotonic()
    async with store.client.pipeline(transaction=False) as pipeline:
        for run in runs:
            pipeline.hget(area.lease(run), "until")
        until = max(int(ms) for ms in await pipeline.execute())
    return here + until / 1000 - now.timestamp()


def _asking(workers: list[Process]) -> dict[str, float]:
    """Each run, and the second at which it was first back at its question."""
    first: dict[str, float] = {}
    for worker in workers:
        for line in worker.lines:
            if line.startswith("asks "):
                _, run, at = line.split()
                first[run] = min(first.get(run, float("inf")), int(at) / 1e9)
    return first


async def measure_memory(url: str, data: Path, count: int) -> list[Figure]:
    """Let two workers park that many runs between them; the one that grew most counts.

    What runs of others take from a worker is asked in `million_requests`; this is what its own leave behind.
    """
    async with installation(url, data) as there:
        workers = await there.some(LEFT, PARK_AFTER="0s")
        await _park(there, 0, round(count * _FIRST))
        idle = [resident(worker.pid) for worker in workers]
        await _park(there, round(count * _FIRST), count)
        parked = [resident(worker.pid) for worker in workers]
    before, after = max(zip(idle, parked, strict=True), key=lambda pair: pair[1] / pair[0])
    return [
        Figure(
            f"memory of a worker, {count:,} runs parked",
            f"idle {before:.1f} MB",
            f"{after:.1f} MB",
            after / before,
            aim=MEMORY,
        )
    ]


async def _park(there: Installation, first: int, count: int) -> None:
    begun = first
    while begun < count:
        some = min(_IN_HAND - begun + await there.parked(), count - begun)
        await there.start([RunId(f"r{begun + n}") for n in range(some)], _TASK)
        begun += some
        await asyncio.sleep(_LOOK)
    await there.all_parked(count, _WITHIN)


def resident(pid: int) -> float:
    """Megabytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
