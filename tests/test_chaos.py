"""Chaos for half a minute, with a fixed seed: it holds, and what would not is seen."""

import asyncio
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent.parent


@pytest.mark.timeout(900)  # longer than it waits for quiet, so a failure shows its table
async def test_half_a_minute_of_chaos_leaves_no_damage() -> None:
    """R4, R6, R8, R20: kill -9, frozen processes, cut wires, lost replies, wrong clocks, and people all at once."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.chaos", "--minutes", "0.5", "--seed", "7", "--at-once", "25", "--pause", "0.6"),
        cwd=HERE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    table = said.decode(errors="replace")
    assert process.returncode == 0, table
    assert "must be zero" in table
