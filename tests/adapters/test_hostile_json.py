"""Arguments that parsers read differently, played by a model to every adapter: refused, or judged and run exactly."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import autogen
import pytest
from ag2 import Agent as Ag2Agent
from ag2.events import ToolCallEvent
from ag2.testing import TestConfig, TrackingConfig
from agent_framework import (
    Agent,
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    Content,
    FunctionInvocationLayer,
    FunctionTool,
    Message,
)
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import interrupt
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import Tool
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from countersign import requires_approval
from countersign.client import AsyncClient, Call, NotApproved, exchange
from countersign.client.exchange import Decision
from countersign.domain.errors import InvalidInput
from countersign.domain.json_arguments import is_approved
from countersign.frameworks.ag2 import with_approval
from countersign.frameworks.ag2_classic import ask_in_slack
from countersign.frameworks.agent_framework import SlackApprovals
from countersign.frameworks.langgraph import SlackApproval, adecide
from countersign.frameworks.mcp_server import PeopleTools
from countersign.frameworks.pydantic_ai import SlackApproval as PydanticApproval
from localslack import LocalSlack, text_of
from tests.adapters.stage import Bob, Script, cards

pytestmark = pytest.mark.slow  # the frameworks take seconds to import

REFUSED = {
    "one name twice": '{"amount": 9000, "amount": 5}',
    "not a number": '{"amount": NaN}',
    "infinity": '{"amount": -Infinity}',
    "too large": '{"amount": 1e400}',
    "half a pair": '{"amount": "\\ud800"}',
    "too deep": '{"amount": ' + "[" * 150 + "]" * 150 + "}",
}
EXACT = {
    "a space in a name": '{"amount": 9000, "amount ": 5}',
    "beyond doubles": '{"amount": 9007199254740993}',
}
ANYTHING = {"type": "object", "properties": {}}
Played = Callable[[str, list[Any], Path], Coroutine[Any, Any, str]]
"""Let a model make a call with these arguments: what the function got is added to the list; what the model reads."""


class Client(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], BaseChatClient[Any]):
    """A model that makes one call, and then repeats its result."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    async def _inner_get_response(self, *, messages: Any, **_: Any) -> Any:
        read = [str(one.result) for m in messages for one in m.contents if one.type == "function_result"]
        call = Content.from_function_call("c1", "refund", arguments=self.text)
        return ChatResponse(messages=[Message("assistant", read or [call])])


async def agent_framework(text: str, ran: list[Any], folder: Path, schema: Any = ANYTHING) -> str:
    def refund(**arguments: Any) -> str:
        ran.append(arguments)
        return "Paid."

    tool = FunctionTool(name="refund", func=refund, input_model=schema, approval_mode="always_require")
    agent = Agent(Client(text), name="clerk", tools=[tool])
    return (await SlackApprovals("#general", folder=folder).run(agent, "Refund.", key=text[:60])).text


async def agent_framework_function(text: str, ran: list[Any], folder: Path) -> str:
    def refund(amount: int) -> str:
        ran.append({"amount": amount})
        return "Paid."

    tool = FunctionTool(name="refund", func=refund, approval_mode="always_require")
    agent = Agent(Client(text), name="clerk", tools=[tool])
    return (await SlackApprovals("#general", folder=folder).run(agent, "Refund.", key=text[:60])).text


class Model(BaseChatModel):
    """A model that makes one call, and then says that all is well."""

    text: str

    @property
    def _llm_type(self) -> str:
        return "script"

    def bind_tools(self, tools: Any, **_: Any) -> "Model":
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        asked = any(isinstance(message, AIMessage) for message in messages)
        calls = [] if asked else [ToolCall(name="refund", args=json.loads(self.text), id="c1")]
        return ChatResult(generations=[ChatGeneration(message=AIMessage("" if calls else "Well.", tool_calls=calls))])


