"""What a run was at when it is let go is no part of it: no model is asked about it, nothing is concluded from it."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core import FunctionCall
from autogen_core.models import CreateResult, LLMMessage, RequestUsage, UserMessage
from autogen_ext.models.replay import ReplayChatCompletionClient

from countersign.domain.errors import ActionFailed
from countersign.domain.ids import RunId
from countersign.domain.requests import Kind, Verb
from countersign.domain.runs import Status
from countersign.frameworks.autogen.gated_function import requires_approval
from countersign.frameworks.autogen.models.config import load_model
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from tests.autogen.harness import House
from tests.autogen.model_calls import component, written
from tests.autogen.test_gated_tools import life
from tests.longest_wait import PATIENCE
from tests.openai_server import OpenAIServer, Says

pytest_plugins = ["tests.openai_server", "tests.redis_server"]


async def look(path: str) -> str:
    """Look."""
    return "12"


async def approved_at_the_next_worker(house: House, found: Teams, model: ReplayChatCompletionClient) -> None:
    """One worker is told to stop while people are asked; they approve when another has the run."""
    async with house.worker(found=found, model=model) as one:
        job = one.advance()
        request = await house.asked()
        one.stop.set()
        await job
    async with house.worker(found=found, model=model, owner="w2") as two:
        job = two.advance()
        await house.decide(request, Verb.APPROVE)
        await job


@pytest.mark.parametrize("more", [{"reflect_on_tool_use": True}, {"max_tool_iterations": 3}], ids=str)
async def test_interrupted_call_is_not_put_to_a_model(house: House, more: dict[str, Any]) -> None:
    """R4: the answer was recorded, fitted nothing, and people were asked whether the code had changed."""

    def build(run: Run) -> AutoGenTeam:
        tools = run.tools("boss", [look])
        agent = AssistantAgent("boss", run.model("boss"), workbench=tools, model_client_stream=True, **more)
        return RoundRobinGroupChat([agent], max_turns=1)

    usage = RequestUsage(prompt_tokens=1, completion_tokens=1)
    call = FunctionCall(id="1", name="look", arguments='{"path": "a"}')
    model = ReplayChatCompletionClient(
        [CreateResult(finish_reason="function_calls", content=[call], usage=usage, cached=False), "There are 12."]
    )
    model.model_info["function_calling"] = True
    await house.start(team="t")
    found = Teams({"t": Team("t", "", build)}, {})
    await approved_at_the_next_worker(house, found, model)
    run = await house.run()
    assert (run.status, run.words, run.asked) == (Status.FINISHED, "There are 12.", 1)


@requires_approval()
async def refund(order: int) -> str:
    """Pay an order back."""
    return f"Order {order} was paid back."


async def paid(run: Run, result: TaskResult) -> Conclusion:
    try:
        return Conclusion(await refund(17))
    except ActionFailed as failure:
        return Conclusion(f"Nothing was paid back: {failure}")


def talk(run: Run) -> AutoGenTeam:
    return RoundRobinGroupChat([AssistantAgent("boss", run.model("boss"), model_client_stream=True)], max_turns=1)


async def called(run: Run, result: TaskResult) -> Conclusion:
    async def pay(order: int) -> str:
        """Pay an order back."""
        return f"Order {order} was paid back."

    given = await run.tools("clerk", [pay]).call_tool("pay", {"order": 17})
    return Conclusion(given.to_text())


@pytest.mark.parametrize("conclude", [paid, called])
async def test_call_interrupted_by_a_stop_is_not_a_rejection(
    house: House, conclude: Callable[[Run, TaskResult], Awaitable[Conclusion]]
) -> None:
    """R4, R5: the run had ended so, and what people approved a moment later was never done."""
    await house.start(team="t")
    found = Teams({"t": Team("t", "", talk, conclude)}, {})
    model = ReplayChatCompletionClient(["Done."])
    await approved_at_the_next_worker(house, found, model)
    assert (await house.run()).result == "Order 17 was paid back."


class Held(ReplayChatCompletionClient):
    """Answers what a tool asks only from its second question on; the first has no end."""

    def __init__(self, answers: Sequence[CreateResult | str]) -> None:
        super().__init__(answers)
        self.model_info["function_calling"] = True
        self.asked = asyncio.Event()

    async def create(self, messages: Sequence[LLMMessage], **more: Any) -> CreateResult:
        if messages[-1].content == "Sum up." and not self.asked.is_set():
            self.asked.set()
            await asyncio.Event().wait()
        return await super().create(messages, **more)


def summing_up() -> Held:
    """A model that calls the tool `sum_up`, and then answers."""
    usage = RequestUsage(prompt_tokens=1, completion_tokens=1)
    call = FunctionCall(id="1", name="sum_up", arguments="{}")
    made = CreateResult(finish_reason="function_calls", content=[call], usage=usage, cached=False)
    return Held([made, "all is well."])


@pytest.mark.parametrize("idempotent", [True, False])
async def test_tool_interrupted_in_a_model_call_has_not_failed(house: House, idempotent: bool) -> None:
    """R4: “CancelledError” was recorded as what it returned, and the agent told so for the rest of the run."""
    tries = []

    def build(run: Run) -> AutoGenTeam:
        async def sum_up() -> str:
            """Sum up."""
            tries.append(1)
            said = await run.model("inside").create([UserMessage(content="Sum up.", source="clerk")])
            return f"In short: {said.content}"

        tools = run.tools("boss", [sum_up], ask=False, idempotent=idempotent)
        return RoundRobinGroupChat([AssistantAgent("boss", run.model("boss"), workbench=tools)], max_turns=1)

    model = summing_up()
    await house.start(team="t")
    found = Teams({"t": Team("t", "", build)}, {})
    async with house.worker(found=found, model=model) as one:
        job = one.advance()
        await model.asked.wait()
        one.stop.set()
        await job
    async with house.worker(found=found, model=model, owner="w2") as two:
        job = two.advance()
        if not idempotent:
            request = await house.asked()
            assert request.question.kind is Kind.IN_DOUBT
            await house.decide(request, Verb.APPROVE)
        await job
    run = await house.run()
    assert (run.status, run.words, len(tries)) == (Status.FINISHED, "In short: all is well.", 2)


async def test_action_interrupted_in_a_model_call_is_doubted_later(
    house: House,
) -> None:
    """R4: `run.step` likewise; the question about it comes once nobody knows, and not from a worker that leaves."""

    async def conclude(run: Run, result: TaskResult) -> Conclusion:
        async def act() -> str:
            said = await run.model("inside").create([UserMessage(content="Sum up.", source="clerk")])
            return str(said.content)

        return Conclusion(await run.step("sum up", act))

    await house.start(team="t")
    found = Teams({"t": Team("t", "", talk, conclude)}, {})
    model = Held(["Done.", "all is well."])
    async with house.worker(found=found, model=model) as one:
        job = one.advance()
        await model.asked.wait()
        one.stop.set()
        await job
    (entry,) = [raw for key, raw in (await house_entries(house)).items() if key.startswith("step/")]
    assert Entry.load(entry).state == "started"


@pytest.mark.parametrize("idempotent", [True, False])
async def test_cut_effect_with_a_team_releases_the_worker(
    house: House, idempotent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: AutoGen's agents wait forever for a model call that was cancelled, and the worker waited for them."""
    monkeypatch.setattr("countersign.frameworks.autogen.team_execution.GRACE", timedelta(milliseconds=100))

    def build(run: Run) -> AutoGenTeam:
        async def sum_up() -> str:
            """Sum up."""
            inner = RoundRobinGroupChat([AssistantAgent("inside", run.model("inside"))], max_turns=1)
            return (await inner.run(task="Sum up.")).messages[-1].to_text()

        tools = run.tools("boss", [sum_up], ask=False, idempotent=idempotent)
        return RoundRobinGroupChat([AssistantAgent("boss", run.model("boss"), workbench=tools)], max_turns=1)

    model = summing_up()
    await house.start(team="t")
    async with house.worker(found=Teams({"t": Team("t", "", build)}, {}), model=model) as one:
        job = one.advance()
        await model.asked.wait()
        one.stop.set()
        await asyncio.wait_for(job, PATIENCE)
    (entry,) = [raw for key, raw in (await house_entries(house)).items() if key.startswith("tool/")]
    assert Entry.load(entry).state == "started"


