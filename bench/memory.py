"""What parked runs cost the workers: nothing of them is in memory."""

import asyncio
import os
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench.parking import Place, place
from countersign.domain.ids import RunId
from tests.processes import Process

AIM: Final = 1.1
"""Of an idle worker's memory (issue 3)."""
RUNS: Final = 10_000
_WORKERS: Final = 2
_IN_HAND: Final = 40
"""Runs on their way to their question at once: those are in memory, and their room and connections are kept."""
_FIRST: Final = 0.05
"""Of all runs: when these have come and gone the worker is idle, with all that it loads for its work."""
_LOOK: Final = 0.02
_WITHIN: Final = timedelta(minutes=5)


@dataclass(frozen=True)
class Memory:
    """Megabytes of the worker that grew most, resident: just started, idle after its first runs, with all parked."""

    runs: int
    started: float
    idle: float
    parked: float


async def measure(url: str, data: Path, count: int) -> Memory:
    """Two workers park that many runs between them."""
    async with place(url, data) as there:
        workers = [await there.worker(PARK_AFTER="0s") for _ in range(_WORKERS)]
        started = [_resident(worker) for worker in workers]
        await _park(there, 0, round(count * _FIRST))
        idle = [_resident(worker) for worker in workers]
        await _park(there, round(count * _FIRST), count)
        parked = [_resident(worker) for worker in workers]
        found = [Memory(count, *seen) for seen in zip(started, idle, parked, strict=True)]
        return max(found, key=lambda memory: memory.parked / memory.idle)


async def _park(there: Place, first: int, count: int) -> None:
    begun = first
    while begun < count:
        some = min(_IN_HAND - begun + await there.parked(), count - begun)
        await there.start([RunId(f"r{begun + n}") for n in range(some)], "once 1 1")
        begun += some
        await asyncio.sleep(_LOOK)
    await there.all_parked(count, _WITHIN)


def _resident(worker: Process) -> float:
    pages = int(Path(f"/proc/{worker.pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