def graph(text: str, ran: list[Any], middleware: Any) -> Any:
    def refund(**arguments: Any) -> str:
        ran.append(arguments)
        return "Paid."

    tool = StructuredTool.from_function(refund, name="refund", description="Pay.", args_schema=ANYTHING)
    return create_agent(Model(text=text), [tool], middleware=[middleware], checkpointer=InMemorySaver())


async def langgraph_middleware(text: str, ran: list[Any], folder: Path) -> str:
    clerk = graph(text, ran, SlackApproval("#general"))
    result = await clerk.ainvoke({"messages": [("user", "Refund.")]}, {"configurable": {"thread_id": "1"}})
    return str(result["messages"][-2].content)


async def langgraph_decide(text: str, ran: list[Any], folder: Path) -> str:
    return await decided(graph(text, ran, HumanInTheLoopMiddleware({"refund": True})), folder)


async def decided(clerk: Any, folder: Path) -> str:
    config = {"configurable": {"thread_id": str(folder)}}
    result = await clerk.ainvoke({"messages": [("user", "Refund.")]}, config)
    while command := await adecide("#general", result, config):
        result = await clerk.ainvoke(command, config)
    return str(result["messages"][-2].content)


async def langgraph_inbox(text: str, ran: list[Any], folder: Path) -> str:
    """LangGraph's guide: a wrapper that stops with a `HumanInterrupt`, and runs its own copy of the call."""

    def refund(**arguments: Any) -> Any:
        config = {"allow_accept": True, "allow_respond": True}
        (response,) = interrupt([{"action_request": {"action": "refund", "args": arguments}, "config": config}])
        if response["type"] != "accept":
            return response["args"]
        ran.append(arguments)
        return "Paid."

    tool = StructuredTool.from_function(refund, name="refund", description="Pay.", args_schema=ANYTHING)
    clerk = create_agent(Model(text=text), [tool], checkpointer=InMemorySaver())
    return await decided(clerk, folder)


async def ag2(text: str, ran: list[Any], folder: Path) -> str:
    def refund(amount: int) -> str:
        """Pay."""
        ran.append({"amount": amount})
        return "Paid."

    config = TrackingConfig(TestConfig(ToolCallEvent("refund", arguments=text), "Well."))
    await Ag2Agent("clerk", "You refund.", config=config, tools=[with_approval(refund, "#general")]).ask("Refund.")
    (event,) = config.mock.call_args.args[0].results
    return str(event.result.parts[0].content)


