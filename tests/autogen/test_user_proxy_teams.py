"""A human proxy in each kind of team: lost at each of its journal's entries, and stopped at its first question."""

import asyncio
import gc
from collections.abc import Callable
from datetime import timedelta

import pytest
from autogen_agentchat.base import Team as AutoGenTeam

from countersign.domain.requests import Kind, Verb
from countersign.domain.runs import Status
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Teams
from tests.autogen.harness import House
from tests.autogen.proxy_teams import BUILDERS, agent_tool, graph, magentic_one, selector, society, team_tool
from tests.autogen.rebuild_teams import Scripted, World, team
from tests.autogen.test_rebuild import live
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]
Build = Callable[[World, Run], AutoGenTeam]


@pytest.mark.slow
@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
async def test_conversation_lost_at_any_entry_ends_the_same(
    house: House, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: the same words, the same questions; the count of replies and a policy's verdicts come back."""
    monkeypatch.setattr(
        "countersign.frameworks.autogen.team_execution.GRACE", timedelta(hours=1)
    )  # nobody is ended by force
    whole = await live(house, build, "r0", changes=True)
    print(build.__name__, whole.records, whole.world.model.asked, whole.questions, *whole.transcript, sep="\n   ")
    assert whole.questions >= (1 if build in (selector, agent_tool, magentic_one) else 2)
    for dies_at in range(1, whole.records + 1):
        again = await live(house, build, f"r{dies_at}", dies_at, changes=True)
        assert again.transcript == whole.transcript, dies_at
        assert again.world.model.asked == whole.world.model.asked + again.unrecorded, dies_at
        assert again.questions == whole.questions + again.doubts, dies_at


async def test_waiting_conversation_parks_immediately(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R22: also where the human is asked inside a tool; AutoGen would leave the agent there behind for ever."""
    monkeypatch.setattr(
        "countersign.frameworks.autogen.team_execution.GRACE", timedelta(hours=1)
    )  # nobody is ended by force
    house.park_after = timedelta(0)
    model = Scripted()
    teams = {it.name: it for it in (team(build, World(model=model)) for build in BUILDERS)}
    async with house.worker(found=Teams(teams, {}), model=model) as worker:
        for number, name in enumerate(teams):
            await house.start(run := f"r{number}", name, "get pens")
            await asyncio.wait_for(worker.advance(run), PATIENCE)
            assert (await house.run(run)).status is Status.PARKED
        gc.collect()
        assert [task for task in asyncio.all_tasks() if "autogen_" in repr(task)] == []


@pytest.mark.parametrize("build", BUILDERS, ids=lambda build: build.__name__)
async def test_stop_ends_the_conversation_in_every_kind_of_team(house: House, build: Build) -> None:
    """R12, R16: nobody says anything more in it; what comes after it, or around it, is told that it was stopped."""
    world = World(model=Scripted())
    it = team(build, world)
    await house.start("r1", it.name, "get pens")
    async with house.worker(found=Teams({it.name: it}, {}), model=world.model) as worker:
        worker.advance()
        asked = await house.asked()
        before = world.model.asked
        assert asked.question.kind in (Kind.TURN, Kind.END)
        if asked.question.kind is Kind.END:
            again = await house.decide(asked, Verb.RESPOND, "not yet")
            asked = await house.asked(not_this=again)
            before = world.model.asked
            await house.decide(asked, Verb.APPROVE)
        else:
            await house.decide(asked, Verb.REJECT, "enough")
        run = await house.over()
    assert run.status is Status.FINISHED, run.result
    goes_on = build in (graph, society, agent_tool, team_tool)  # an agent after the conversation, or around it
    assert world.model.asked == before + goes_on
    assert any("CONVERSATION OVER" in said for said in world.transcript) or build is society
