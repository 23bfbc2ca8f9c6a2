"""From a decision until the agent of a parked run goes on: its team is rebuilt from the journal in a worker."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench.parking import Place, place
from countersign.domain.ids import RunId
from tests.processes import Process

AIM: Final = 20.0
"""Milliseconds, at the median (issue 3) …"""
AIM_FOR_A_TURN: Final = 1.0
"""… and so many more for each recorded turn."""
SHAPES: Final = (("again", 1, 1), ("again", 1, 10), ("beside", 10, 10), ("once", 50, 50))
"""How the agents speak (bench/teams/turns.py), how many there are, recorded turns."""
_CALM: Final = 0.05
_WARM: Final = 3


@dataclass
class Parked:
    """Milliseconds of each round, of runs of one shape; and of such a team in AutoGen alone (bench/bare_team.py)."""

    how: str
    agents: int
    turns: int
    took: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)

    @property
    def task(self) -> str:
        return f"{self.how} {self.agents} {self.turns}"

    @property
    def limit(self) -> float:
        return AIM + AIM_FOR_A_TURN * self.turns


async def measure(url: str, data: Path, rounds: int) -> list[Parked]:
    """That many rounds of each shape, one worker, after three to warm up."""
    async with place(url, data) as there:
        worker = await there.worker(PARK_AFTER="0s")
        found = [Parked(*shape) for shape in SHAPES]
        for shape in found:
            await _rounds(there, worker, shape, rounds)
            shape.bare = await _bare(shape.task, rounds)
        return found


async def _rounds(there: Place, worker: Process, shape: Parked, rounds: int) -> None:
    runs = [RunId(f"r{shape.how}{shape.turns}n{n}") for n in range(rounds + _WARM)]
    await there.start(runs, shape.task)
    await there.all_parked(len(runs), timedelta(seconds=60))
    for number, run in enumerate(runs):
        request = await there.asked(run)
        await asyncio.sleep(_CALM)
        sent = await there.approve(request)
        went_on = await worker.said(rf"^went on {run} (\d+)")
        if number >= _WARM:
            shape.took.append((int(went_on[1]) - sent) / 1e6)


async def _bare(task: str, rounds: int) -> list[float]:
    process = await Process("bench.bare_team", {"TASK": task, "ROUNDS": str(rounds)}).start()
    if await process.wait():
        raise RuntimeError("AutoGen by itself ended otherwise than it should:\n" + "\n".join(process.lines))
    return [int(line.split()[1]) / 1e6 for line in process.lines if line.startswith("asked ")]
