"""The benchmark runs, and says of every figure whether its aim is met."""

import re
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import redis_size
from bench.figures import Figure, table
from countersign.runs import area
from countersign.store import keys
from countersign.store.store import Store

pytest_plugins = ["tests.redis_server"]


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_every_benchmark_runs_with_tiny_counts(capsys: pytest.CaptureFixture[str]) -> None:
    await bench.main(bench.QUICK)
    printed = capsys.readouterr().out
    for name in bench.questions("", Path(), bench.QUICK):
        assert f"  {name}: " in printed
    assert len([line for line in printed.splitlines() if line.endswith(("met", "MISSED"))]) == 19


async def test_uncounted_redis_key_ends_the_benchmark(store: Store) -> None:
    """A waiting run does not grow by a key that was forgotten."""
    await redis_size._bytes(store)
    await store.client.set(f"{store.keys.prefix}novelty:r1", "x", px=60_000)
    with pytest.raises(LookupError, match="novelty:r1"):
        await redis_size._bytes(store)


def test_benchmark_counts_existing_keys() -> None:
    webs = re.findall(r"^\| `\{ns\}:(\w+)", keys.__doc__ or "", re.M)
    named = {*webs, *re.findall(r"^\| `(\w+)", area.__doc__ or "", re.M)}
    assert {*redis_size.KINDS, *redis_size.ONCE} <= named
    assert not {*redis_size.KINDS} & {*redis_size.ONCE}


def test_missed_aim_is_named() -> None:
    assert Figure("memory", "10 MB", "11 MB", 1.104, aim=1.1).verdict == "met"
    assert Figure("memory", "10 MB", "12 MB", 1.106, aim=1.1).verdict == "MISSED"
    assert Figure("clicks", "100", "80", 80.0, "%", 80, at_least=True).verdict == "met"
    assert Figure("clicks", "100", "79", 79.9, "%", 80, at_least=True).verdict == "MISSED"
    assert Figure("Redis", "", "3 GB", 3000, "B each").verdict == ""


def test_table_has_a_complete_line_per_figure() -> None:
    """Limit, own figure, ratio, aim and the last version."""
    lines = table([Figure("clicks", "Bolt 500", "400", 80.0, "%", 80, at_least=True, last="77 %")]).splitlines()
    assert re.split(r" {2,}", lines[0]) == ["question", "limit", "ours", "ratio", "aim", "last version"]
    assert re.split(r" {2,}", lines[1]) == ["clicks", "Bolt 500", "400", "80 %", "≥ 80 %", "77 %", "met"]
