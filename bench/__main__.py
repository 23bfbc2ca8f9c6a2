"""`python -m bench [--quick] [--only QUESTION]`: one table.

It takes five minutes at most. A missed target is not a failure.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from bench import (
    click_rate,
    deadline_lag,
    million_requests,
    program_interface,
    redis_size,
    slack_rates,
    waiting_runs,
    wakeup_latency,
)
from bench.figures import Figure, table
from countersign.store.embedded_server import EmbeddedRedis


@dataclass(frozen=True)
class Counts:
    """The amount of each that is done."""

    wakeups: int = 50
    click_rounds: int = 4
    clicks: int = 400
    returns: int = 6
    deadlines: int = 2000
    lost: int = 2000
    stored: int = 150
    parked: int = 2000
    waiting: int = 1_000_000
    walks: int = 10
    lease: str = "10s"
    decisions: int = 20
    asked: int = 100
    programs: int = 10_000
    rates: tuple[slack_rates.Row, ...] = slack_rates.ROWS


QUICK = Counts(5, 2, 60, 2, 60, 10, 3, 20, 5000, 2, "5s", 2, 10, 20, slack_rates.QUICK)
Question = Callable[[], Awaitable[list[Figure]]]


def questions(url: str, folder: Path, counts: Counts) -> dict[str, Question]:
    """Each by its name, in the order of the table."""
    return {
        "wakeup": lambda: wakeup_latency.measure(url, folder / "wakeup", counts.wakeups),
        "clicks": lambda: click_rate.measure(url, counts.click_rounds, counts.clicks),
        "return": lambda: waiting_runs.measure_return(url, folder / "return", counts.returns),
        "interface": lambda: program_interface.measure(
            url, folder / "interface", counts.decisions, counts.asked, counts.programs
        ),
        "deadlines": lambda: deadline_lag.measure(url, folder / "deadlines", counts.deadlines),
        "recovery": lambda: waiting_runs.measure_recovery(url, folder / "recovery", counts.lost, counts.lease),
        "size": lambda: redis_size.measure(url, folder / "size", counts.stored),
        "memory": lambda: waiting_runs.measure_memory(url, folder / "memory", counts.parked),
        "rates": lambda: slack_rates.measure(url, counts.rates),
        "million": lambda: million_requests.measure(folder / "million", counts.waiting, counts.walks),
    }


TOGETHER = frozenset({"size", "memory"})
"""Questions about bytes, which no clock disturbs: they are asked beside each other."""


async def main(counts: Counts, only: str = "") -> None:
    """Ask every question once.

    The embedded server writes its append-only file before every answer.
    """
    begun = time.perf_counter()
    print(f"Embedded Valkey, appendfsync always; localslack; {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder:
        async with EmbeddedRedis(Path(folder) / "redis") as server:
            chosen = questions(server.url, Path(folder), counts)
            if only:
                chosen = {only: chosen[only]}
            figures: dict[str, list[Figure]] = {name: [] for name in chosen}

            async def answer(name: str) -> None:
                since = time.perf_counter()
                figures[name] = await chosen[name]()
                print(f"  {name}: {time.perf_counter() - since:.0f} s", flush=True)

            try:
                for name in chosen:
                    if name not in TOGETHER:
                        await answer(name)
                await asyncio.gather(*(answer(name) for name in chosen if name in TOGETHER))
            finally:  # what was measured before a question failed is worth as much
                print(f"\n{table([figure for answers in figures.values() for figure in answers])}")
    print(f"\n{time.perf_counter() - begun:.0f} s; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny counts, to see that it runs")
    parser.add_argument("--only", default="", choices=sorted(questions("", Path(), QUICK)), help="one question")
    arguments = parser.parse_args()
    asyncio.run(main(QUICK if arguments.quick else Counts(), arguments.only))
