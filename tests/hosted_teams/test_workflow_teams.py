"""Workflows of Agent Framework in a worker: rejected with a reason, and killed at each question."""

from typing import Any

import pytest
from agent_framework import WorkflowContext, response_handler

from countersign.domain.request_endings import Decided
from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from countersign.frameworks.agent_framework.team import WorkflowTeam
from countersign.frameworks.autogen.team import Teams
from countersign.teams import Team
from tests.adapters.test_workflows import Asks, Sends
from tests.autogen.harness import House
from tests.hosted_teams.test_saved_state import advanced, at_once
from tests.hosted_teams.test_teams import Shop, shop
from tests.test_wheel import python, wheel

__all__ = ["at_once", "python", "shop", "wheel"]
pytest_plugins = ["tests.redis_server"]


class AsksAgain(Asks):
    """It may be answered with the whole decision, and keeps that while it asks again."""

    @response_handler
    async def whole(self, asked: str, decision: Decided, ctx: WorkflowContext[Any, Any]) -> None:
        self.answers.append(decision)
        ctx.set_state("decision", decision)
        await ctx.request_info("And now?", bool)


def team(asks: Asks) -> Teams:
    """One team, whose workflow is built again for each worker."""
    return Teams({"t": Team("t", "", lambda run: WorkflowTeam(run, asks.built().build()))}, {})


@pytest.mark.parametrize("kind", [bool, str])
async def test_workflow_receives_a_rejection(house: House, kind: type) -> None:
    """R16: with the reason, for which a `bool` has no room."""
    found = team(asks := Asks(kind))
    await house.start(team="t", task="Deploy 2.1?", found=found)
    await advanced(house, found)
    await house.decide(await house.asked(), Verb.REJECT, "too risky")
    assert (await advanced(house, found)).status is Status.FINISHED
    (answer,) = asks.answers
    assert answer is False if kind is bool else answer == "REJECT: too risky"


async def test_workflow_may_keep_the_whole_decision(house: House) -> None:
    """R8: in its checkpoint, from which another worker goes on."""
    found = team(asks := AsksAgain(Decided))
    await house.start(team="t", task="Deploy 2.1?", found=found)
    assert (await advanced(house, found)).status is Status.PARKED
    await house.decide(first := await house.asked(), Verb.REJECT, "too risky")
    assert (await advanced(house, found)).status is Status.PARKED
    await house.decide(await house.asked(not_this=first), Verb.APPROVE)
    assert (await advanced(house, found)).status is Status.FINISHED
    decision, yes = asks.answers
    assert (decision.outcome, decision.words, yes) == ("rejected", "too risky", True)


async def test_workflow_that_could_not_resume_asks_nobody(house: House) -> None:
    """The framework itself would log it, and go on from an older checkpoint."""
    found = team(Sends(bool))
    await house.start(team="t", task="Deploy 2.1?", found=found)
    run = await advanced(house, found)
    assert (run.status, "in `types` of `WorkflowTeam`" in run.result) == (Status.FAILED, True)
    assert [event["type"] for event in await house.events() if event["type"] == "request_asked"] == []


@pytest.mark.slow
@pytest.mark.parametrize("team", ["deploys_af"])
@pytest.mark.parametrize(("verb", "done"), [(Verb.APPROVE, "deployed"), (Verb.REJECT, "left")])
async def test_worker_killed_during_a_workflows_question_leaves_one_card(shop: Shop, verb: Verb, done: str) -> None:
    """R4, R8: at each of two questions, whose decisions come while no worker is there."""
    await shop.start("2.1")
    async with shop.worker() as first:
        place = await shop.house.asked()
        await shop.killed(first)
    await shop.house.decide(place, Verb.CHOOSE, chosen=("staging",))
    async with shop.worker() as second:
        whether = await shop.house.asked(not_this=place)
        await shop.killed(second)
    await shop.house.decide(whether, verb, "too risky" if verb is Verb.REJECT else "")
    async with shop.worker():
        assert "Deploy to staging?" in (await shop.over()).words
    assert (shop.lines("done"), await shop.asked()) == ([done], 2)


@pytest.mark.slow
@pytest.mark.parametrize("team", ["deploys_af"])
async def test_worker_killed_after_the_decision_resumes_the_checkpoint(shop: Shop) -> None:
    """R4: nobody is asked again; the step that heard the decision runs again, as the documentation says."""
    (shop.house.folder / "after the decision").touch()
    await shop.start("2.1")
    async with shop.worker() as first:
        place = await shop.house.asked()
        await shop.house.decide(place, Verb.CHOOSE, chosen=("staging",))
        await shop.house.decide(await shop.house.asked(not_this=place), Verb.APPROVE)
        await shop.stands("stops after the decision")
        await shop.killed(first)
    async with shop.worker():
        assert (await shop.over()).words == "Deploy to staging? Deployed."
    assert (shop.lines("done"), await shop.asked()) == (["deployed"] * 2, 2)
