"""LangChain's agents and LangGraph's graphs, which ask in Slack and go on after a restart."""

import asyncio
import json
from collections.abc import Callable
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
from langgraph.types import Command, interrupt

from countersign.client import executions
from countersign.domain.actions import Action
from countersign.domain.errors import InvalidInput
from countersign.domain.typed_answers import UNANSWERED
from countersign.frameworks.langgraph import SlackApproval, adecide, decide
from countersign.frameworks.run_files import LeftToPeople, path_of, read
from countersign.policy.evaluation import Clause, Rulebook
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from tests.adapters.stage import Bob, cards

pytestmark = pytest.mark.slow  # the framework takes seconds to import

THREAD: RunnableConfig = {"configurable": {"thread_id": "order-17"}}
TASK: Any = {"messages": [("user", "Refund order 17.")]}


class Shop:
    """A tool, and what it did."""

    def __init__(self) -> None:
        self.paid: list[float] = []
        self.pays: Callable[[int, float], str] = self._pay

    def refund(self, order: int, euros: float) -> str:
        """Pay money back."""
        return self.pays(order, euros)

    def _pay(self, order: int, euros: float) -> str:
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
async def test_call_runs_only_as_decided(
    bob: Bob, asynchronous: bool, button: str, window: Any, paid: list[float], reads: str
) -> None:
    """R13: and the model reads what was decided."""
    shop = Shop()
    clerk = agent(shop, SlackApproval("#general", {"refund"}))
    call = clerk.ainvoke(TASK, THREAD) if asynchronous else asyncio.to_thread(clerk.invoke, TASK, THREAD)
    running = asyncio.create_task(call)
    await bob.presses("Refund:", button, window)
    result = await running
    assert shop.paid == paid
    assert reads in result["messages"][-2].content


async def killed_while_asked(bob: Bob, clerk: Any) -> None:
    """A program that is gone when people approve."""
    running = asyncio.create_task(clerk.ainvoke(TASK, THREAD))
    await bob.card("Refund:")
    running.cancel()
    await asyncio.wait([running])
    await bob.presses("Refund:", "Approve")


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_approved_call_runs_when_the_program_returns_later(bob: Bob, asynchronous: bool) -> None:
    """R8: nothing is lost over a weekend."""
    shop = Shop()
    clerk = agent(shop, SlackApproval("#general"))
    await killed_while_asked(bob, clerk)
    await bob.lets_a_day_pass()
    again = clerk.ainvoke(None, THREAD) if asynchronous else asyncio.to_thread(clerk.invoke, None, THREAD)
    assert "90.00 EUR" in (await again)["messages"][-2].content
    assert shop.paid == [90.0]


