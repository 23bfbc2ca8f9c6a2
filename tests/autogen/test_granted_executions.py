"""Executions of what people approved, from the decision to the report, over the real service."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest

from countersign import usecases
from countersign.domain.activity import UNKNOWN
from countersign.domain.errors import ActionFailed, LeaseLost
from countersign.domain.executions import ExecutionOutcome
from countersign.domain.people import Actor
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.run_calls import Begin, R, Report, RunCall
from countersign.domain.runs import Status
from countersign.frameworks.autogen.run_context import Run
from countersign.runs.entries import Entry
from countersign.runs.service import Service
from countersign.usecases.ports import Lease
from tests.autogen.harness import House, Through
from tests.autogen.test_gated_tools import Shop, call, life
from tests.sample_requests import BOB, HERE

pytest_plugins = ["tests.redis_server"]


class Watched(Through):
    """Notes each call, and loses those of `lost` before they arrive, or their answers with `answers`."""

    def __init__(self, service: Service, lost: type[RunCall[Any]] | None = None, *, answers: bool = False) -> None:
        super().__init__(service)
        self.names: list[str] = []
        self.lost = lost
        self.answers = answers
        self.reached = asyncio.Event()

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        self.names.append(call.name)
        if self.lost is None or not isinstance(call, self.lost):
            return await super().call(lease, call)
        if self.answers:
            await super().call(lease, call)
        self.reached.set()
        await asyncio.Event().wait()
        return cast(R, None)


def ordering(run: Run, shop: Shop) -> asyncio.Task[tuple[str, bool]]:
    return asyncio.create_task(call(run.tools("clerk", [shop.order], ask=True), item="pens"))


async def approved(house: House) -> Request:
    request = await house.asked()
    await house.decide(request, Verb.APPROVE)
    return request


@asynccontextmanager
async def lost_at(
    house: House, call: type[RunCall[Any]], shop: Shop, *, answers: bool = False
) -> AsyncIterator[Request]:
    """A process that hangs for ever in this call about what people approved, until another one has the run."""
    watched = Watched(house.service, call, answers=answers)
    service, house.service = house.service, watched
    async with life(house) as run:
        job = ordering(run, shop)
        request = await approved(house)
        await watched.reached.wait()
        under_way = [*run.effects.under_way]
    house.service = service
    yield request
    for task in (job, *under_way):
        task.cancel()
    await asyncio.gather(job, *under_way, return_exceptions=True)


async def test_decision_reaches_its_action_in_one_call(house: House) -> None:
    """R5: `begin` delivers it too."""
    await house.start()
    house.service = watched = Watched(house.service)
    shop = Shop()
    async with life(house) as run:
        job = ordering(run, shop)
        request = await house.asked()
        before = len(watched.names)
        await house.decide(request, Verb.APPROVE)
        assert await job == ("ordered 1", False)
        await run._journal.late_writes.written()
    assert watched.names[before:] == ["begin", "report"]
    assert (await house.run()).open == {}
    assert [grant.outcome for grant in (await house.run()).grants.values()] == [ExecutionOutcome.DONE]


async def test_ungranted_action_begins_without_a_question(house: House) -> None:
    """R4: its worker was lost before `web` heard of it, so it certainly did not happen."""
    await house.start()
    shop = Shop()
    async with lost_at(house, Begin, shop):
        assert not shop.done
        async with life(house, "w2") as run:
            assert await ordering(run, shop) == ("ordered 1", False)
    assert len(shop.done) == 1
    assert [event["type"] for event in await house.events()].count("request_asked") == 1


class Overtaken(Through):
    """`web` for a process whose run it has given to another worker, before that one has the lease."""

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        if isinstance(call, Begin):
            raise LeaseLost("Another worker advances this run.")
        return await super().call(lease, call)


@pytest.mark.parametrize("asked", [True, False], ids=["approved", "not gated"])
async def test_action_of_an_overtaken_worker_begins_at_the_next(house: House, asked: bool) -> None:
    """R4: the late worker recorded that the action was cancelled, so the team heard of an approval as of a failure."""
    await house.start()
    shop = Shop()
    service, house.service = house.service, Overtaken(house.service)
    async with life(house) as run:
        job = asyncio.create_task(call(run.tools("clerk", [shop.order], ask=asked), item="pens"))
        if asked:
            await approved(house)
        await asyncio.wait([job])
        assert run.held.token.is_cancelled()
    house.service = service
    async with life(house, "w2") as run:
        text = await call(run.tools("clerk", [shop.order], ask=asked), item="pens")
    assert text == ("ordered 1", False)
    assert shop.done == ["pens"]
    assert [event["type"] for event in await house.events()].count("request_asked") == int(asked)


class StopsRun(dict[asyncio.Task[str], str]):
    """Effects under way; the first one finds its run stopped before the first step of its task."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run

    def __setitem__(self, task: asyncio.Task[str], key: str) -> None:
        super().__setitem__(task, key)
        self.run.held.abort(LeaseLost("Another worker advances this run."))


