"""A team that brings something past the gate or the journal is refused before it runs, and told how to mend it (R19).

Each door is AutoGen's own, as it is installed: a version that keeps its tools elsewhere turns one of these red.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any
from xmlrpc.client import ServerProxy

import pytest
from autogen_agentchat.agents import (
    ApprovalRequest,
    ApprovalResponse,
    AssistantAgent,
    CodeExecutorAgent,
    MessageFilterAgent,
    MessageFilterConfig,
    SocietyOfMindAgent,
    UserProxyAgent,
)
from autogen_agentchat.base import Handoff
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination, TimeoutTermination
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import CancellationToken
from autogen_core.model_context import BufferedChatCompletionContext
from autogen_core.tools import BaseTool, FunctionTool, StaticStreamWorkbench, StaticWorkbench, Workbench
from autogen_ext.models.cache import ChatCompletionCache
from pydantic import BaseModel

from countersign.domain.errors import WrongTeam
from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from countersign.frameworks.autogen.bypass_check import look_through
from countersign.frameworks.autogen.code.executors import WITHIN, LocalExecutor
from countersign.frameworks.autogen.code.gated_executor import approved_by_the_executor
from countersign.frameworks.autogen.gated_function import requires_approval
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team, Teams
from tests.autogen.harness import House
from tests.autogen.test_gate_bypasses import Model, TextAgent
from tests.autogen.test_gated_tools import call, life

pytest_plugins = ["tests.redis_server"]

DONE: list[str] = []


async def wipe(path: str) -> str:
    """Delete a folder."""
    DONE.append(path)
    return "gone"


@requires_approval()
async def asks(path: str) -> str:
    """Delete a folder, once people agree."""
    return await wipe(path)


class Nothing(BaseModel):
    """No arguments."""


class Mine(StaticWorkbench):
    """Of the team's own making."""


def clerk(run: Run, name: str = "clerk", **more: Any) -> AssistantAgent:
    return AssistantAgent(name, **{"model_client": run.model(name), **more})


def alone(agent: Any) -> RoundRobinGroupChat:
    return RoundRobinGroupChat([agent], max_turns=1)


def raw(run: Run) -> AssistantAgent:
    return clerk(run, tools=[wipe])


def mcp(run: Run) -> AutoGenTeam:
    from autogen_ext.tools.mcp import McpWorkbench, StdioServerParams  # takes long, and most collect it for nothing

    return alone(clerk(run, workbench=McpWorkbench(StdioServerParams(command="/bin/false"))))


def openai_agent(_: Run) -> AutoGenTeam:
    from autogen_ext.agents.openai import OpenAIAgent  # likewise

    return alone(OpenAIAgent("clerk", "", client=object(), model="m", instructions=""))  # type: ignore[arg-type]


def graph(run: Run) -> AutoGenTeam:
    agent = raw(run)
    return GraphFlow([agent], DiGraphBuilder().add_node(agent).build())


def local(run: Run, approval: Any) -> AutoGenTeam:
    executor = LocalExecutor(run.settings.data_dir, WITHIN)
    return alone(CodeExecutorAgent("coder", executor, approval_func=approval))


def beside_its_own_hand_off(run: Run) -> AutoGenTeam:
    """A tool is not taken for a hand-off because it is called like one."""
    tool = FunctionTool(wipe, "", name="transfer_to_boss")
    return alone(clerk(run, workbench=StaticWorkbench([tool]), handoffs=["boss"]))


@wraps(asks)
async def looks_gated(path: str) -> str:
    """Does it first and asks later."""
    await wipe(path)
    return await asks(path)


class Beside(FunctionTool):
    """A function that is not gated, in a tool that holds one."""

    def __init__(self, function: Any, description: str) -> None:
        super().__init__(function, description)
        self.gated = asks


def unapproved(run: Run) -> AutoGenTeam:
    with pytest.warns(UserWarning, match="No approval function"):
        return local(run, None)


def looks_approved(run: Run) -> AutoGenTeam:
    @wraps(approve := run.code_approval("coder"))
    async def approved(request: ApprovalRequest) -> ApprovalResponse:
        return ApprovalResponse(approved=True, reason="") if request else await approve(request)

    return local(run, approved)


def answers_itself(run: Run) -> AutoGenTeam:
    @wraps(asked := run.human().input_func)
    async def answer(prompt: str, cancellation_token: CancellationToken | None = None) -> str:
        return "yes" if prompt else await asked(prompt, cancellation_token)

    return alone(UserProxyAgent("human", input_func=answer))