async def house_entries(house: House) -> dict[str, bytes]:
    return dict(await RedisJournal(house.area).entries(RunId("r1")))


class Deaf(ReplayChatCompletionClient):
    """Streams without an end, and does not look at its token, as Anthropic's client does."""

    def __init__(self) -> None:
        super().__init__([])
        self.streams = asyncio.Event()

    async def create_stream(
        self, messages: Sequence[LLMMessage], **more: Any
    ) -> AsyncGenerator[str | CreateResult, None]:
        yield "Dear "
        self.streams.set()
        await asyncio.Event().wait()
        yield "vendor"


async def test_stopping_worker_does_not_wait_for_a_deaf_stream(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's stream that ignores its cancellation."""
    monkeypatch.setattr("countersign.frameworks.autogen.team_execution.GRACE", timedelta(hours=1))
    await house.start(team="t")
    model = Deaf()
    async with house.worker(found=Teams({"t": Team("t", "", talk)}, {}), model=model) as worker:
        job = worker.advance()
        await model.streams.wait()
        worker.stop.set()
        await asyncio.wait_for(job, PATIENCE)
    assert (await house.run()).status is Status.RUNNING


async def test_streamed_pieces_are_not_kept_by_the_run(house: House, openai: OpenAIServer, tmp_path: Path) -> None:
    """AutoGen's client links every piece to the token that it is given, which keeps it for as long as that lives."""
    openai.will("first", Says("word " * 500))
    model = load_model(written(tmp_path, [component(openai, "first")]))
    await house.start()
    async with life(house) as run:
        run._model, before = model, len(run.token._callbacks)
        answers = [piece async for piece in run.model("boss").create_stream([], cancellation_token=run.token)]
        assert isinstance(answers[-1], CreateResult)
        assert len(answers[-1].content) == 2500
        assert len(run.token._callbacks) <= before + 1
    await model.close()
