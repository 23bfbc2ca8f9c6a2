"""The benchmark runs, and says of every figure whether its aim is met."""

import re
from pathlib import Path

import pytest

from bench import stored, surviving
from bench.memory import Memory
from bench.recovery import Recovery
from countersign.store import keys
from countersign.store.store import Store

pytest_plugins = ["tests.redis_server"]


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_the_tables_of_what_a_run_survives_are_printed_with_tiny_counts(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await surviving.show(redis_url, tmp_path, surviving.QUICK)
    said = capsys.readouterr().out
    for title in ("Decision →", "Bytes in Redis", "Deadlines", "kill -9", "Memory of a worker"):
        assert title in said
    assert len([line for line in said.splitlines() if line.endswith(("met", "MISSED"))]) == 8


async def test_a_key_that_nobody_counts_ends_the_benchmark(store: Store) -> None:
    """Issue 3: a waiting run does not grow by a key that was forgotten."""
    await stored._bytes(store)
    await store.client.set(f"{store.keys.prefix}novelty:r1", "x", px=60_000)
    with pytest.raises(LookupError, match="novelty:r1"):
        await stored._bytes(store)


def test_the_benchmark_counts_keys_that_there_are() -> None:
    named = {*re.findall(r"^\| `\{ns\}:(\w+)", keys.__doc__ or "", re.M), "jobs"}
    assert {*stored.KINDS, *stored.ONCE} <= named
    assert not {*stored.KINDS} & {*stored.ONCE}


def test_a_missed_aim_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    surviving.show_recovery(Recovery(2000, 3.0, 9.0, 10.1))
    surviving.show_memory(Memory(10_000, 70.0, 80.0, 88.1))
    surviving.show_lateness([1.0] * 98 + [101.0] * 2, 60)
    assert capsys.readouterr().out.count(": MISSED\n") == 3
    surviving.show_recovery(Recovery(2000, 3.0, 9.0, 10.0))
    surviving.show_memory(Memory(10_000, 70.0, 80.0, 88.0))
    surviving.show_lateness([1.0] * 99 + [101.0], 60)
    assert capsys.readouterr().out.count(": met\n") == 3
