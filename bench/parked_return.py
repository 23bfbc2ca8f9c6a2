"""The way from a decision until the agent of a parked run goes on: a worker rebuilds its team from the journal."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench import baseline_autogen
from bench.baseline_redis import RawWakeup, raw_wakeup
from bench.figures import Figure, median
from bench.installation import Installation, installation
from countersign.domain.ids import RunId
from tests.processes import Process

AIM: Final = 12
"""Raw wake-ups that the return may take beyond AutoGen's own time for such a team, at the median."""
SHAPES: Final = (("1 agent", "again 1 1"), ("10 agents", "beside 10 10"), ("50 agents", "once 50 50"))
"""Each with the task of bench/teams/turns.py: how the agents speak, how many there are, recorded turns."""
LAST: Final = ("21 ms, AutoGen 3", "40 ms, AutoGen 22", "96 ms, AutoGen 256")
"""On two quiet cores, with AutoGen patched for it."""
_CALM: Final = 0.05
_WARM: Final = 3


async def measure(url: str, data: Path, rounds: int) -> list[Figure]:
    """Measure that many rounds of each shape, with one worker, after three to warm up."""
    figures = []
    async with installation(url, data) as there, raw_wakeup(url) as raw:
        worker = await there.worker(PARK_AFTER="0s")
        for (agents, task), last in zip(SHAPES, LAST, strict=True):
            returns, wakes = await _rounds(there, worker, raw, task, rounds)
            limit = median(await baseline_autogen.rounds_of(task, rounds))
            ours, wake = median(returns), median(wakes)
            figures.append(
                Figure(
                    f"return of a parked run beyond AutoGen's time, {agents}",
                    f"AutoGen {limit:.1f} ms, raw wake-up {wake:.2f} ms",
                    f"{ours:.1f} ms",
                    (ours - limit) / wake,
                    "wake-ups",
                    AIM,
                    last=last,
                )
            )
    return figures


async def _rounds(
    there: Installation, worker: Process, raw: RawWakeup, task: str, rounds: int
) -> tuple[list[float], list[float]]:
    """Milliseconds of each return, and of a raw wake-up before it."""
    returns: list[float] = []
    wakes: list[float] = []
    runs = [RunId(f"r{task.replace(' ', '-')}-{n}") for n in range(rounds + _WARM)]
    await there.start(runs, task)
    await there.all_parked(len(runs), timedelta(seconds=60))
    for run in runs:
        request = await there.asked(run)
        await asyncio.sleep(_CALM)
        wakes.append(await raw.wake())
        await asyncio.sleep(_CALM)
        sent = await there.approve(request)
        went_on = await worker.said(rf"^went on {run} (\d+)")
        returns.append((int(went_on[1]) - sent) / 1e6)
    return returns[_WARM:], wakes[_WARM:]
