"""LangChain's agents and LangGraph's graphs, which ask in Slack and go on after a restart."""

import asyncio
import json
from pathlib import Path
from typing import Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

from countersign.adapters.langgraph import SlackApproval, adecide, decide
from countersign.adapters.run_files import LeftToPeople, path_of, read
from countersign.domain.errors import InvalidInput
from localslack import LocalSlack, text_of
from tests.adapters.stage import Bob, cards

pytestmark = pytest.mark.slow  # the framework takes seconds to import

THREAD: RunnableConfig = {"configurable": {"thread_id": "order-17"}}
TASK: Any = {"messages": [("user", "Refund order 17.")]}


class Shop:
    """A tool, and what it did."""

    def __init__(self) -> None:
        self.paid: list[float] = []

    def refund(self, order: int, euros: float) -> str:
        """Pay money back."""
        self.paid.append(euros)
        return f"{euros:.2f} EUR for order {order}"


class Answer(TypedDict, total=False):
    """The state of a graph that asks."""

    answer: Any


class Model(BaseChatModel):
    """It calls the tool so many times at once, and then says that all is well."""

    calls: int = 1

    @property
    def _llm_type(self) -> str:
        return "script"

    def bind_tools(self, tools: Any, **_: Any) -> "Model":
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        asked = [message for message in messages if isinstance(message, AIMessage)]
        calls = [
            ToolCall(name="refund", args={"order": 17_000_000 + number, "euros": 90.0}, id=f"call_{number}")
            for number in range(0 if asked else self.calls)
        ]
        return ChatResult(generations=[ChatGeneration(message=AIMessage("" if calls else "Well.", tool_calls=calls))])


def agent(shop: Shop, middleware: Any, calls: int = 1) -> Any:
    return create_agent(Model(calls=calls), [shop.refund], middleware=[middleware], checkpointer=InMemorySaver())


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize(
    ("button", "window", "paid", "reads"),
    [
        ("Approve", None, [90.0], "90.00 EUR"),
        ("Edit", {"Euros": "45", "why": "half"}, [45.0], "45.00 EUR"),
        ("Reject", {"reason": "too much"}, [], "too much"),
        ("Request changes", {"answer": "Ask the customer first."}, [], "Ask the customer first."),
    ],
)
async def test_a_call_runs_only_as_people_decided(
    bob: Bob, asynchronous: bool, button: str, window: Any, paid: list[float], reads: str
) -> None:
    """R13: and the model reads what was decided."""
    shop = Shop()
    clerk = agent(shop, SlackApproval("#general", {"refund"}))
    call = clerk.ainvoke(TASK, THREAD) if asynchronous else asyncio.to_thread(clerk.invoke, TASK, THREAD)
    running = asyncio.create_task(call)
    await bob.presses("Run refund?", button, window)
    result = await running
    assert shop.paid == paid
    assert reads in result["messages"][-2].content


async def killed_while_asked(bob: Bob, clerk: Any) -> None:
    """A program that is gone when people approve."""
    running = asyncio.create_task(clerk.ainvoke(TASK, THREAD))
    await bob.card("Run refund?")
    running.cancel()
    await asyncio.wait([running])
    await bob.presses("Run refund?", "Approve")


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_what_nobody_reported_for_a_day_runs_when_the_program_is_back(bob: Bob, asynchronous: bool) -> None:
    """R8: nothing is lost over a weekend."""
    shop = Shop()
    clerk = agent(shop, SlackApproval("#general"))
    await killed_while_asked(bob, clerk)
    await bob.lets_a_day_pass()
    again = clerk.ainvoke(None, THREAD) if asynchronous else asyncio.to_thread(clerk.invoke, None, THREAD)
    assert "90.00 EUR" in (await again)["messages"][-2].content
    assert shop.paid == [90.0]


async def test_a_model_reads_what_was_reported_before_also_of_a_failure(bob: Bob) -> None:
    """R31."""
    shop = Shop()
    clerk = agent(shop, SlackApproval("#general"))
    await killed_while_asked(bob, clerk)
    await bob.reports(succeeded=False, words="ValueError: no till")
    told = (await clerk.ainvoke(None, THREAD))["messages"][-2]
    assert (told.content, told.status) == ("Failed before: ValueError: no till", "error")
    assert shop.paid == []


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("fails", [False, True])
async def test_a_report_that_is_refused_hides_no_result(
    bob: Bob, caplog: pytest.LogCaptureFixture, asynchronous: bool, fails: bool
) -> None:
    """R5: what was done was done, though the key was revoked meanwhile; and what failed says why."""
    shop, loop = Shop(), asyncio.get_running_loop()

    def refund(order: int, euros: float) -> str:
        """Pay money back."""
        asyncio.run_coroutine_threadsafe(bob.loses_its_key(), loop).result()
        if fails:
            raise ZeroDivisionError("no till")
        return shop.refund(order, euros)

    clerk = create_agent(Model(), [refund], middleware=[SlackApproval("#general")], checkpointer=InMemorySaver())
    call = clerk.ainvoke(TASK, THREAD) if asynchronous else asyncio.to_thread(clerk.invoke, TASK, THREAD)
    running = asyncio.create_task(call)
    await bob.presses("Run refund?", "Approve")
    if fails:
        with pytest.raises(ZeroDivisionError):
            await running
    else:
        assert "90.00 EUR" in (await running)["messages"][-2].content
    assert "outcome couldn't be reported: This key was revoked." in caplog.text


