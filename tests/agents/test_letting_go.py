"""A run is let go at once, whatever its team is doing: nobody waits for a model that has not answered yet."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from autogen_core.models import CreateResult, LLMMessage, ModelInfo

from agents.teams import Teams
from bot.core.requests import Verb
from bot.core.runs import Status
from tests.agents.house import House
from tests.agents.rebuild_teams import Scripted, World, magentic_one, team

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


@pytest.mark.parametrize("structured", [False, True], ids=["words", "structured"])
@pytest.mark.parametrize("number", [1, 2, 3, 4], ids=["facts", "plan", "ledger", "agent"])
async def test_a_worker_told_to_stop_while_a_team_plans_hands_it_over_at_once(
    house: House, monkeypatch: pytest.MonkeyPatch, number: int, structured: bool
) -> None:
    """R4: MagenticOne passes no token to its model for a structured ledger; the call ends with the run all the same.

    No other model call is made twice.
    """
    monkeypatch.setattr("agents.runner.GRACE", timedelta(minutes=5))
    world, model = World(), Thinking(number, structured=structured)
    it = team(magentic_one, world)
    teams = Teams({it.name: it}, {})
    await house.start(team=it.name, task="get pens")
    async with house.worker(found=teams, model=model) as one:
        job = one.advance()
        await model.thinks.wait()
        one.stop.set()
        await asyncio.wait_for(job, 10)
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
