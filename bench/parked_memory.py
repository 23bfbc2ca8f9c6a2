"""The memory of workers that have parked many runs, beside that of idle ones."""

import asyncio
import os
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench.figures import Figure
from bench.installation import Installation, installation
from countersign.domain.ids import RunId

AIM: Final = 1.1
"""Times an idle worker's memory."""
_WORKERS: Final = 2
_IN_HAND: Final = 40
"""Runs on their way to their question at once: those are in memory, and their room and connections are kept."""
_FIRST: Final = 0.05
"""Of all runs: when these have come and gone the worker is idle, with all that it loads for its work."""
_LOOK: Final = 0.02
_WITHIN: Final = timedelta(minutes=5)


async def measure(url: str, data: Path, count: int) -> list[Figure]:
    """Let two workers park that many runs between them; the one that grew most counts."""
    async with installation(url, data) as there:
        workers = [await there.worker(PARK_AFTER="0s") for _ in range(_WORKERS)]
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
            aim=AIM,
        )
    ]


async def _park(there: Installation, first: int, count: int) -> None:
    begun = first
    while begun < count:
        some = min(_IN_HAND - begun + await there.parked(), count - begun)
        await there.start([RunId(f"r{begun + n}") for n in range(some)], "once 1 1")
        begun += some
        await asyncio.sleep(_LOOK)
    await there.all_parked(count, _WITHIN)


def resident(pid: int) -> float:
    """Megabytes of a process that are in memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
