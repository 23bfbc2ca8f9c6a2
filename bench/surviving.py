"""The tables of what a run survives (issue 3): parked and brought back, stored, taken over, ended by its deadline."""

import os
import statistics
from dataclasses import dataclass
from pathlib import Path

from bench import lateness, memory, parked, recovery, stored
from bench.telling import percentile, verdict


@dataclass(frozen=True)
class Counts:
    """How much of each is done."""

    rounds: int
    waiting: int
    parked: int
    lost: int
    deadlines: int
    seconds: float
    lease: str = "10s"


WHOLE = Counts(30, 500, memory.RUNS, recovery.RUNS, lateness.COUNT, lateness.IN_A_MINUTE)
QUICK = Counts(1, 3, 20, 10, 60, 1.0, "5s")


async def show(url: str, folder: Path, counts: Counts) -> None:
    """Measures and prints each, and how busy the machine was."""
    show_parked(await parked.measure(url, folder / "parked", counts.rounds))
    show_stored(await stored.measure(url, folder / "stored", counts.waiting))
    show_lateness(await lateness.measure(url, folder / "lateness", counts.deadlines, counts.seconds), counts.seconds)
    show_recovery(await recovery.measure(url, folder / "recovery", counts.lost, counts.lease))
    show_memory(await memory.measure(url, folder / "memory", counts.parked))


def show_parked(seen: list[parked.Parked]) -> None:
    """Milliseconds for each shape of team."""
    print(f"\nDecision → agent of a parked run goes on, {len(seen[0].took)} rounds{_busy()}")
    print(f"  {'milliseconds':<50}{'p50':>8}{'lowest':>8}{'limit':>8}{'bare AutoGen':>14}")
    for shape in seen:
        agents = f"{shape.agents} agent{'s' if shape.agents > 1 else ''}{' side by side' * (shape.how == 'beside')}"
        turns = f"{shape.turns} recorded turn{'s' if shape.turns > 1 else ''}"
        took, bare = statistics.median(shape.took), statistics.median(shape.bare)
        print(
            f"  {agents + ', ' + turns:<50}{took:>8.1f}{min(shape.took):>8.1f}{shape.limit:>8.1f}{bare:>14.1f}  "
            f"{verdict(took <= shape.limit)}"
        )
    print("  bare AutoGen: a new team of that shape, whose models answer at once, until it asks")


def show_stored(seen: stored.Stored) -> None:
    """Bytes by kind."""
    bare = seen.beyond - seen.kinds[stored.RECORD]
    print(f"\nBytes in Redis for each waiting run, {seen.runs} runs of the mail team")
    for kind, count in seen.kinds.items():
        print(f"  {kind:<50}{count:>8.0f}")
    print(
        f"  {'all that is counted':<50}{seen.beyond + seen.words:>8.0f}, its own words {seen.words:.0f}\n"
        f"  beyond its own words {bare:.0f}; with its part of the audit record, which stays when it has ended,\n"
        f"  {seen.beyond:.0f}, limit {stored.AIM}: {verdict(seen.beyond <= stored.AIM)}"
    )


def show_lateness(seen: list[float], seconds: float) -> None:
    """Milliseconds."""
    print(f"\nDeadlines, {len(seen)} due within {seconds:.0f} s{_busy()}")
    late = percentile(seen, 99)
    print(
        f"  late by p50 {percentile(seen, 50):.1f} ms, p99 {late:.1f} ms, at most {max(seen):.1f} ms; "
        f"limit p99 {lateness.AIM:.0f} ms: {verdict(late < lateness.AIM)}"
    )


def show_recovery(seen: recovery.Recovery) -> None:
    """Seconds."""
    print(f"\nkill -9 of a worker with {seen.runs} runs in hand, {recovery.LEFT} others{_busy()}")
    print(
        f"  after the last lease's end: half went on at {seen.half:.1f} s, 99 of 100 at {seen.nearly_all:.1f} s, "
        f"all at {seen.all:.1f} s; limit {recovery.AIM:.0f} s: {verdict(seen.all <= recovery.AIM)}"
    )


def show_memory(seen: memory.Memory) -> None:
    """Megabytes."""
    print(f"\nMemory of a worker, {seen.runs} runs parked")
    print(
        f"  just started {seen.started:.1f} MB, idle after its first runs {seen.idle:.1f} MB, with all parked "
        f"{seen.parked:.1f} MB\n  ratio to idle {seen.parked / seen.idle:.2f}, limit {memory.AIM:.2f}: "
        f"{verdict(seen.parked <= memory.AIM * seen.idle)}"
    )


def _busy() -> str:
    return f", load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs"
