"""A worker asks again for runs whose jobs were lost: each by itself, as the user that a worker is in Redis."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tests.store.two_users import Sides

from agents import registry
from countersign import usecases
from countersign.autogen import runner
from countersign.autogen.models.demo import DemoModel
from countersign.autogen.runner import Runner
from countersign.domain.ids import RunId
from countersign.process_settings import WorkerSettings
from countersign.runs.job_queue import Queue
from countersign.runs.journal_storage import RedisJournal
from countersign.store.wakeups import Wakeups
from tests.redis_server import url_of
from tests.sample_requests import ALICE, GENERAL, HERE
from tests.store_fixtures import start_run


async def test_what_cannot_be_repaired_of_one_run_keeps_nobody_from_the_others(
    sides: Sides, redis_url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """R5: one killed script, whose jobs the server refuses, ended each look at all others, for ever."""
    monkeypatch.setattr(runner, "LOST_AFTER", timedelta(0))
    await sides.web.set_workspace(HERE)
    program: dict[str, Any] = {"channel": GENERAL, "requester": ALICE, "team": "script", "task": "ask"}
    await usecases.start_by_script(sides.agents, run=RunId("skilled"), **program)
    for name in ("rone", "rbroken", "rtwo"):
        await start_run(sides.web, name)
    jobs = sides.agents.keys.prefix + "jobs:"
    await sides.admin.set(f"{jobs}runs:rbroken", "no hash", px=60_000)
    await sides.agents.client.set(sides.agents.keys.lease(RunId("rtwo")), "no lease", px=60_000)
    url = url_of("worker", redis_url, sides.namespace)
    async with Queue(url, sides.namespace) as queue, Wakeups(sides.agents) as wakeups:
        worker = Runner(
            owner="w1",
            store=sides.agents,
            queue=queue,
            wakeups=wakeups,
            journal=RedisJournal(sides.agents),
            teams=registry.find(),
            model=DemoModel(),
            settings=WorkerSettings.model_construct(),
            stop=asyncio.Event(),
        )
        await worker.reconcile()
    stream: Any = await sides.admin.xrange(f"{jobs}stream")
    asked = b" ".join(raw for _, fields in stream for raw in fields.values())
    assert b"rone" in asked and b"rtwo" in asked and b"skilled" not in asked
    assert "rbroken cannot be asked for" in caplog.text and "WRONGTYPE" in caplog.text
    assert "skilled" not in caplog.text
