"""Teams of other frameworks in a real worker: asked, decided, parked, and killed at each moment.

The worker is that of the wheel: in a checkout the package `agents` is our own folder, and no OpenAI Agents SDK.
"""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from countersign.domain.calls import canonical
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.runs import Run, Status
from countersign.runs.job_queue import Queue
from tests.autogen.harness import House, fact
from tests.redis_server import url_of
from tests.store_fixtures import let_expire
from tests.test_wheel import Installed, python, wheel

__all__ = ["python", "wheel"]
pytest_plugins = ["tests.redis_server"]
pytestmark = [pytest.mark.slow, pytest.mark.parametrize("team", ["refunds_af", "refunds_wf", "refunds_oa"])]
TEAMS = Path(__file__).parent / "teams"
PAID = "45.00 EUR were paid back."


class Shop:
    """One run of a team, and workers for it."""

    def __init__(self, house: House, team: str, python: Path) -> None:
        self.house, self.team, self._python = house, team, python

    async def start(self, task: str) -> None:
        await self.house.start(team=self.team, task=task)

    @asynccontextmanager
    async def worker(self, park_after: str = "1h", **more: str) -> AsyncIterator[Installed]:
        house = self.house
        env = {
            "REDIS_URL": url_of("worker", house.url, house.namespace),
            "NAMESPACE": house.namespace,
            "TEAMS": str(TEAMS),
            "DATA_DIR": str(house.folder),
            "PARK_AFTER": park_after,
            **more,
        }
        process = Installed([self._python.with_name("countersign"), "worker"], house.folder, env)
        await process.start()
        await house.invite()
        try:
            yield process
        except BaseException:
            print("\n".join(process.lines))
            raise
        finally:
            if process.running:
                await process.kill(signal.SIGTERM)
        assert not [line for line in process.lines if "Traceback" in line], process.lines

    async def killed(self, worker: Installed) -> None:
        await worker.kill()
        await self.house.lapse()

    def lines(self, file: str) -> list[str]:
        path = self.house.folder / file
        return path.read_text().splitlines() if path.exists() else []

    async def stands(self, file: str) -> None:
        async def look() -> bool | None:
            return True if self.lines(file) else None

        await fact(look)

    async def over(self) -> Run:
        run = await self.house.over()
        assert run.status is Status.FINISHED, run.result
        return run

    async def asked(self) -> int:
        """How often people were asked."""
        return [event["type"] for event in await self.house.events()].count("request_asked")


@pytest.fixture
def shop(house: House, team: str, python: Path) -> Shop:
    return Shop(house, team, python)


async def test_call_runs_as_decided(shop: Shop) -> None:
    """R13, R18: changed here; the model reads that, and the thread has what the agent says."""
    await shop.start("one")
    async with shop.worker():
        asked = await shop.house.asked()
        assert (asked.question.kind, asked.question.call is not None) == (Kind.TOOL, True)
        await shop.house.decide(asked, Verb.EDIT, "less the fee", arguments=canonical({"order": 17, "euros": 40.0}))
        run = await shop.over()
    assert shop.lines("paid") == ["17 40.0"]
    assert "40.00 EUR were paid back." in run.words
    assert "less the fee" in run.words
    assert [line.agent for line in run.progress] == ["clerk"]


async def test_model_reads_why_a_call_was_rejected(shop: Shop) -> None:
    await shop.start("one")
    async with shop.worker():
        await shop.house.decide(await shop.house.asked(), Verb.REJECT, "The customer kept the goods.")
        assert "The customer kept the goods." in (await shop.over()).words
    assert shop.lines("paid") == []


async def test_expired_call_does_not_run(shop: Shop) -> None:
    """R17, R20."""
    await shop.start("one")
    async with shop.worker():
        await let_expire(shop.house.store, await shop.house.asked())
        assert "nobody answered in time" in (await shop.over()).words
    assert shop.lines("paid") == []


async def test_model_asks_people_to_choose(shop: Shop) -> None:
    await shop.start("which region")
    async with shop.worker():
        asked = await shop.house.asked()
        assert asked.question.options == ("eu", "us")
        await shop.house.decide(asked, Verb.CHOOSE, chosen=("us",))
        assert "us" in (await shop.over()).words


async def test_simultaneous_calls_are_decided_separately(shop: Shop) -> None:
    await shop.start("two at once")

    async def both() -> list[Request] | None:
        found = await shop.house.store.requests(list((await shop.house.run()).open.values()))
        return [one for one in found if one] if len(found) == 2 else None

    async with shop.worker():
        for asked in await fact(both):
            first = "70017" in asked.question.content
            await shop.house.decide(asked, Verb.REJECT if first else Verb.APPROVE, "Not this one." if first else "")
        assert "Not this one." in (await shop.over()).words
    assert shop.lines("paid") == ["70018 9.0"]


async def test_run_parks_for_each_question_and_restores_its_state(shop: Shop) -> None:
    """R5, R22: equal calls one after the other are two cards, and no model is asked twice."""
    await shop.start("two in a row")
    async with Queue(shop.house.url, shop.house.namespace) as queue, shop.worker(park_after="0s"):
        before = None
        for _ in range(2):
            before = await shop.house.asked(not_this=before)

            async def parked() -> bool | None:
                return True if (await shop.house.run()).status is Status.PARKED else None

            await fact(parked)
            await shop.house.decide(before, Verb.APPROVE, queue=queue)
        await shop.over()
    assert shop.lines("paid") == ["17 45.0"] * 2
    assert shop.lines("asked") == ["0", "1", "2"]
    assert await shop.asked() == 2


async def test_worker_killed_during_a_question_leaves_one_card(shop: Shop) -> None:
    """R4, R8: the decision came while no worker was there."""
    await shop.start("one")
    async with shop.worker() as first:
        asked = await shop.house.asked()
        await shop.killed(first)
    await shop.house.decide(asked, Verb.APPROVE)
    async with shop.worker():
        assert PAID in (await shop.over()).words
    assert shop.lines("paid") == ["17 45.0"]
    assert shop.lines("asked") == ["0", "1"]
    assert await shop.asked() == 1


async def test_worker_killed_after_the_call_does_not_repeat_it(shop: Shop) -> None:
    """R4: its result is recorded, and the model is asked again from the last stop."""
    (shop.house.folder / "before the end").touch()
    await shop.start("two in a row")
    async with shop.worker() as first:
        asked = await shop.house.asked()
        await shop.house.decide(asked, Verb.APPROVE)
        await shop.house.decide(await shop.house.asked(not_this=asked), Verb.APPROVE)
        await shop.stands("stops before the end")
        await shop.killed(first)
    async with shop.worker():
        assert PAID in (await shop.over()).words
    assert shop.lines("paid") == ["17 45.0"] * 2
    assert shop.lines("asked") == ["0", "1", "2", "2"]
    assert await shop.asked() == 2


async def test_call_of_a_killed_worker_is_asked_about(shop: Shop) -> None:
    """R10: nobody else can know."""
    (shop.house.folder / "in the call").touch()
    await shop.start("one")
    async with shop.worker() as first:
        asked = await shop.house.asked()
        await shop.house.decide(asked, Verb.APPROVE)
        await shop.stands("stops in the call")
        await shop.killed(first)
    async with shop.worker():
        doubt = await shop.house.asked(not_this=asked)
        assert (doubt.question.kind, doubt.question.title) == (Kind.IN_DOUBT, "Did “refund” happen?")
        await shop.house.decide(doubt, Verb.RESPOND, "It was paid.")
        assert "It was paid." in (await shop.over()).words
    assert shop.lines("paid") == ["17 45.0"]
