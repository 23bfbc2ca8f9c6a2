"""A worker with many runs in hand is killed: the time after its leases' end until all of them go on elsewhere."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench import baseline_autogen
from bench.figures import Figure, median
from bench.installation import Installation, installation
from countersign.domain.ids import RunId
from tests.processes import Process

AIM: Final = 3.5
"""Times what AutoGen alone takes to build such teams in as many processes: 10 s where it builds one in 2.9 ms."""
LEFT: Final = 2
"""Workers that take the runs over: one for each core."""
_TASK: Final = "once 1 1"
_ENV: Final = {"PARK_AFTER": "1h", "CONCURRENCY": "5000"}
_WITHIN: Final = timedelta(minutes=2)


async def measure(url: str, data: Path, count: int, lease: str = "10s") -> list[Figure]:
    """Kill one worker with that many runs, all of them at a question; two others go on with them."""
    async with installation(url, data) as there:
        env = {**_ENV, "LEASE": lease}
        lost = await there.worker(**env)
        runs = [RunId(f"r{n}") for n in range(count)]
        await there.start(runs, _TASK)
        await there.all_asked(count, _WITHIN)
        others = [await there.worker(**env) for _ in range(LEFT)]
        await lost.kill()
        lease_ends = await _last_lease(there, runs)
        async with asyncio.timeout(_WITHIN.total_seconds()):
            while len(back := _asking(others)) < count:  # noqa: ASYNC110 -- other processes
                await asyncio.sleep(0.2)
    took = max(back.values()) - lease_ends
    limit = median(await baseline_autogen.rounds_of(_TASK, 30)) / 1000 * count / LEFT
    return [
        Figure(
            f"recovery of {count:,} runs of a killed worker by {LEFT} others",
            f"AutoGen {limit:.1f} s",
            f"{took:.1f} s after the last lease",
            took / limit,
            aim=AIM,
        )
    ]


async def _last_lease(there: Installation, runs: list[RunId]) -> float:
    """The end of the last lease, by this machine's monotonic clock."""
    store = there.store
    now, here = await store.now(), time.monotonic()
    async with store.client.pipeline(transaction=False) as pipeline:
        for run in runs:
            pipeline.hget(store.keys.lease(run), "until")
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