async def test_action_stopped_before_its_task_runs_leaves_nothing(house: House) -> None:
    """R4: its coroutine was never awaited, which is a warning in the log, and here an error."""
    await house.start()
    shop = Shop()
    async with life(house) as run:
        run.effects.under_way = StopsRun(run)
        job = asyncio.create_task(call(run.tools("clerk", [shop.order], ask=False, idempotent=True), item="pens"))
        await asyncio.wait([job])
    assert not shop.done


async def test_granted_action_of_a_lost_worker_is_asked_about(house: House) -> None:
    """R4: the worker that has the right to act may only be frozen; people let it run again as another execution."""
    await house.start()
    shop = Shop()
    async with lost_at(house, Begin, shop, answers=True), life(house, "w2") as run:
        job = ordering(run, shop)
        doubt = await house.asked()
        assert doubt.question.kind is Kind.IN_DOUBT
        assert not shop.done
        await house.decide(doubt, Verb.APPROVE)
        assert await job == ("ordered 1", False)
        await run._journal.late_writes.written()
    outcomes = [grant.outcome for grant in (await house.run()).grants.values()]
    assert outcomes == [ExecutionOutcome.REPLACED, ExecutionOutcome.DONE]
    assert len(shop.done) == 1


async def test_reported_outcome_needs_no_question(house: House) -> None:
    """R4: the result is lost with the worker's journal, and that it was done is known."""
    await house.start()
    shop = Shop()
    async with lost_at(house, Report, shop, answers=True), life(house, "w2") as run:
        [key] = [key for key in run._journal.of_kind("tool")]
        await run._journal.record(key, Entry("started"), replace=True)
        text, failed = await ordering(run, shop)
    assert (text, failed) == ("It was done before, and its result was lost with the worker that did it.", False)
    assert len(shop.done) == 1


@pytest.mark.parametrize("failed", [False, True], ids=["done", "failed"])
async def test_reported_outcome_has_its_place_in_the_order(house: House, failed: bool) -> None:
    """R4: what a rebuilt team had heard stood in no journal, so the next process may have told it something else."""
    await house.start()
    shop = Shop(ActionFailed("It is sold out.") if failed else "ordered")
    async with lost_at(house, Report, shop, answers=True), life(house, "w2") as run:
        [key] = [key for key in run._journal.of_kind("tool")]
        await run._journal.record(key, Entry("started", attempt="a1"), replace=True)
        heard = await ordering(run, shop)
        assert run._journal.of_kind("tool")[key].place
        await house.lapse()
        async with life(house, "w3") as later:
            assert await ordering(later, shop) == heard


async def test_outcome_after_a_stop_is_reported_late(house: House) -> None:
    """R25: an action that was granted may finish, and its card says how it ended."""
    await house.start()
    ordered, going_on = asyncio.Event(), asyncio.Event()

    async def order(item: str) -> str:
        """Order one."""
        ordered.set()
        await going_on.wait()
        return "ordered"

    async with life(house) as run:
        job = asyncio.create_task(call(run.tools("clerk", [order], ask=True), item="pens"))
        request = await approved(house)
        await ordered.wait()
        await usecases.stop(house.store, run.run.id, Actor(HERE, BOB), frozenset({BOB}))
        [told] = (await house.run()).reported
        assert (told.request, told.done) == (request.id, UNKNOWN)
        under_way = [*run.effects.under_way]
        run.abort(LeaseLost("the run was stopped"))
        going_on.set()
        await asyncio.wait([job, *under_way])
    stopped = await house.run()
    assert stopped.status is Status.STOPPED
    [late] = stopped.reported
    assert (late.request, late.failed, late.late) == (request.id, False, True)