async def pydantic_ai(text: str, ran: list[Any], folder: Path) -> str:
    def play(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        read = [str(one.content) for one in messages[-1].parts if one.part_kind == "tool-return"]
        return ModelResponse([TextPart(read[0]) if read else ToolCallPart("refund", text)])

    def refund(**arguments: Any) -> str:
        ran.append(arguments)
        return "Paid."

    tool = Tool.from_schema(refund, "refund", "Pay.", ANYTHING)
    clerk = PydanticAgent(FunctionModel(play), tools=[tool], capabilities=[PydanticApproval("#general", {"refund"})])
    return str((await clerk.run("Refund.")).output)


async def mcp_server(text: str, ran: list[Any], folder: Path) -> str:
    decided = await PeopleTools("#general", 60).request_approval(text[:60], "refund", json.loads(text))
    if json.loads(decided)["approved"]:
        ran.append(json.loads(decided)["arguments"])
    return decided


async def decorator(text: str, ran: list[Any], folder: Path) -> str:
    @requires_approval("#general")
    async def refund(arguments: dict[str, Any]) -> str:
        ran.append(arguments)
        return "Paid."

    try:
        return await refund(json.loads(text))
    except InvalidInput as wrong:
        return str(wrong)


async def plain_client(text: str, ran: list[Any], folder: Path) -> str:
    call = Call("#general", "refund", json.loads(text), title="Refund?")

    async def pay(approved: Mapping[str, Any]) -> str:
        ran.append(approved)
        return "Paid."

    async with AsyncClient() as client:
        try:
            return await client.perform(await client.judge(call), call, pay)
        except NotApproved as refused:
            return str(refused)


TYPED = (agent_framework_function, ag2)
"""Their function takes one argument, and the framework drops the others."""
READ_AS_TEXT = (agent_framework, agent_framework_function, ag2, pydantic_ai)
"""The others get what their framework read: of a name that stands there twice they see one."""
READ_BEFORE = (langgraph_middleware, langgraph_decide, langgraph_inbox, mcp_server, decorator, plain_client)


@pytest.mark.parametrize("played", [*READ_AS_TEXT, *READ_BEFORE], ids=lambda played: played.__name__)
async def test_hostile_arguments_are_refused_or_run_exactly(
    slack: LocalSlack, bob: Bob, tmp_path: Path, subtests: pytest.Subtests, played: Played
) -> None:
    """R13, R37: nobody is asked about the first, the model reads why, and the program goes on."""
    for name, text in REFUSED.items():
        if name == "one name twice" and played in READ_BEFORE:
            continue
        with subtests.test(name):
            ran: list[Any] = []
            read = await played(text, ran, tmp_path / name)
            assert (ran, cards(slack)) == ([], 0)
            assert "nobody was asked" in read.lower() or "json_invalid" in read  # pydantic-ai's own refusal
    for name, text in EXACT.items():
        with subtests.test(name):
            ran = []
            running = asyncio.create_task(played(text, ran, tmp_path / name))
            wanted = json.loads(text)
            shown = text_of(await bob.card(str(wanted["amount"])))
            await bob.presses(str(wanted["amount"]), "Approve")
            read = await running
            taken = {"amount": wanted["amount"]} if played in TYPED else wanted
            assert is_approved(ran[0], taken), (read, shown)


@pytest.mark.parametrize(
    "played",
    [agent_framework, langgraph_middleware, langgraph_decide, langgraph_inbox, pydantic_ai, plain_client],
    ids=lambda one: one.__name__,
)
async def test_call_other_than_the_approved_does_not_run(
    bob: Bob, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, played: Played
) -> None:
    """R37: the service says that it approved other arguments, as the one did that stripped their names."""
    read_decision = exchange.decision_of

    def stripped(request: Any) -> Decision:
        decision = read_decision(request)
        arguments = decision.arguments and {name.strip(): value for name, value in decision.arguments.items()}
        return replace(decision, arguments=arguments)

    monkeypatch.setattr(exchange, "decision_of", stripped)
    ran: list[Any] = []
    running = asyncio.create_task(played(EXACT["a space in a name"], ran, tmp_path))
    await bob.presses("9000", "Approve")
    read = await running
    assert ran == []
    assert "its arguments differ" in read


async def test_classic_agents_hostile_arguments_are_refused_or_run_exactly(
    bob: Bob,
    script: Script,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    """R13, R37: AG2 reads the arguments itself, after people."""
    monkeypatch.chdir(tmp_path)
    for number, (name, text) in enumerate([*REFUSED.items(), *EXACT.items()]):
        with subtests.test(name), ask_in_slack("#general"):
            ran: list[Any] = []
            script.plays("clerk", ("refund", text), f"Row {number}.")
            settings: Any = {"config_list": [{"model": "clerk", "api_key": "sk", "price": [0, 0]}], "cache_seed": None}
            clerk = autogen.AssistantAgent("clerk", llm_config=settings)
            user = autogen.UserProxyAgent("user", code_execution_config=False)
            user.register_function({"refund": lambda ran=ran, **arguments: ran.append(arguments) or "Paid."})
            running = asyncio.create_task(asyncio.to_thread(user.initiate_chat, clerk, message="Pay."))
            if name in EXACT:
                await bob.presses(str(json.loads(text)["amount"]), "Approve")
            await bob.presses(f"Row {number}.", "Reject", {"reason": "enough"})
            result = await running
            (read,) = [one["content"] for m in result.chat_history for one in m.get("tool_responses", ())]
            assert ran == ([json.loads(text)] if name in EXACT else []), read
            assert name in EXACT or "nobody was asked" in read
