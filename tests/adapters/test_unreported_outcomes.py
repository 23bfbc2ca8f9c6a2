"""Outcomes that the service was away to hear: kept with their run, and reported when it is back."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from countersign.client import exchange
from countersign.client.client import AsyncClient
from countersign.frameworks import resume
from countersign.frameworks.run_files import read
from countersign.frameworks.saved_runs import JudgedRun, SavedRuns
from localslack import LocalSlack
from tests.adapters.stage import Bob
from tests.api.test_requests import decided


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(exchange, "_LONGEST_PAUSE", 0.002)


class Pay(SavedRuns):
    """A framework that calls one tool, `pay`."""

    def __init__(self, folder: Path, result: str = "paid") -> None:
        super().__init__("#general", folder=folder)
        self.paid = 0
        self.result = result

    async def run(self, away: pytest.MonkeyPatch | None = None) -> Any:
        """Pay once people allow it; with `away` the service is gone meanwhile."""

        async def pay(arguments: Any) -> str:
            self.paid += 1
            if away is not None:
                away.setattr(judged.client, "_address", await self._nowhere(judged))
            return self.result

        async with self._judging("order-17", "clerk", "Pay.") as judged:
            call = judged.run.call("1", "pay", {"order": 17}, None)
            return await judged.perform(call, pay)

    @staticmethod
    async def _nowhere(judged: JudgedRun) -> Any:
        address = judged.client._address
        return type(address)("http://127.0.0.1:9", address.key)


async def paid_while_the_service_was_away(
    folder: Path, bob: Bob, program: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> tuple[Pay, str]:
    """A run that paid, and could not report that; the request."""
    pay = Pay(folder)
    with pytest.MonkeyPatch.context() as away:
        running = asyncio.create_task(pay.run(away))
        await bob.card("Pay: order 17?")
        (waiting,) = (await program.get("/v1/requests")).json()["requests"]
        caplog.set_level(logging.WARNING, "countersign.frameworks")
        await bob.presses("Pay: order 17?", "Approve")
        assert await running == "paid"
    (line,) = [record.getMessage() for record in caplog.records if "isn't reported yet" in record.getMessage()]
    assert "order-17" in line
    found = await decided(program, waiting["id"])
    assert found["outcome"] is None
    return pay, waiting["id"]


def files_of(folder: Path) -> list[Path]:
    return list(folder.glob("*.json"))


async def outcome_of(program: httpx.AsyncClient, request: str) -> Any:
    return (await program.get(f"/v1/requests/{request}")).json()["outcome"]


async def test_continued_run_reports_a_pending_outcome(
    slack: LocalSlack, tmp_path: Path, bob: Bob, program: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """R5: the call's result is not lost meanwhile, and it does not run again."""
    pay, request = await paid_while_the_service_was_away(tmp_path, bob, program, caplog)
    assert await pay.run() == "paid"
    assert await outcome_of(program, request) == {"succeeded": True, "words": ""}
    assert pay.paid == 1
    (path,) = files_of(tmp_path)
    assert [call.unreported for call in read(path).calls] == [None]


async def test_resume_reports_a_pending_outcome(
    slack: LocalSlack, tmp_path: Path, bob: Bob, program: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """R5: also of a run that is over, and whose program nobody starts again; how to start it stays as it was."""
    pay, request = await paid_while_the_service_was_away(tmp_path, bob, program, caplog)
    (path,) = files_of(tmp_path)
    before = read(path)
    async with AsyncClient() as client:
        await resume._report_the_rest(client, [path])
    assert await outcome_of(program, request) == {"succeeded": True, "words": ""}
    call = replace(before.calls[0], unreported=None)
    assert read(path) == replace(before, calls=[call]) and pay.paid == 1


async def test_result_that_reads_like_a_failure_is_a_success(
    slack: LocalSlack, tmp_path: Path, bob: Bob, program: httpx.AsyncClient
) -> None:
    """R31: no text for a model says whether a call succeeded."""
    running = asyncio.create_task(Pay(tmp_path, "The call failed: no, it did not.").run())
    await bob.card("Pay: order 17?")
    (waiting,) = (await program.get("/v1/requests")).json()["requests"]
    await bob.presses("Pay: order 17?", "Approve")
    await running
    assert await outcome_of(program, waiting["id"]) == {"succeeded": True, "words": ""}
