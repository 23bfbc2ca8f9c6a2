"""`python -m bench [--quick]`: its tables, about eight minutes. A missed aim is said, and is no failure."""

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from bench import clicking, in_memory, surviving, waking
from bench.clicking import Round
from bench.in_memory import Woken
from bench.telling import percentile, verdict
from bench.waking import Waking
from countersign.store.redis.embedded_server import EmbeddedRedis


def show_waking(seen: Waking) -> None:
    """One table of milliseconds."""
    print(f"\nClick → input_func returned, web and worker in two processes, {seen.transport}, {len(seen.ours)} rounds")
    print(f"  {'milliseconds':<58}{'p50':>8}{'p99':>8}")
    for name, values in (
        ("ours: click sent → input_func returned", seen.ours),
        ("bare Bolt: click sent → empty listener entered", seen.bare),
        ("raw Redis: script sent → coroutine of another process runs", seen.redis),
    ):
        print(f"  {name:<58}{percentile(values, 50):>8.2f}{percentile(values, 99):>8.2f}")
    ours, bare = statistics.median(seen.ours), statistics.median(seen.bare)
    limit, raw, adds = bare + waking.AIM, statistics.median(seen.redis), ours - bare
    print(
        f"  ours {ours:.2f}, limit {limit:.2f} (bare + {waking.AIM:.1f}), ratio to bare {ours / bare:.2f}; waking adds "
        f"{adds:.2f} ms,\n  {adds / raw:.1f} times raw Redis ({raw:.2f}); aim at most {waking.AIM:.1f} ms, set where "
        f"raw Redis took {waking.RAW_THERE:.2f}: "
        f"{verdict(ours <= limit)}"
    )


def show_clicking(rounds: list[Round]) -> None:
    """One table of clicks a second."""
    clicks = rounds[0].ours.load.statuses.total()
    print(f"\nClicks a second, signed HTTP, {clicking.AT_ONCE} at a time, {len(rounds)} rounds of {clicks} each")
    print(f"  {'':<34}{'median':>8}{'lowest':>8}{'highest':>9}{'server CPU, ms a click':>24}{'generator busy':>16}")
    for name, taken in (
        ("ours: decided in Redis, then acked", [r.ours for r in rounds]),
        ("bare Bolt: empty listener", [r.bare for r in rounds]),
    ):
        rates, busy = [t.load.rate for t in taken], max(t.load.busy for t in taken)
        cpu = statistics.mean(t.cpu for t in taken)
        print(
            f"  {name:<34}{statistics.median(rates):>8.0f}{min(rates):>8.0f}{max(rates):>9.0f}{cpu:>24.2f}{busy:>16.0%}"
        )
    ratio = statistics.median(r.ours.load.rate / r.bare.load.rate for r in rounds)
    limit = clicking.AIM * statistics.median(r.bare.load.rate for r in rounds)
    print(
        f"  ours {statistics.median(r.ours.load.rate for r in rounds):.0f}, limit {limit:.0f}, median ratio "
        f"{ratio:.0%} of bare, aim at least {clicking.AIM:.0%}: {verdict(ratio >= clicking.AIM)}"
    )


def show_in_memory(seen: list[Woken]) -> None:
    """One table of milliseconds, a line for each number that wait."""
    print(f"\nDecision → agent goes on, its run in memory, {len(seen[0].ours)} rounds each")
    print(f"  {'milliseconds, p50 and p99':<26}{'ours':>16}{'raw Redis':>18}{'ours / raw':>12}")
    ratios = []
    for woken in seen:
        ours, raw = ([percentile(values, p) for p in (50, 99)] for values in (woken.ours, woken.redis))
        ratios.append(ours[0] / raw[0])
        name = f"{woken.waiting:,} {'waits' if woken.waiting == 1 else 'wait'}"
        print(f"  {name:<26}{ours[0]:>8.2f}{ours[1]:>8.2f}{raw[0]:>10.2f}{raw[1]:>8.2f}{ratios[-1]:>12.2f}")
    growth = ratios[-1] / ratios[0]
    print(
        f"  aim at most {in_memory.AIM:.1f} times raw Redis: {verdict(max(ratios) <= in_memory.AIM)}; no growth with "
        f"the number (ratio × {growth:.2f}, at most × {in_memory.GROWTH:.1f}): {verdict(growth <= in_memory.GROWTH)}"
    )


async def main(*, quick: bool) -> None:
    """Everything on one embedded server with its append-only file written before every answer."""
    rounds, takes, clicks, crowd = (5, 2, 60, 500) if quick else (200, 9, 500, 50_000)
    begun = time.perf_counter()
    print(f"Embedded Valkey, appendfsync always; localslack; {os.cpu_count()} CPUs")
    with tempfile.TemporaryDirectory(prefix="countersign-bench-") as folder:
        async with EmbeddedRedis(Path(folder) / "redis") as server:
            for http in (False, True):
                show_waking(await waking.measure(server.url, Path(folder) / f"data{http:d}", rounds, http=http))
            show_in_memory([await in_memory.measure(server.url, Path(folder) / "data", rounds, n) for n in (1, crowd)])
            show_clicking(await clicking.measure(server.url, takes, clicks))
            await surviving.show(server.url, Path(folder), surviving.QUICK if quick else surviving.WHOLE)
    print(f"\n{time.perf_counter() - begun:.0f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny counts, to see that it runs")
    asyncio.run(main(quick=parser.parse_args().quick))