class Remote(BaseTool[Nothing, Nothing]):
    """Calls another machine by a client that has every attribute that anybody asks for."""

    def __init__(self) -> None:
        super().__init__(Nothing, Nothing, "wipe", "Delete all of it.")
        self.client = ServerProxy("http://127.0.0.1:1")

    async def run(self, args: Nothing, cancellation_token: CancellationToken) -> Nothing:
        self.client.wipe()
        return Nothing()


class Acts(Handoff):
    """A hand-off that does something."""

    @property
    def handoff_tool(self) -> Any:
        return FunctionTool(wipe, "", name=self.name)


class Holds(TextAgent):
    """An agent of the team's own, which holds what it was given."""

    def __init__(self, *held: object) -> None:
        super().__init__("own")
        self.held = held

    async def say(self) -> str:
        return "done"


Build = Callable[[Run], AutoGenTeam]
TOOL = (
    r"The agent “clerk” has the tool “wipe” in a list of its own.*run\.tools\(\"clerk\", \[wipe\]\).*@requires_approval"
)
BENCH = r"The agent “clerk” has a workbench \({}\) of its own.*run\.tools\(\"clerk\", …\)"
CODE = r"The agent “coder” runs code in an executor \(LocalExecutor\).*run\.executor\(\"coder\", …\)"
MODEL = r"“{}” asks a model \(Model\) that is not the run's.*run\.model\(\"{}\"\)"
DOORS: dict[str, tuple[Build, str]] = {
    "a function": (lambda run: alone(raw(run)), TOOL),
    "a tool": (lambda run: alone(clerk(run, tools=[FunctionTool(wipe, "")])), TOOL),
    "a client": (lambda run: alone(clerk(run, tools=[Remote()])), TOOL),
    "AutoGen's workbench": (lambda run: alone(clerk(run, workbench=StaticWorkbench([FunctionTool(wipe, "")]))), TOOL),
    "its streaming one": (
        lambda run: alone(clerk(run, workbench=(StaticStreamWorkbench([FunctionTool(wipe, "")]),))),
        TOOL,
    ),
    "a workbench": (lambda run: alone(clerk(run, workbench=Mine([]))), BENCH.format("Mine")),
    "MCP": (mcp, BENCH.format("McpWorkbench")),
    "beside the run's": (
        lambda run: alone(
            clerk(run, workbench=[run.tools("clerk", [asks]), StaticWorkbench([FunctionTool(wipe, "")])])
        ),
        TOOL,
    ),
    "a wrapped tool": (
        lambda run: alone(clerk(run, tools=[FunctionTool(lambda: asks("/"), "", name="tidy")])),
        "“tidy”",
    ),
    "around a gated function": (lambda run: alone(clerk(run, tools=[looks_gated])), "“asks”"),
    "beside a gated function": (lambda run: alone(clerk(run, tools=[Beside(wipe, "")])), TOOL),
    "like a hand-off": (beside_its_own_hand_off, "“transfer_to_boss”"),
    "a hand-off that acts": (lambda run: Swarm([clerk(run, handoffs=[Acts(target="boss")])]), "“transfer_to_boss”"),
    "a team in a team": (lambda run: RoundRobinGroupChat([alone(raw(run))], max_turns=1), TOOL),
    "SocietyOfMind": (
        lambda run: alone(SocietyOfMindAgent("mind", team=alone(raw(run)), model_client=run.model("mind"))),
        TOOL,
    ),
    "MessageFilter": (
        lambda run: alone(MessageFilterAgent("filter", raw(run), filter=MessageFilterConfig(per_source=[]))),
        TOOL,
    ),
    "AgentTool": (lambda run: alone(clerk(run, "boss", workbench=run.tools("boss", [AgentTool(raw(run))]))), TOOL),
    "TeamTool": (
        lambda run: alone(clerk(run, "boss", tools=[TeamTool(alone(raw(run)), name="clerks", description="")])),
        TOOL,
    ),
    "in a workbench": (
        lambda run: alone(clerk(run, "boss", workbench=run.tools("boss", StaticWorkbench([AgentTool(raw(run))])))),
        TOOL,
    ),
    "in an own workbench": (
        lambda run: alone(clerk(run, "boss", workbench=run.tools("boss", Mine([AgentTool(raw(run))])))),
        TOOL,
    ),
    "an agent in an own agent": (lambda run: alone(Holds({"inner": [raw(run)]})), TOOL),
    "GraphFlow": (graph, TOOL),
    "Swarm": (lambda run: Swarm([clerk(run, "boss", handoffs=["clerk"]), raw(run)]), TOOL),
    "Selector": (
        lambda run: SelectorGroupChat([raw(run), clerk(run, "boss")], model_client=run.model("selector")),
        TOOL,
    ),
    "MagenticOne": (lambda run: MagenticOneGroupChat([raw(run)], model_client=run.model("orchestrator")), TOOL),
    "code": (lambda run: local(run, approved_by_the_executor), CODE),
    "code that nobody approves": (unapproved, CODE),
    "code behind a function": (lambda run: local(run, lambda request: None), CODE),
    "a model": (lambda run: alone(clerk(run, model_client=Model())), MODEL.format("clerk", "clerk")),
    "a model of the team": (
        lambda run: SelectorGroupChat([clerk(run), clerk(run, "boss")], model_client=Model()),
        MODEL.format("SelectorGroupChat", "SelectorGroupChat"),
    ),
    "the orchestrator's": (
        lambda run: MagenticOneGroupChat([clerk(run)], model_client=Model()),
        MODEL.format("MagenticOneGroupChat", "MagenticOneGroupChat"),
    ),
    "a model in a cache": (
        lambda run: alone(clerk(run, model_client=ChatCompletionCache(Model()))),
        MODEL.format("clerk", "clerk"),
    ),
    "the mind's": (
        lambda run: alone(SocietyOfMindAgent("mind", team=alone(clerk(run)), model_client=Model())),
        MODEL.format("mind", "mind"),
    ),
    "the coder's": (
        lambda run: alone(
            CodeExecutorAgent(
                "coder",
                run.executor("coder", LocalExecutor(run.settings.data_dir, WITHIN)),
                model_client=Model(),
                approval_func=approved_by_the_executor,
            )
        ),
        MODEL.format("coder", "coder"),
    ),
    "an agent that acts by itself": (
        openai_agent,
        r"The agent “clerk” \(OpenAIAgent\) acts by itself.*run\.tools",
    ),
    "code behind what looks like an approval": (looks_approved, CODE),
    "the keyboard": (lambda run: alone(UserProxyAgent("human")), r"“human” asks by a function.*run\.reviewer"),
    "input": (lambda run: alone(UserProxyAgent("human", input_func=input)), "“human” asks by a function"),
    "a lambda": (
        lambda run: alone(UserProxyAgent("human", input_func=lambda prompt: "yes")),
        "“human” asks by a function",
    ),
    "around the run's people": (answers_itself, "“human” asks by a function"),
}


