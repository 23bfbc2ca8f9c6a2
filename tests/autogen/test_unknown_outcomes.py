"""What a run cannot know by itself is asked: whether an action happened."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.tools import BaseTool, FunctionTool, StaticWorkbench, ToolSchema

from countersign.domain.channel_settings import OnTimeout
from countersign.domain.errors import OutcomeUnknown
from countersign.domain.ids import RequestId
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.requests import Status as RequestStatus
from countersign.domain.run_calls import Begin, R, RunCall
from countersign.domain.runs import Status
from countersign.frameworks.autogen import held_run
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.frameworks.autogen.tools.gated_tools import idempotency_key
from countersign.runs.journal_storage import RedisJournal
from countersign.usecases.ports import Lease
from tests.autogen.harness import HERE, LEASE, RULES, House, Process, Through, fact
from tests.autogen.test_approval_gate import expire
from tests.autogen.test_gated_tools import there
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]
HOLD = HERE / "teams"


async def asked_about(house: House, attempt: int = 1, *, after: Request | None = None) -> Request:
    asked = await house.asked(not_this=after)
    assert asked.question.kind is Kind.IN_DOUBT
    assert asked.question.title == "Did “order” happen?"
    assert f"Attempt {attempt}, started 20" in asked.question.content
    assert asked.question.content.endswith("order\n10 boxes")
    return asked


async def written(path: Path) -> bool | None:
    """Whether the file has anything in it."""
    return path.stat().st_size > 0 or None  # noqa: ASYNC240


async def killed_while_it_acts(house: House) -> None:
    await house.start(team="hold")
    async with Process(house, HOLD) as worker:
        await fact(lambda: there(house.folder / "acted"))
        await fact(lambda: written(house.folder / "acted"))
        await worker.kill()


@pytest.mark.slow
async def test_action_interrupted_by_kill_9_is_asked_about_once(house: House) -> None:
    """R4: kill -9 during the action: nobody knows, so it is not repeated but asked; a second kill asks nothing new."""
    await killed_while_it_acts(house)
    async with Process(house, HOLD) as second:
        asked = await asked_about(house)
        await second.kill()
    async with Process(house, HOLD):
        await house.decide(asked, Verb.RESPOND, "Order 17 was placed.")
        run = await house.over()
    assert (run.status, run.result) == (Status.FINISHED, "Order 17 was placed.")
    assert (house.folder / "acted").read_text() == "x"
    assert [e["type"] for e in await house.events()].count("request_asked") == 1


def ordering(*outcomes: str | Exception, acted: list[str]) -> Teams:
    """A team whose order ends each time in the next of these ways."""
    left = list(outcomes)

    async def act() -> str:
        acted.append("x")
        outcome = left.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def build(run: Run) -> AutoGenTeam:
        writer = AssistantAgent("writer", model_client=run.model("writer"))
        return RoundRobinGroupChat([writer], termination_condition=MaxMessageTermination(2))

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        return Conclusion(await run.step("order", act, content="a.17", shown="10 boxes"))

    return Teams({"t": Team("t", "", build, conclude)}, {})


async def test_reviewers_may_repeat_an_action_and_doubts_are_separate(house: House) -> None:
    """R4, R5: an unclear failure is asked about too; the run parks for it, and each answer brings it back."""
    house.park_after = timedelta(0)
    await house.start(team="t")
    acted: list[str] = []
    found = ordering(OutcomeUnknown("The vendor hung up."), KeyError("vendor"), "Ordered.", acted=acted)
    async with house.worker(found=found) as worker:
        await worker.advance()
        first = await asked_about(house)
        assert first.question.content.startswith("The vendor hung up.")
        await house.decide(first, Verb.APPROVE)
        await worker.advance()
        second = await asked_about(house, 2, after=first)
        assert "“order” ended with an error" in second.question.content
        await house.decide(second, Verb.APPROVE)
        await worker.advance()
    assert (await house.run()).result == "Ordered."
    assert acted == ["x"] * 3


async def test_identical_actions_in_doubt_are_two_questions(house: House) -> None:
    """R4: both under way when nobody knew what became of them; one answer was given to both."""

    async def act() -> str:
        raise OutcomeUnknown("The vendor hung up.")

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        both = (run.step("order", act, content="a.17", shown="10 boxes") for _ in range(2))
        return Conclusion(" ".join(await asyncio.gather(*both)))

    async def two_open() -> list[RequestId] | None:
        found = list((await house.run()).open.values())
        return found if len(found) == 2 else None

    await house.start(team="t")
    team = ordering(acted=[]).working["t"]
    async with house.worker(found=Teams({"t": replace(team, conclude=conclude)}, {})) as worker:
        worker.advance()
        asked = await house.store.requests(await fact(two_open))
        known = {request.question.notes: request for request in asked if request is not None}
        for number, notes in enumerate(sorted(known), 17):
            assert f"-{number - 16} of the run" in notes[0]
            await house.decide(known[notes], Verb.RESPOND, f"Order {number}.")
        assert (await house.over()).result == "Order 17. Order 18."


async def test_reviewers_may_stop_a_run_in_doubt(house: House) -> None:
    """The result has the reason of the doubt and of the reviewer."""
    await house.start(team="t")
    acted: list[str] = []
    async with house.worker(found=ordering(OutcomeUnknown("The vendor hung up."), acted=acted)) as worker:
        worker.advance()
        await house.decide(await asked_about(house), Verb.REJECT, "I call them")
        run = await house.over()
    assert run.status is Status.FAILED
    assert run.result == "The vendor hung up. Reviewer U0BOB chose to stop the run. Reason: “I call them”"
    assert acted == ["x"]


async def test_unanswered_doubt_ends_the_run_without_a_repeat(house: House) -> None:
    """R23, R17: whatever the channel says about timeouts."""
    await house.store.set_defaults(replace(RULES, on_timeout=OnTimeout.APPROVE))
    await house.start(team="t")
    acted: list[str] = []
    async with house.worker(found=ordering(OutcomeUnknown("The vendor hung up."), "Again.", acted=acted)) as worker:
        worker.advance()
        asked = await asked_about(house)
        await expire(house, asked)
        run = await house.over()
    seen = await house.store.request(asked.id)
    assert seen is not None
    assert seen.value.status is RequestStatus.EXPIRED
    assert run.status is Status.FAILED
    assert run.result == "The vendor hung up. Nobody answered in time, so the run has ended."
    assert acted == ["x"]


class Robbed(RedisJournal):
    """Right after `started` was recorded another worker takes the run over, as if this one had been frozen there."""

    def __init__(self, house: House) -> None:
        super().__init__(house.area)
        self._house = house

    async def record(self, lease: Lease, key: str, value: bytes, **how: bool) -> bytes:
        stands = await super().record(lease, key, value, **how)
        if b'"started"' in value:
            await self._house.rob(lease)
        return stands


async def test_worker_frozen_before_the_action_does_not_act(house: House) -> None:
    """R4: the fence is looked at once more after `started` was recorded."""
    await house.start(team="t")
    acted: list[str] = []
    async with house.worker(found=ordering("Ordered.", acted=acted), journal=Robbed(house)) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    assert not acted
    assert not (await house.run()).over
    await house.lapse()
    async with house.worker(found=ordering("Ordered.", acted=acted), owner="w2") as other:
        other.advance()
        await house.decide(await asked_about(house), Verb.RESPOND, "It was placed before.")
        assert (await house.over()).result == "It was placed before."
    assert not acted


async def test_worker_asleep_after_the_last_check_does_not_act(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: the store had said that the run is its own; then it slept longer than its lease, and another one acted."""
    await house.start(team="t")
    acted: list[str] = []
    slept: list[float] = []

    class Sleeping(Through):
        async def call(self, lease: Lease, call: RunCall[R]) -> R:
            answer = await super().call(lease, call)
            if isinstance(call, Begin):
                await house.rob(lease)
                slept.append(2 * LEASE.total_seconds())
            return answer

    house.service = Sleeping(house.service)
    clock = held_run.seconds_here
    monkeypatch.setattr(held_run, "seconds_here", lambda: clock() + sum(slept))
    async with house.worker(found=ordering("Ordered.", acted=acted)) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    assert not acted


