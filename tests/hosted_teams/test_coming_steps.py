"""The steps to come of a team that keeps its own state: announced before a stop, and ticked by another worker."""

import asyncio

import pytest
from agent_framework import Executor, WorkflowBuilder, WorkflowContext, handler, response_handler

from countersign.domain import runs
from countersign.domain.requests import Request, Verb
from countersign.domain.runs import Status
from countersign.frameworks.agent_framework.team import WorkflowTeam
from countersign.frameworks.autogen.team import Teams
from countersign.teams import Run, Team
from tests.autogen.harness import House, fact
from tests.hosted_teams.test_saved_state import advanced, at_once

__all__ = ["at_once"]
pytest_plugins = ["tests.redis_server"]
FIRST_PLAN, SECOND_PLAN = ["Clear a shelf", "Clear a shelf", "Sweep"], ["Count", "Lock up"]


class Stocktaker(Executor):
    """Asks after the first step of each of its plans; `may_ask` holds it before the second question."""

    def __init__(self, run: Run, may_ask: asyncio.Event) -> None:
        super().__init__("stocktaker")
        self._run = run
        self._may_ask = may_ask

    async def _do(self, step: str, content: str = "") -> None:
        async def act() -> str:
            return "Done."

        await self._run.step(step, act, content=content)

    @handler
    async def start(self, task: str, ctx: WorkflowContext) -> None:
        await self._run.plan(FIRST_PLAN)
        await self._do("Clear a shelf", "A")
        await ctx.request_info("Shelf B too?", bool)

    @response_handler
    async def decided(self, asked: str, yes: bool, ctx: WorkflowContext[str, str]) -> None:
        if asked == "Shelf B too?":
            await self._do("Clear a shelf", "B")
            await self._run.plan(SECOND_PLAN)
            await self._do("Count")
            await self._may_ask.wait()
            await ctx.request_info("All?", bool)
        else:
            await self._do("Lock up")
            await ctx.yield_output("Locked.")


@pytest.fixture
def may_ask() -> asyncio.Event:
    """Set unless a test holds the team."""
    event = asyncio.Event()
    event.set()
    return event


@pytest.fixture
def found(may_ask: asyncio.Event) -> Teams:
    """One team, whose workflow is built again for each worker."""

    def build(run: Run) -> WorkflowTeam:
        return WorkflowTeam(run, WorkflowBuilder(name="stock", start_executor=Stocktaker(run, may_ask)).build())

    return Teams({"stock": Team("stock", "", build)}, {})


async def approved(house: House, found: Teams) -> Request:
    """The team's first question, approved after its worker has left."""
    await house.start(team="stock", task="all of it", found=found)
    assert (await advanced(house, found)).status is Status.PARKED
    return await house.decide(await house.asked(), Verb.APPROVE)


def ticked(run: runs.Run) -> list[bool]:
    return [step.done_at is not None for step in run.plan]


async def announced_and_ticked(house: House) -> list[str]:
    events = [event for event in await house.events() if event["type"] == "run_progressed" and not event["agent"]]
    return [event["words"] for event in events]


async def test_next_worker_ticks_and_announces_the_following_steps(house: House, found: Teams) -> None:
    """Of two steps of one title the first was ticked before the stop; the next worker ticks the second one."""
    first = await approved(house, found)
    assert ticked(await house.run()) == [True, False, False]
    run = await advanced(house, found)
    assert run.status is Status.PARKED
    assert ([step.title for step in run.plan], ticked(run)) == (SECOND_PLAN, [True, False])
    await house.decide(await house.asked(not_this=first), Verb.APPROVE)
    run = await advanced(house, found)
    assert (run.status, run.plans, ticked(run)) == (Status.FINISHED, 2, [True, True])
    of_first, of_second = ["plans 3 steps", *FIRST_PLAN[:2]], ["plans 2 steps", *SECOND_PLAN]
    assert await announced_and_ticked(house) == [*of_first, *of_second]


async def test_repeated_announcements_and_ticks_count_once(house: House, found: Teams, may_ask: asyncio.Event) -> None:
    """R4: the next worker goes on from the stop, so it announces the plan and does its steps a second time."""
    first = await approved(house, found)
    may_ask.clear()

    async def counted() -> bool | None:
        return ticked(await house.run()) == [True, False] or None

    async with house.worker(found=found) as worker:
        worker.advance()
        await fact(counted)
    before = await house.run()
    may_ask.set()
    assert (await advanced(house, found)).plan == before.plan
    await house.decide(await house.asked(not_this=first), Verb.APPROVE)
    run = await advanced(house, found)
    assert (run.status, run.plans, ticked(run)) == (Status.FINISHED, 2, [True, True])
    assert len(await announced_and_ticked(house)) == 6