async def ending(house: House, build: Build) -> tuple[Status, str]:
    """How the run of a team ends."""
    DONE.clear()
    await house.start(team="doors", task="wipe /data")
    model = Model(lines={"clerk": [[("wipe", {"path": "/data"})]]})
    async with house.worker(found=Teams({"doors": Team("doors", "", build)}, {}), model=model) as worker:
        await worker.advance()
    run = await house.run()
    return run.status, run.result


@pytest.mark.parametrize("door", DOORS)
async def test_team_with_a_way_past_the_gate_is_refused(house: House, door: str) -> None:
    """R19: the run ends with a sentence that says whose door it is and how to mend it; nothing was said or done."""
    build, sentence = DOORS[door]
    status, result = await ending(house, build)
    assert status is Status.FAILED
    with pytest.raises(RuntimeError, match=f"(?s){sentence}"):
        raise RuntimeError(result)
    assert "Nothing was done; " in result
    assert not DONE


def test_team_that_ends_by_a_clock_is_refused() -> None:
    """R4: the clock starts again in a rebuilt run, so an ended team went on, and others ended early."""
    either = MaxMessageTermination(9) | TimeoutTermination(60)
    inner = RoundRobinGroupChat([Holds()], termination_condition=either)
    for team in (inner, RoundRobinGroupChat([inner], max_turns=1)):
        with pytest.raises(WrongTeam, match=r"ends by a clock \(TimeoutTermination\).*Nothing was done; "):
            look_through(team)


def as_tool_of_two(run: Run) -> list[Any]:
    tool = AgentTool(clerk(run, "expert"))
    return [clerk(run, name, workbench=run.tools(name, [tool])) for name in ("a", "b")]


def in_a_shared_workbench(run: Run) -> list[Any]:
    bench = run.tools("a", [AgentTool(clerk(run, "expert"))])
    return [clerk(run, name, workbench=bench) for name in ("a", "b")]


