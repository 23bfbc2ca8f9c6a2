"""A team's tools: each call once, and the clock and luck as they were."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from autogen_core import CancellationToken
from autogen_core.tools import FunctionTool, StaticWorkbench, Workbench

from countersign import usecases
from countersign.domain.errors import LeaseLost, OutcomeUnknown, WrongTeam
from countersign.domain.ids import RunId
from countersign.domain.requests import Kind, Verb
from countersign.domain.requests import Status as RequestStatus
from countersign.frameworks.autogen.gated_function import requires_approval
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.frameworks.autogen.models.demo import DemoModel
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.tools.gated_tools import idempotency_key
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.runs.run_journal import RunJournal
from countersign.usecases import ports
from tests.autogen.harness import LEASE, House, fact

pytest_plugins = ["tests.redis_server"]


@asynccontextmanager
async def life(house: House, owner: str = "w1", journal: ports.Journal | None = None) -> AsyncIterator[Run]:
    """One process's life with the run."""
    lease = await house.area.leases.claim(RunId("r1"), owner, LEASE)
    assert lease is not None
    run = await usecases.begin(house.store, lease)
    kept = await RunJournal.open(journal or RedisJournal(house.area), lease)
    held = HeldRun(run, lease, house.area.leases, house.service, kept, house.settings())
    yield Run(held, DemoModel())
    await house.area.leases.release(lease)
    await kept.late_writes.close()  # whoever was cancelled has begun its last write by now


async def call(tools: Workbench, name: str = "order", call_id: str = "c1", **arguments: Any) -> tuple[str, bool]:
    result = await tools.call_tool(name, arguments, CancellationToken(), call_id)
    return result.to_text(), result.is_error


class Shop:
    """Counts what it is asked for."""

    def __init__(self, outcome: str | Exception = "ordered") -> None:
        self.outcome = outcome
        self.done: list[str] = []

    async def order(self, item: str) -> str:
        """Order one."""
        self.done.append(item)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return f"{self.outcome} {len(self.done)}"


@pytest.mark.parametrize("wrap", [list, lambda tools: StaticWorkbench([FunctionTool(t, "") for t in tools])])
@pytest.mark.parametrize("outcome", ["ordered", ValueError("no paper left")])
async def test_tool_result_or_error_is_replayed(
    house: House, wrap: Callable[[list[Any]], Any], outcome: str | Exception
) -> None:
    await house.start()
    shop = Shop(outcome)
    said = []
    for _ in range(2):
        async with life(house) as run:
            tools = run.tools("clerk", wrap([shop.order]), ask=False)
            said.append([await call(tools, item="pens"), await call(tools, item="pens"), await call(tools, item="ink")])
    assert said[0] == said[1]
    assert shop.done == ["pens", "pens", "ink"]
    assert said[0][0] == (("no paper left", True) if isinstance(outcome, Exception) else ("ordered 1", False))


async def test_results_keep_their_recorded_order_across_branches(house: House) -> None:
    """The result that came last is given last, though its branch asks first."""
    await house.start()
    came: list[list[str]] = []
    for first, second in (("ann", "bob"), ("bob", "ann")):
        order: list[str] = []
        gates = {"ann": asyncio.Event(), "bob": asyncio.Event()}

        async def branch(run: Run, name: str, gates: dict[str, asyncio.Event], order: list[str]) -> None:
            async def act() -> str:
                await gates[name].wait()
                return name

            order.append(await run.step(name, act))
            gates["ann"].set()

        async with life(house) as run:
            asking = [asyncio.create_task(branch(run, name, gates, order)) for name in (first, second)]
            gates["bob"].set()
            await asyncio.gather(*asking)
        came.append(order)
    assert came == [["bob", "ann"], ["bob", "ann"]]


@pytest.mark.parametrize("declared", [True, {"look"}])
async def test_interrupted_idempotent_tool_repeats_with_its_key(house: House, declared: bool | set[str]) -> None:
    """R4: killed in the middle of a call that may be repeated."""
    await house.start()
    keys: list[tuple[str, str]] = []
    lost = asyncio.Event()

    async def look(item: str, idempotency_key: str) -> str:
        """Look."""
        keys.append((idempotency_key, current()))
        if len(keys) == 1:
            lost.set()
            await asyncio.Event().wait()
        return "12"

    current = idempotency_key
    async with life(house) as run:
        cut = asyncio.create_task(call(run.tools("clerk", [look], ask=False, idempotent=declared), "look", item="pens"))
        await lost.wait()
        run.abort(LeaseLost("the process is gone"))
        assert await cut == ("The run is let go by this process.", True)
    async with life(house) as run:
        tools = run.tools("clerk", [look], ask=False, idempotent=declared)
        [schema] = await tools.list_tools()
        assert list(schema["parameters"]["properties"]) == schema["parameters"]["required"] == ["item"]
        assert await call(tools, "look", item="pens", idempotency_key="the model's") == ("12", False)
        await call(tools, "look", item="pens")
    assert keys[0] == keys[1] != keys[2]
    assert keys[0][0] == keys[0][1]