async def test_model_reads_an_earlier_reported_failure(bob: Bob) -> None:
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
async def test_refused_report_hides_no_result(
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
    await bob.presses("Refund:", "Approve")
    if fails:
        with pytest.raises(ZeroDivisionError):
            await running
    else:
        assert "90.00 EUR" in (await running)["messages"][-2].content
    assert "outcome couldn't be reported: This key was revoked." in caplog.text


async def test_expired_call_does_not_run_and_model_reads_so(bob: Bob) -> None:
    """R20."""
    shop = Shop()
    running = asyncio.create_task(agent(shop, SlackApproval("#general")).ainvoke(TASK, THREAD))
    await bob.card("Refund:")
    await bob.lets_time_run_out()
    assert "NOBODY ANSWERED" in (await running)["messages"][-2].content
    assert shop.paid == []


@pytest.mark.usefixtures("together")
async def test_langchain_middleware_stops_and_resumes_with_decisions(slack: LocalSlack, bob: Bob) -> None:
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
async def test_people_edit_or_answer_calls_of_langchains_middleware(
    bob: Bob, allowed: Any, button: str, window: Any, paid: list[float], reads: str
) -> None:
    """R13: as far as the middleware allows it; an answer that it does not allow is a rejection."""
    shop = Shop()
    clerk = agent(shop, HumanInTheLoopMiddleware({"refund": allowed}))
    stopped = await clerk.ainvoke(TASK, THREAD)
    deciding = asyncio.create_task(adecide("#general", stopped, THREAD, tools=[shop.refund]))
    card = await bob.card("Refund:")
    assert ('"edit ' in json.dumps(card.blocks)) is (allowed is True)
    await bob.presses("Refund:", button, window)
    result = await clerk.ainvoke(await deciding, THREAD)
    assert shop.paid == paid
    assert reads in json.dumps([m.content for m in result["messages"]])


@pytest.mark.parametrize(
    ("value", "button", "window", "answer"),
    [
        ("Publish this?", "Approve", None, True),
        ("Publish this?", "Reject", {"reason": "no"}, False),
        ("Publish this?", "Request changes", {"answer": "shorter"}, False),
        ({"question": "Publish where?", "options": ["blog"]}, "Answer in words", {"answer": "nowhere"}, "nowhere"),
        ({"question": "Publish where?", "options": ["blog", "paper"]}, "paper", None, "paper"),
        ({"question": "Publish where?", "options": ["blog"]}, "None of these", {"reason": "no"}, ""),
        ({"question": "Publish where?", "options": ["blog"]}, "", None, ""),
    ],
)
async def test_interrupt_is_answered_with_the_decision(
    bob: Bob, value: Any, button: str, window: Any, answer: Any
) -> None:
    """R39"""

    def ask(state: Answer) -> Answer:
        return {"answer": interrupt(value)}

    graph = StateGraph(Answer).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    app = graph.compile(checkpointer=InMemorySaver())
    stopped = await app.ainvoke({}, THREAD)
    deciding = asyncio.create_task(adecide("#general", stopped, THREAD))
    await bob.card("Publish")
    await (bob.presses("Publish", button, window) if button else bob.lets_time_run_out())
    assert (await app.ainvoke(await deciding, THREAD))["answer"] == answer


class Review(TypedDict, total=False):
    llm_output: str
    path: str


@pytest.mark.parametrize(
    ("button", "window", "path"),
    [
        ("Approve", None, "approved"),
        ("Reject", {"reason": "Do NOT send this"}, "rejected"),
        ("Request changes", {"answer": "Yes, approved, but shorter"}, "rejected"),
        ("", None, "rejected"),
    ],
)
async def test_interrupt_takes_the_approved_path_only_on_approval(
    bob: Bob, button: str, window: Any, path: str
) -> None:
    """R39: LangGraph's own example, with the value that `decide` resumes it with."""

    def human_approval(state: Review) -> Command[Any]:
        is_approved = interrupt({"question": "Is this correct?", "llm_output": state["llm_output"]})
        if is_approved:
            return Command(goto="approved_path")
        return Command(goto="rejected_path")

    builder = StateGraph(Review).add_node("human_approval", human_approval)
    builder.add_node("approved_path", lambda state: {"path": "approved"})
    builder.add_node("rejected_path", lambda state: {"path": "rejected"})
    graph = builder.add_edge(START, "human_approval").compile(checkpointer=InMemorySaver())
    stopped = await graph.ainvoke({"llm_output": "Dear Pia"}, THREAD)
    deciding = asyncio.create_task(adecide("#general", stopped, THREAD))
    await bob.card("Is this correct?")
    await (bob.presses("Is this correct?", button, window) if button else bob.lets_time_run_out())
    assert (await graph.ainvoke(await deciding, THREAD))["path"] == path


@pytest.mark.parametrize(
    ("button", "window", "goes"),
    [
        ("Approve", None, "approve"),
        ("Reject", {"reason": "Do not approve this"}, "reject: Do not app·rove this"),
        ("Request changes", {"answer": "approve"}, "app·rove"),
        ("", None, UNANSWERED),
    ],
)
async def test_graph_compares_the_answer_with_its_own_keyword(bob: Bob, button: str, window: Any, goes: str) -> None:
    """R38: LangGraph's longer example has `if decision == "approve":`."""

    def ask(state: Answer) -> Answer:
        return {"answer": interrupt({"question": "Publish this?", "llm_output": "Dear Pia"})}

    graph = StateGraph(Answer).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    app = graph.compile(checkpointer=InMemorySaver())
    deciding = asyncio.create_task(adecide("#general", await app.ainvoke({}, THREAD), THREAD, approve="approve"))
    await bob.card("Publish this?")
    await (bob.presses("Publish this?", button, window) if button else bob.lets_time_run_out())
    assert (await app.ainvoke(await deciding, THREAD))["answer"] == goes


ALL = {"allow_accept": True, "allow_edit": True, "allow_respond": True, "allow_ignore": True}
NO_IGNORE = {**ALL, "allow_ignore": False}
EDITED = {"action": "refund", "args": {"order": 17, "euros": 45.0}}


@pytest.mark.parametrize(
    ("may", "button", "window", "kind", "args"),
    [
        (ALL, "Approve", None, "accept", None),
        (ALL, "Edit", {"Euros": "45", "why": "half"}, "edit", EDITED),
        (ALL, "Request changes", {"answer": "Ask first."}, "response", "Ask first."),
        (ALL, "Reject", {"reason": "too much"}, "ignore", None),
        (ALL, "", None, "ignore", None),
        (NO_IGNORE, "Reject", {"reason": "too much"}, "response", "too much"),
        ({"allow_ignore": True, "allow_respond": True}, "Approve", None, "ignore", None),
        ({"allow_accept": True}, "Request changes", {"answer": "Ask first."}, "ignore", None),
    ],
)
async def test_human_interrupt_receives_its_response(
    bob: Bob, may: dict[str, bool], button: str, window: Any, kind: str, args: Any
) -> None:
    """R39: the wrapper of LangGraph's guide and its Agent Inbox; what the program doesn't allow is a refusal."""

    def ask(state: Answer) -> Answer:
        call = {"action": "refund", "args": {"order": 17, "euros": 90.0}}
        return {"answer": interrupt([{"action_request": call, "config": may, "description": "Please review."}])[0]}

    graph = StateGraph(Answer).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    app, shop = graph.compile(checkpointer=InMemorySaver()), Shop()
    deciding = asyncio.create_task(adecide("#general", await app.ainvoke({}, THREAD), THREAD, tools=[shop.refund]))
    card = await bob.card("Refund:")
    assert all(words in text_of(card) for words in ("Euros: 90", "Please review."))
    assert ('"edit ' in json.dumps(card.blocks)) is may.get("allow_edit", False)
    await (bob.presses("Refund:", button, window) if button else bob.lets_time_run_out())
    got = (await app.ainvoke(await deciding, THREAD))["answer"]
    assert got["type"] == kind
    assert got["args"] == args or args in got["args"]


@pytest.mark.parametrize("text", [True, lambda value: "old" in value], ids=["always", "by value"])
async def test_open_question_receives_its_answer(bob: Bob, text: Any) -> None:
    def ask(state: Answer) -> Answer:
        return {"answer": interrupt("How old are you?")}

    graph = StateGraph(Answer).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    app = graph.compile(checkpointer=InMemorySaver())
    stopped = await app.ainvoke({}, THREAD)
    deciding = asyncio.create_task(adecide("#general", stopped, THREAD, text=text))
    await bob.presses("How old are you?", "Request changes", {"answer": "42"})
    assert (await app.ainvoke(await deciding, THREAD))["answer"] == "42"


@pytest.mark.parametrize("button", ["Reject", ""])
async def test_rejected_number_question_is_not_read_as_zero(bob: Bob, button: str) -> None:
    """R39: LangGraph's guide reads an age by `int(interrupt(…))`, and `int(False)` is 0."""

    def ask(state: Answer) -> Answer:
        try:
            return {"answer": int(interrupt("How old are you?"))}
        except ValueError:
            return {"answer": "not valid"}

    graph = StateGraph(Answer).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    app = graph.compile(checkpointer=InMemorySaver())
    deciding = asyncio.create_task(adecide("#general", await app.ainvoke({}, THREAD), THREAD, text=True))
    await bob.card("How old are you?")
    await (bob.presses("How old are you?", button, {"reason": "why?"}) if button else bob.lets_time_run_out())
    assert (await app.ainvoke(await deciding, THREAD))["answer"] == "not valid"


@pytest.mark.parametrize(("button", "outcome"), [("Reject", "rejected"), ("", "expired")])
async def test_interrupt_can_receive_the_whole_decision(bob: Bob, button: str, outcome: str) -> None:
    """R16, R17: who rejected it and why, or that nobody decided in time."""

    def ask(state: Answer) -> Answer:
        return {"answer": interrupt("Publish this?")}

    graph = StateGraph(Answer).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    app = graph.compile(checkpointer=InMemorySaver())
    deciding = asyncio.create_task(adecide("#general", await app.ainvoke({}, THREAD), THREAD, whole=True))
    await bob.card("Publish this?")
    if button:
        await bob.presses("Publish this?", button, {"reason": "too early"})
    else:
        await bob.lets_time_run_out()
    decision = (await app.ainvoke(await deciding, THREAD))["answer"]
    assert (decision["approved"], decision["outcome"]) == (False, outcome)
    assert (decision["by"], decision["words"]) == ((["U0BOB"], "too early") if button else ([], decision["words"]))


@pytest.mark.parametrize("middleware", [SlackApproval("#general"), HumanInTheLoopMiddleware({"refund": True})])
async def test_model_reads_why_the_policy_refused(store: Store, slack: LocalSlack, middleware: Any) -> None:
    """R16, R19."""
    await store.set_rulebook(Rulebook((Clause("till", Action.DENY, 1, tool="refund", why="Use the till."),)))
    shop = Shop()
    clerk = agent(shop, middleware)
    result = await clerk.ainvoke(TASK, THREAD)
    if "__interrupt__" in result:
        result = await clerk.ainvoke(await adecide("#general", result, THREAD), THREAD)
    assert "Use the till." in result["messages"][-2].content
    assert (shop.paid, cards(slack)) == ([], 0)


class Killed(BaseException):
    """The end of a program of which nobody hears."""


@pytest.mark.parametrize("idempotent", [False, True])
@pytest.mark.parametrize("asynchronous", [False, True])
async def test_call_of_a_killed_program_is_asked_about(
    slack: LocalSlack, bob: Bob, monkeypatch: pytest.MonkeyPatch, asynchronous: bool, idempotent: bool
) -> None:
    """R8, R10: killed between the action and its report; one that is idempotent runs again, and asks nobody."""
    monkeypatch.setattr(executions, "LOOKS", 0)
    shop = Shop()
    clerk = agent(shop, SlackApproval("#general", idempotent={"refund"} if idempotent else ()))

    def dies(order: int, euros: float) -> str:
        shop.paid.append(euros)
        raise Killed

    async def runs(task: Any) -> Any:
        if asynchronous:
            return await clerk.ainvoke(task, THREAD)
        return await asyncio.to_thread(clerk.invoke, task, THREAD)

    alive, shop.pays = shop.pays, dies
    running = asyncio.create_task(runs(TASK))
    await bob.presses("Refund:", "Approve")
    with pytest.raises(Killed):
        await running
    shop.pays = alive
    again = asyncio.create_task(runs(None))
    if not idempotent:
        await bob.presses("Did “refund” happen?", "Choose", {"options": "1. It was done"})
    reads = (await again)["messages"][-2].content
    assert reads == ("90.00 EUR for order 17000000" if idempotent else "Done before: People say that it was done.")
    assert (len(shop.paid), cards(slack)) == ((2, 1) if idempotent else (1, 2))


async def test_tool_with_an_interrupt_runs_after_resuming(slack: LocalSlack, bob: Bob) -> None:
    """R8: it is not taken for a call of a program that was killed."""
    shop = Shop()

    def asks(order: int, euros: float) -> str:
        return f"{interrupt('From which account?')} paid"

    shop.pays = asks
    clerk = agent(shop, SlackApproval("#general"))
    running = asyncio.create_task(clerk.ainvoke(TASK, THREAD))
    await bob.presses("Refund:", "Approve")
    stopped = await running
    (stop,) = stopped["__interrupt__"]
    result = await clerk.ainvoke(Command(resume={stop.id: "The till"}), THREAD)
    assert result["messages"][-2].content == "The till paid"
    assert cards(slack) == 1


async def test_interrupts_left_waiting_are_answered_after_the_decision(bob: Bob, tmp_path: Path) -> None:
    """`leave` names the folder in which the runs wait; no process does."""
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
    assert read(path_of(tmp_path, "order-17")).waits == []
    with pytest.raises(InvalidInput, match="thread_id"):
        await adecide("#general", stopped, {}, leave=tmp_path)


class CutOff(InMemorySaver):
    """A checkpointer that takes what a step wrote, and no checkpoint after it."""

    cut = False

    def put(self, *given: Any) -> RunnableConfig:
        if self.cut:
            raise ConnectionError("cut off")
        return super().put(*given)


async def test_thread_without_its_last_checkpoint_runs_the_approved_call(bob: Bob) -> None:
    """R8: `next` is empty then, as after the end, and `tasks` is not."""
    shop, saver = Shop(), CutOff()
    clerk = create_agent(
        Model(calls=1),
        [shop.refund],
        middleware=[HumanInTheLoopMiddleware({"refund": True})],
        checkpointer=saver,
    )
    stopped = await clerk.ainvoke(TASK, THREAD)
    deciding = asyncio.create_task(adecide("#general", stopped, THREAD))
    await bob.presses("Refund:", "Approve")
    saver.cut = True
    with pytest.raises(ConnectionError):
        await clerk.ainvoke(await deciding, THREAD, durability="sync")
    saver.cut = False
    assert not shop.paid
    await clerk.ainvoke(None if clerk.get_state(THREAD).tasks else TASK, THREAD)
    assert shop.paid == [90.0]
