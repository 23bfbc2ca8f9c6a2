"""A run is let go at once, whatever its team is doing: nobody waits for a model that has not answered yet."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import CreateResult, LLMMessage, ModelInfo
from autogen_core.tools import StaticWorkbench
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.domain.ids import RunId
from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from tests.autogen.harness import House, fact
from tests.autogen.rebuild_teams import Scripted, World, magentic_one, team
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]


class Thinking(Scripted):
    """Does not answer the question of this number, and does not listen when it is told to end."""

    def __init__(self, number: int, *, structured: bool) -> None:
        super().__init__()
        self._number = number
        self._structured = structured
        self.thinks = asyncio.Event()

    async def create(self, messages: Sequence[LLMMessage], **more: Any) -> CreateResult:
        result = await super().create(messages, **more)
        if self.asked == self._number:
            self.thinks.set()
            await asyncio.Event().wait()
        return result

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(**{**super().model_info, "structured_output": self._structured})


@pytest.mark.parametrize(
    ("number", "structured"),
    [(1, False), (2, False), (3, False), (3, True), (4, True)],
    ids=["facts", "plan", "ledger", "ledger-structured", "agent-structured"],
)
async def test_planning_team_is_handed_over_immediately_on_stop(
    house: House, monkeypatch: pytest.MonkeyPatch, number: int, structured: bool
) -> None:
    """R4: MagenticOne passes no token to its model for a structured ledger; the call ends with the run all the same.

    No other model call is made twice.
    """
    monkeypatch.setattr("countersign.frameworks.autogen.team_execution.GRACE", timedelta(hours=1))
    world, model = World(), Thinking(number, structured=structured)
    it = team(magentic_one, world)
    teams = Teams({it.name: it}, {})
    await house.start(team=it.name, task="get pens")
    async with house.worker(found=teams, model=model) as one:
        job = one.advance()
        await model.thinks.wait()
        one.stop.set()
        await asyncio.wait_for(job, PATIENCE)
    assert (await house.run()).status is Status.RUNNING
    async with house.worker(found=teams, model=model, owner="w2") as two:
        two.advance()
        await house.decide(await house.asked(), Verb.APPROVE)
        assert (await house.over()).status is Status.FINISHED
    whole = Scripted()
    async with house.worker(found=teams, model=whole, owner="w3") as three:
        await house.start("r2", it.name, "get pens")
        three.advance("r2")
        await house.decide(await house.asked("r2"), Verb.APPROVE)
        await house.over("r2")
    assert model.asked == whole.asked + 1


class Clings(StaticWorkbench):
    """Does not stop before `let_go`."""

    def __init__(self, let_go: Callable[[], Awaitable[object]]) -> None:
        super().__init__([])
        self._let_go = let_go

    async def stop(self) -> None:
        await self._let_go()


def clinging(let_go: Callable[[], Awaitable[object]]) -> Teams:
    def build(run: Run) -> AutoGenTeam:
        tools = run.tools("writer", Clings(let_go))
        return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer"), workbench=tools)], max_turns=1)

    return Teams({"t": Team("t", "", build)}, {})


async def never() -> None:
    await asyncio.Event().wait()


async def cut_off() -> None:
    raise asyncio.CancelledError


@pytest.mark.parametrize("let_go", [never, cut_off])
async def test_hanging_workbench_does_not_block_the_runs_end(
    house: House, monkeypatch: pytest.MonkeyPatch, let_go: Callable[[], Awaitable[object]]
) -> None:
    """The run was never told to have ended, and was rebuilt by every other worker in turn."""
    monkeypatch.setattr("countersign.frameworks.autogen.run_context.STOPPED_WITHIN", timedelta(milliseconds=100))
    await house.start(team="t")
    async with house.worker(found=clinging(let_go), model=ReplayChatCompletionClient(["Done."])) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    assert (await house.run()).status is Status.FINISHED


async def test_run_keeps_its_lease_while_its_workbench_stops(house: House) -> None:
    """R4: a container takes ten seconds to stop, as long as a lease."""
    key = house.area.keys.lease(RunId("r1"))

    async def until() -> int:
        return int(await house.store.client.hget(key, "until") or 0)

    kept: list[bool] = []

    async def renewed() -> None:
        before = await until()

        async def look() -> bool | None:
            return await until() > before or None

        kept.append(await fact(look))

    house.lease = timedelta(seconds=6)
    await house.start(team="t")
    async with house.worker(found=clinging(renewed), model=ReplayChatCompletionClient(["Done."])) as worker:
        await worker.advance()
    assert kept
    assert (await house.run()).status is Status.FINISHED
