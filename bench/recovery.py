"""A worker with many runs in hand is killed: how long after the end of its leases all of them go on elsewhere."""

import asyncio
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench.parking import Place, place
from countersign.domain.ids import RunId
from tests.processes import Process

AIM: Final = 10.0
"""Seconds after the end of the last lease, on two cores (issue 3)."""
RUNS: Final = 2000
LEFT: Final = 2
"""Workers that take the runs over: one for each core."""
_ENV: Final = {"PARK_AFTER": "1h", "CONCURRENCY": "5000"}
_WITHIN: Final = timedelta(minutes=2)


@dataclass(frozen=True)
class Recovery:
    """Seconds after the end of the last lease when half of the runs, 99 of 100 and all were back at their question."""

    runs: int
    half: float
    nearly_all: float
    all: float


async def measure(url: str, data: Path, count: int, lease: str = "10s") -> Recovery:
    """One worker gets that many runs, is killed with all of them at a question, and two others go on with them."""
    async with place(url, data) as there:
        env = {**_ENV, "LEASE": lease}
        lost = await there.worker(**env)
        runs = [RunId(f"r{n}") for n in range(count)]
        await there.start(runs, "once 1 1")
        await there.all_asked(count, _WITHIN)
        others = [await there.worker(**env) for _ in range(LEFT)]
        await lost.kill()
        lease_ends = await _last_lease(there, runs)
        async with asyncio.timeout(_WITHIN.total_seconds()):
            while len(back := _asking(others)) < count:  # noqa: ASYNC110 -- other processes
                await asyncio.sleep(0.2)
        times = sorted(at - lease_ends for at in back.values())
        return Recovery(count, times[count // 2], times[count * 99 // 100], times[-1])


async def _last_lease(there: Place, runs: list[RunId]) -> float:
    """When the last of the leases ends, by this machine's monotonic clock."""
    store = there.store
    now, here = await store.now(), time.monotonic()
    async with store.client.pipeline(transaction=False) as pipeline:
        for run in runs:
            pipeline.hget(store.keys.lease(run), "until")
        until = max(int(ms) for ms in await pipeline.execute())
    return here + until / 1000 - now.timestamp()


def _asking(workers: list[Process]) -> dict[str, float]:
    """Run -> when it was first back at its question."""
    found: dict[str, float] = {}
    for worker in workers:
        for line in worker.lines:
            if line.startswith("asks "):
                _, run, at = line.split()
                found[run] = min(found.get(run, float("inf")), int(at) / 1e9)
    return found