class Slow(StaticWorkbench):
    """Tells what it has; once it is to `sleep`, only after longer than a lease."""

    def __init__(self, tools: list[BaseTool[Any, Any]], sleep: Callable[[], Awaitable[None]]) -> None:
        super().__init__(tools)
        self._sleep = sleep

    async def list_tools(self) -> list[ToolSchema]:
        await self._sleep()
        return await super().list_tools()


async def test_worker_asleep_while_listing_tools_does_not_call(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: a server elsewhere is asked for its tools between the check and the call."""
    clock = held_run.seconds_here
    called, checked, slept = list[str](), list[Lease](), list[float]()

    class Checked(Through):
        async def call(self, lease: Lease, call: RunCall[R]) -> R:
            answer = await super().call(lease, call)
            if isinstance(call, Begin):
                checked.append(lease)
            return answer

    async def sleep() -> None:
        if checked and not slept:
            slept.append(2 * LEASE.total_seconds())
            await house.rob(checked[0])

    def pay(euros: int) -> str:
        """Pay."""
        called.append(f"{euros}")
        return "paid"

    def build(run: Run) -> AutoGenTeam:
        return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer"))], max_turns=1)

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        tools = run.tools("clerk", Slow([FunctionTool(pay, "Pay.")], sleep), ask=False)
        return Conclusion((await tools.call_tool("pay", {"euros": 5})).to_text())

    house.service = Checked(house.service)
    monkeypatch.setattr(held_run, "seconds_here", lambda: clock() + sum(slept))
    await house.start(team="t")
    async with house.worker(found=Teams({"t": Team("t", "", build, conclude)}, {})) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    assert slept
    assert called == []


async def test_doubt_about_a_lost_worker_warns_it_may_sleep(house: House) -> None:
    """Somebody who lets the action run again must know that the first attempt may still come."""
    await house.start(team="t")
    acted: list[str] = []
    async with house.worker(found=ordering("Ordered.", acted=acted), journal=Robbed(house)) as worker:
        await asyncio.wait_for(worker.advance(), PATIENCE)
    await house.lapse()
    async with house.worker(found=ordering("Ordered.", acted=acted), owner="w2") as other:
        other.advance()
        asked = await asked_about(house)
        assert "The worker may only be asleep, and act when it wakes." in asked.question.content
        await house.decide(asked, Verb.APPROVE)
        await house.over()
    assert acted == ["x"]


async def test_repeated_call_keeps_its_idempotency_key(house: House) -> None:
    """Whatever people let run again, the other system sees one key, and may do it once."""
    keys: list[str] = []

    def build(run: Run) -> AutoGenTeam:
        return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer"))], max_turns=1)

    async def pay(euros: int) -> str:
        """Pay."""
        keys.append(idempotency_key())
        if len(keys) == 1:
            raise OutcomeUnknown("The bank hung up.")
        return "paid"

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        return Conclusion((await run.tools("clerk", [pay], ask=False).call_tool("pay", {"euros": 5})).to_text())

    await house.start(team="t")
    async with house.worker(found=Teams({"t": Team("t", "", build, conclude)}, {})) as worker:
        worker.advance()
        await house.decide(await house.asked(), Verb.APPROVE)
        assert (await house.over()).result == "paid"
    assert len(keys) == 2
    assert len(set(keys)) == 1


class RobbedOnceLeft(RedisJournal):
    """Right after it was recorded that the team left an action another worker takes the run over."""

    def __init__(self, house: House) -> None:
        super().__init__(house.area)
        self._house = house
        self.robbed = asyncio.Event()

    async def record(self, lease: Lease, key: str, value: bytes, **how: bool) -> bytes:
        stands = await super().record(lease, key, value, **how)
        if b'"left":true' in value:
            await self._house.rob(lease)
            self.robbed.set()
        return stands


def leaving(began: asyncio.Event, end: asyncio.Event, *, patient: bool = False) -> Teams:
    """A team that leaves an action as soon as it has begun, or waits for its end."""

    def build(run: Run) -> AutoGenTeam:
        return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer"))], max_turns=1)

    async def act() -> str:
        began.set()
        await end.wait()
        return "posted"

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        post = asyncio.ensure_future(run.step("post", act))
        await asyncio.wait({post, asyncio.ensure_future(began.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if patient:
            return Conclusion(await post)
        post.cancel()  # as a deadline of the team does
        with suppress(asyncio.CancelledError):
            await post
        second = await run.step("note", noted)
        return Conclusion(f"Went on: {second}")

    async def noted() -> str:
        return "noted"

    return Teams({"t": Team("t", "", build, conclude)}, {})


async def lost_once_it_had_left(house: House, began: asyncio.Event, end: asyncio.Event) -> None:
    """A worker is lost right after its team left an action under way."""
    await house.start(team="t")
    journal = RobbedOnceLeft(house)
    async with house.worker(found=leaving(began, end), journal=journal) as worker:
        job = worker.advance()
        await journal.robbed.wait()
        end.set()
        await job
    await house.lapse()


async def test_abandoned_action_of_a_lost_worker_is_reported_once(house: House) -> None:
    """R45: nobody asked about it, because nobody waited for it, and the run ended as if nothing were unclear."""
    began, end = asyncio.Event(), asyncio.Event()
    await lost_once_it_had_left(house, began, end)
    async with house.worker(found=leaving(began, end), owner="w2") as other:
        await other.advance()
    assert (await house.over()).result == "Went on: noted"
    told = [e["words"] for e in await house.events() if e["type"] == "run_progressed" and "Nobody knows" in e["words"]]
    assert [words[:57] for words in told] == ["Nobody knows whether “post” happened: the team did not wait"[:57]]
    assert told[0].endswith("It was not repeated. Check the other system.")


async def test_abandoned_doubtful_step_is_abandoned_again(house: House) -> None:
    """R4: its question was taken back, and the next process ended the run for that."""

    def build(run: Run) -> AutoGenTeam:
        return RoundRobinGroupChat([AssistantAgent("writer", run.model("writer"))], max_turns=1)

    async def act() -> str:
        return "posted"

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        post = asyncio.ensure_future(run.step("post", act))
        if run.held.lease.owner == "w2":
            await house.asked()
        await asyncio.wait({post}, timeout=0.05)
        post.cancel()  # as a deadline of the team does
        with suppress(asyncio.CancelledError):
            await post
        return Conclusion(await run.step("note", act))

    await house.start(team="t")
    found = Teams({"t": Team("t", "", build, conclude)}, {})
    for owner in ("w1", "w2"):  # lost when the action has begun, and when its doubt was left
        async with house.worker(found=found, journal=Robbed(house), owner=owner) as worker:
            await worker.advance()
        await house.lapse()
    async with house.worker(found=found, owner="w3") as worker:
        await worker.advance()
    assert (await house.run()).result == "posted"
    assert [event["type"] for event in await house.events()].count("request_asked") == 1


async def test_abandoned_action_awaited_later_is_asked_about_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: the code waits for what it left before. Continued, people say whether it happened; the first question
    came back forever.
    """
    monkeypatch.setattr("countersign.runs.replay_order.LAST_RESORT", timedelta(milliseconds=20))
    began, end = asyncio.Event(), asyncio.Event()
    await lost_once_it_had_left(house, began, end)
    async with house.worker(found=leaving(began, end, patient=True), owner="w2") as other:
        other.advance()
        diverged = await house.asked()
        assert diverged.question.kind is Kind.DIVERGED
        await house.decide(diverged, Verb.APPROVE)
        doubt = await house.asked(not_this=diverged)
        assert doubt.question.kind is Kind.IN_DOUBT
        await house.decide(doubt, Verb.RESPOND, "It was posted.")
        assert (await house.over()).result == "It was posted."
    assert [event["type"] for event in await house.events()].count("request_asked") == 2