@pytest.mark.parametrize("answer", [Verb.RESPOND, Verb.APPROVE])
async def test_interrupted_other_tool_is_asked_about(house: House, answer: Verb) -> None:
    """R4: what may not be repeated is not; people say what it returned, or that it shall run."""
    await house.start()
    shop = Shop()
    async with life(house) as run:
        journal = RunJournal(RedisJournal(house.area), run.held.lease, {})
        about = ("clerk", "order", '{"item": "pens"}', "c1")
        with journal.pending_calls.calling("clerk", journal.key("call", *about)):
            key = journal.key("tool", *about)
        await journal.record(key, Entry("started", attempt="a process that was killed"))
    async with life(house) as run:
        asking = asyncio.create_task(call(run.tools("clerk", [shop.order], ask=False), item="pens"))
        request = await house.asked()
        assert request.question.kind is Kind.IN_DOUBT
        assert "Item: pens" in request.question.content
        assert "for clerk, call c1" in request.question.content
        assert not shop.done
        await house.decide(request, answer, "ordered 12" if answer is Verb.RESPOND else "")
        assert await asking == ("ordered 12" if answer is Verb.RESPOND else "ordered 1", False)


async def test_tool_may_declare_its_outcome_unknown(house: House) -> None:
    await house.start()
    shop = Shop(OutcomeUnknown("The line was cut."))
    async with life(house) as run:
        asking = asyncio.create_task(call(run.tools("clerk", [shop.order], ask=False), item="pens"))
        request = await house.asked()
        assert "The line was cut." in request.question.content
        await house.decide(request, Verb.REJECT)
        assert (await asking)[1]
        assert run.token.is_cancelled()


async def test_unknown_tool_is_an_error_for_the_model(house: House) -> None:
    """The sentence is AutoGen's own."""
    await house.start()
    async with life(house) as run:
        assert await call(run.tools("clerk", [Shop().order], ask=False), "sell") == ("Tool sell not found.", True)


async def test_clock_and_random_numbers_repeat_in_a_rebuilt_run(house: House) -> None:
    """R20: the clock is UTC."""
    await house.start()
    lives = []
    for _ in range(2):
        async with life(house) as run:
            moment = await run.now()
            lives.append([moment, run.random().random(), run.random().random()])
            await fact(partial(after, house, moment))
    assert lives[0] == lives[1]
    assert len(set(lives[0])) == 3
    assert moment.tzinfo is UTC


async def after(house: House, moment: datetime) -> bool | None:
    return True if await house.store.now() > moment else None


async def there(path: Path) -> bool | None:
    return True if await asyncio.to_thread(path.exists) else None


async def test_abandoned_question_is_withdrawn_and_stays_unanswered(house: House) -> None:
    """R5, R4: it was approved later, and the rebuilt run carried it out although the first life had gone on."""
    await house.start()
    shop = Shop()
    async with life(house) as run:
        asking = asyncio.create_task(call(run.tools("clerk", [shop.order], ask=True), item="pens"))
        asked = await house.asked()
        asking.cancel()
        await asyncio.wait({asking})

        async def settled() -> RequestStatus | None:
            seen = await house.store.request(asked.id)
            assert seen is not None
            return None if seen.value.status is RequestStatus.PENDING else seen.value.status

        assert await fact(settled) is RequestStatus.WITHDRAWN
        await run._journal.late_writes.written()
        assert not (await house.run()).open
    async with life(house, owner="w2") as run:
        again = asyncio.create_task(call(run.tools("clerk", [shop.order], ask=True), item="pens"))
        before = await RedisJournal(house.area).entries(run.run.id)
        for _ in range(20):  # whatever it would ask has reached the store by then
            await house.store.now()
        assert not again.done()
        assert not (await house.run()).open
        again.cancel()
        await asyncio.wait({again})
        assert await RedisJournal(house.area).entries(run.run.id) == before
    assert not shop.done


async def test_run_leaving_during_a_question_leaves_no_orphan(house: House) -> None:
    """R5: asyncio would warn of an answer that was made and is awaited by nobody."""
    await house.start()
    async with life(house) as run:
        human = run.human("reviewer", title="Right?")
        run.held.token.cancel()
        with pytest.raises(asyncio.CancelledError):
            await human.questions.ask(human, None, None)
        gc.collect()
    assert not (await house.run()).open


@pytest.mark.parametrize("title", ["Refund {nothing}", "Refund {cents:.2f}", "To {key}"])
async def test_invalid_title_template_is_refused_before_any_call(house: House, title: str) -> None:
    """R7: the team does not build, whichever way the tool is put behind the gate."""

    async def refund(cents: str, key: str) -> str:
        """Refund it."""
        return "done"

    await house.start()
    async with life(house) as run:
        with pytest.raises(WrongTeam, match="does not fit it"):
            run.tools("clerk", [refund], title={"refund": title}, hide={"refund": ["key"]})
    with pytest.raises(WrongTeam, match="correct the title"):
        requires_approval(title=title, hide=["key"])(refund)