async def test_silence_runs_nothing_and_the_model_reads_so(bob: Bob) -> None:
    """R20."""
    shop = Shop()
    running = asyncio.create_task(agent(shop, SlackApproval("#general")).ainvoke(TASK, THREAD))
    await bob.card("Run refund?")
    await bob.lets_time_run_out()
    assert "NOBODY ANSWERED" in (await running)["messages"][-2].content
    assert shop.paid == []


@pytest.mark.usefixtures("together")
async def test_langchains_own_middleware_stops_and_goes_on(slack: LocalSlack, bob: Bob) -> None:
    """Two calls of one turn, each with its row; asked again, the same decisions come back."""
    shop = Shop()
    clerk = agent(shop, HumanInTheLoopMiddleware({"refund": True}), calls=2)
    stopped = await clerk.ainvoke(TASK, THREAD)
    deciding = asyncio.create_task(adecide("#general", stopped, THREAD))
    await slack.wait_message("#approvals", lambda m: all(one in text_of(m) for one in ("17000000", "17000001")))
    await bob.presses("17000001", "Reject", {"reason": "too little"})
    await bob.presses("17000000", "Approve")
    command = await deciding
    assert command == await asyncio.to_thread(decide, "#general", stopped, THREAD)
    result = await clerk.ainvoke(command, THREAD)
    assert shop.paid == [90.0]
    assert "too little" in json.dumps([m.content for m in result["messages"]])
    assert cards(slack) == 1
    assert await adecide("#general", result, THREAD) is None


@pytest.mark.parametrize(
    ("allowed", "button", "window", "paid", "reads"),
    [
        (True, "Edit", {"Euros": "45", "why": "half"}, [45.0], "45.00 EUR"),
        (True, "Request changes", {"answer": "Ask first."}, [], "Ask first."),
        ({"allowed_decisions": ["approve", "reject"]}, "Request changes", {"answer": "Ask first."}, [], "Ask first."),
    ],
)
async def test_people_change_or_answer_what_langchains_own_middleware_holds(
    bob: Bob, allowed: Any, button: str, window: Any, paid: list[float], reads: str
) -> None:
    """R13: as far as the middleware allows it; an answer that it does not allow is a rejection."""
    shop = Shop()
    clerk = agent(shop, HumanInTheLoopMiddleware({"refund": allowed}))
    stopped = await clerk.ainvoke(TASK, THREAD)
    deciding = asyncio.create_task(adecide("#general", stopped, THREAD, tools=[shop.refund]))
    card = await bob.card("Run refund?")
    assert ('"edit ' in json.dumps(card.blocks)) is (allowed is True)
    await bob.presses("Run refund?", button, window)
    result = await clerk.ainvoke(await deciding, THREAD)
    assert shop.paid == paid
    assert reads in json.dumps([m.content for m in result["messages"]])


@pytest.mark.parametrize(
    ("value", "button", "window", "answer"),
    [
        ("Publish this?", "Approve", None, True),
        ("Publish this?", "Reject", {"reason": "no"}, False),
        ("Publish this?", "Request changes", {"answer": "shorter"}, "shorter"),
        ({"question": "Publish where?", "options": ["blog", "paper"]}, "paper", None, "paper"),
    ],
)
async def test_an_interrupt_is_answered(bob: Bob, value: Any, button: str, window: Any, answer: Any) -> None:
    def ask(state: Answer) -> Answer:
        return {"answer": interrupt(value)}

    graph = StateGraph(Answer).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    app = graph.compile(checkpointer=InMemorySaver())
    stopped = await app.ainvoke({}, THREAD)
    deciding = asyncio.create_task(adecide("#general", stopped, THREAD))
    await bob.presses("Publish", button, window)
    assert (await app.ainvoke(await deciding, THREAD))["answer"] == answer


async def test_interrupts_are_left_to_people_and_answered_when_they_have_decided(bob: Bob, tmp_path: Path) -> None:
    shop = Shop()
    clerk = agent(shop, HumanInTheLoopMiddleware({"refund": True}), calls=2)
    stopped = await clerk.ainvoke(TASK, THREAD)
    for button, number in (("Approve", "17000000"), ("Approve", "17000001")):
        with pytest.raises(LeftToPeople, match="countersign resume"):
            await adecide("#general", stopped, THREAD, leave=tmp_path)
        await bob.presses(number, button)
    command = await adecide("#general", stopped, THREAD, leave=tmp_path)
    await clerk.ainvoke(command, THREAD)
    assert shop.paid == [90.0, 90.0]
    assert read(path_of(tmp_path, "order-17"))["waits"] == []
    with pytest.raises(InvalidInput, match="thread_id"):
        await adecide("#general", stopped, {}, leave=tmp_path)