def as_tool_of_two_with_one_name(run: Run) -> list[Any]:
    bench = run.tools("a", [AgentTool(clerk(run, "expert"))])
    inner = (alone(clerk(run, "a", workbench=bench)) for _ in range(2))
    return [SocietyOfMindAgent(name, team, run.model(name)) for name, team in zip("xy", inner, strict=True)]


def as_two_tools(run: Run) -> list[Any]:
    team = RoundRobinGroupChat([clerk(run, "expert")], max_turns=1, name="experts")
    tools = [TeamTool(team, name, "Asks the experts.") for name in ("first", "second")]
    return [clerk(run, "a", workbench=run.tools("a", tools))]


def as_member_and_tool(run: Run) -> list[Any]:
    expert = clerk(run, "expert")
    return [expert, clerk(run, "a", workbench=run.tools("a", [AgentTool(expert)]))]


@pytest.mark.parametrize(
    ("agents", "ways"),
    [
        (as_tool_of_two, "“expert” is the tool “expert” of “[ab]” and the tool “expert” of “[ab]”"),
        (in_a_shared_workbench, "“expert” is the tool “expert” of “[ab]” and the tool “expert” of “[ab]”"),
        (as_tool_of_two_with_one_name, "“expert” is the tool “expert” of “a” and the tool “expert” of “a”"),
        (as_two_tools, "“experts” is the tool “(first|second)” of “a” and the tool “(first|second)” of “a”"),
        (as_member_and_tool, "“expert” is (a member of|the tool).* and (a member of|the tool)"),
    ],
)
async def test_agent_with_two_possible_callers_is_refused(
    house: House, agents: Callable[[Run], list[Any]], ways: str
) -> None:
    """An agent that is a tool remembers its conversations, and calls at once would mix them."""
    await house.start()
    async with life(house) as run:
        with pytest.raises(WrongTeam, match=f"{ways}.*Nothing was done; "):
            look_through(RoundRobinGroupChat(agents(run), max_turns=1))


class Endless(Sequence[int]):
    """Rows of a table somewhere: each is a query."""

    def __len__(self) -> int:
        raise AssertionError("The table was asked.")

    def __getitem__(self, at: Any) -> Any:
        raise AssertionError("The table was asked.")


def test_team_inspection_runs_no_team_code_and_terminates() -> None:
    """Objects that hold each other, or are endless."""
    held: list[Any] = [Endless(), range(10**12), bytearray(10**8)]
    held.append(held)
    look_through(alone(Holds(held, {"again": held})))


async def test_wrapper_of_a_gated_function_is_asked_about_itself(house: House) -> None:
    """R19: it was taken for a function that asks by itself, and did what it does before."""
    DONE.clear()
    await house.start()
    async with life(house) as run:
        job = asyncio.create_task(call(run.tools("clerk", [looks_gated]), "asks", path="/data"))
        await house.decide(await house.asked(), Verb.REJECT)
        assert (await job)[1]
    assert not DONE


class Loud(ChatCompletionCache):
    """A model of the team's own around the run's."""


def through_the_run(run: Run) -> list[Any]:
    """What may stand in one team."""
    tools: Sequence[Workbench] = [run.tools("a", [wipe]), run.tools("a", StaticWorkbench([FunctionTool(asks, "")]))]
    executor = LocalExecutor(run.settings.data_dir, WITHIN)
    return [
        Holds(FunctionTool(wipe, ""), executor, Model()),
        clerk(run, "a", workbench=tools, handoffs=["b", Handoff(target="c")]),
        clerk(run, "b", tools=[asks, run.ask_human("b")], handoffs=["a"]),
        clerk(run, "c", tools=[AgentTool(clerk(run, "inner", tools=[asks]))]),
        clerk(run, "d", model_client=Loud(run.model("d")), model_context=BufferedChatCompletionContext(3)),
        CodeExecutorAgent("e", run.executor("e", executor), approval_func=approved_by_the_executor),
        CodeExecutorAgent("f", executor, approval_func=run.code_approval("f")),
        UserProxyAgent("g", input_func=run.human("g").input_func),
        run.reviewer("h"),
        RoundRobinGroupChat([clerk(run, "i")], max_turns=1, name="inner_team"),
    ]


async def test_gated_or_effect_free_parts_pass_the_check(house: House) -> None:
    """R19: hand-offs, gated functions, agents as tools, models around the run's; an agent class of the team's own is
    trusted with what it holds.
    """
    status, result = await ending(house, lambda run: RoundRobinGroupChat(through_the_run(run), max_turns=1))
    assert status is Status.FINISHED, result
