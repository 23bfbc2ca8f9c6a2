"""The benchmark runs, and says of every figure whether its aim is met."""

from pathlib import Path

import pytest

from bench import surviving
from bench.memory import Memory
from bench.recovery import Recovery

pytest_plugins = ["tests.redis_server"]


@pytest.mark.timeout(180)
async def test_the_tables_of_what_a_run_survives_are_printed_with_tiny_counts(
    redis_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await surviving.show(redis_url, tmp_path, surviving.QUICK)
    said = capsys.readouterr().out
    for title in ("Decision →", "Bytes in Redis", "Deadlines", "kill -9", "Memory of a worker"):
        assert title in said
    assert len([line for line in said.splitlines() if line.endswith(("met", "MISSED"))]) == 8


def test_a_missed_aim_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    surviving.show_recovery(Recovery(2000, 3.0, 9.0, 10.1))
    surviving.show_memory(Memory(10_000, 70.0, 80.0, 88.1))
    surviving.show_lateness([1.0] * 98 + [101.0] * 2, 60)
    assert capsys.readouterr().out.count(": MISSED\n") == 3
    surviving.show_recovery(Recovery(2000, 3.0, 9.0, 10.0))
    surviving.show_memory(Memory(10_000, 70.0, 80.0, 88.0))
    surviving.show_lateness([1.0] * 99 + [101.0], 60)
    assert capsys.readouterr().out.count(": met\n") == 3
