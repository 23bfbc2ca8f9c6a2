"""`web` asks again for runs whose jobs were lost: each by itself."""

from typing import Any

import pytest

from countersign import usecases
from countersign.domain.ids import RunId, TeamName
from countersign.domain.run_calls import Start
from countersign.runs.area import AreaKeys
from countersign.runs.job_queue import Queue
from countersign.usecases.requeued_runs import Unheld, ask_again
from tests.autogen.harness import ANN, CHANNEL, House
from tests.autogen.test_parked_runs import AT_ONCE

pytest_plugins = ["tests.redis_server"]


async def test_unrepairable_run_does_not_block_repairs_of_others(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    """R5: one killed script, whose jobs the server refuses, ended each look at all others, for ever."""
    program = Start(CHANNEL, ANN, TeamName("script"), "ask")
    await usecases.start_by_script(house.store, RunId("skilled"), program)
    for name in ("rone", "rbroken", "rtwo"):
        await house.start(name)
    jobs = AreaKeys(house.namespace).prefix + "jobs:"
    await house.store.client.set(f"{jobs}runs:rbroken", "no hash", px=60_000)
    async with Queue(house.url, house.namespace) as queue:
        await ask_again(house.store, queue, Unheld(house.store), AT_ONCE)
    stream: Any = await house.store.client.xrange(f"{jobs}stream")
    asked = b" ".join(raw for _, fields in stream for raw in fields.values())
    assert b"rone" in asked and b"rtwo" in asked and b"skilled" not in asked
    assert "Run rbroken cannot be queued" in caplog.text and "WRONGTYPE" in caplog.text
    assert "skilled" not in caplog.text
