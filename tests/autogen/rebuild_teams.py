"""One team of each kind, with a scripted model, counted tools and a human in the middle: to be lost and rebuilt.

The recorded runs in `tests/data` were made by these teams; a team that changes needs new ones beside them.
"""

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from autogen_agentchat.agents import AssistantAgent, SocietyOfMindAgent, UserProxyAgent
from autogen_agentchat.base import ChatAgent, TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.messages import BaseChatMessage
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_core import CancellationToken, FunctionCall
from autogen_core.code_executor import CodeBlock, CodeExecutor, CodeResult
from autogen_core.models import AssistantMessage, CreateResult, LLMMessage, ModelFamily, ModelInfo, RequestUsage
from autogen_core.tools import Workbench

from countersign.domain.requests import Status
from countersign.frameworks.autogen.code.gated_executor import CodeAgent
from countersign.frameworks.autogen.models.demo import DemoModel
from countersign.frameworks.autogen.models.wrapper import ModelRequest, Pieces
from countersign.frameworks.autogen.people.decision_messages import decision_in
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team

SCRIPT: dict[str, list[str | list[tuple[str, dict[str, Any]]]]] = {
    "writer": [[("look", {"item": "pens"})], "We need them, order 12.", "Then 10."],
    "clerk": [[("order", {"item": "pens"}), ("look", {"item": "pens"})], "DONE"],
    "legal": [[("look", {"item": "pens"}), ("order", {"item": "ink"})], "Legal agrees."],
    "finance": [[("look", {"item": "pens"}), ("order", {"item": "paper"})], "Finance agrees."],
    "merger": ["All agree. DONE"],
    "starter": [[("transfer_to_human", {})], [("transfer_to_clerk", {})]],
    "buyer": [
        [("order", {"item": item}) for item in ("pens", "ink", "paper", "pens")],
        [("order", {"item": "paper"}), ("ask_human", {"question": "Which?", "options": ["red", "blue"]})],
        [("look", {"item": "pens"}), ("ask_human", {"question": "Why?"}), ("ask_human", {"question": "Why?"})],
        "DONE",
    ],
    "society": ["The society has agreed on 12 pens."],
    "selector": ["writer", "human", "clerk"],
    "coder": ["```sh\norder pens\n```"],
}
"""What each agent's model says, in turn: words, or calls of tools."""
SLOW = {"legal": 0.004, "finance": 0.001}
"""Seconds that the models of parallel branches take: the branch that is asked first answers last."""


class Scripted(DemoModel):
    """Answers by the script, counts what it is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.before: dict[str, Callable[[Sequence[LLMMessage]], Awaitable[None]]] = {}
        """What each agent's model does before it answers: waits, or fails."""
        self.after: dict[str, Callable[[], None]] = {}

    async def answer(self, request: ModelRequest) -> Pieces:
        messages = request.messages
        if request.token is not None and request.token.is_cancelled():
            raise asyncio.CancelledError
        self.asked += 1
        agent, answer = _script(messages)
        await asyncio.sleep(SLOW.get(agent, 0))
        if agent in self.before:
            await self.before[agent](messages)
        if agent in self.after:
            self.after[agent]()
        usage = RequestUsage(prompt_tokens=1, completion_tokens=1)
        if isinstance(answer, str):
            for word in answer.split(" "):
                yield word
            yield CreateResult(finish_reason="stop", content=answer, usage=usage, cached=False)
            return
        turn = sum(isinstance(message, AssistantMessage) for message in messages)
        calls = [
            FunctionCall(id=f"{agent}-{turn}-{number}", name=name, arguments=json.dumps(arguments))
            for number, (name, arguments) in enumerate(answer)
        ]
        yield CreateResult(finish_reason="function_calls", content=calls, usage=usage, cached=False)

    @property
    def model_info(self) -> ModelInfo:
        return ModelInfo(
            vision=False,
            function_calling=True,
            json_output=False,
            family=ModelFamily.UNKNOWN,
            structured_output=False,
            multiple_system_messages=True,
        )


def _script(messages: Sequence[LLMMessage]) -> tuple[str, str | list[tuple[str, dict[str, Any]]]]:
    turn = sum(isinstance(message, AssistantMessage) for message in messages)
    first, last = str(messages[0].content), str(messages[-1].content)
    if first.startswith("SELECTOR"):
        return "selector", str(SCRIPT["selector"][sum(name in first for name in ("writer:", "human:"))])
    if last.startswith("Below I will"):
        return "orchestrator", "Pens are missing."
    if last.startswith("Fantastic"):
        return "orchestrator", "Look, ask, order."
    if last.strip().startswith("Recall we"):
        speakers = ["coder", "runner"] if "runner" in last else ["writer", "human", "clerk"]
        return "orchestrator", ledger(speakers[turn - 1 : turn], speakers[-1])
    if last.strip().startswith("We are working on"):
        return "orchestrator", "Pens are ordered. DONE"
    agent = first.split()[-1] if first.startswith("You are ") else "society"
    return agent, SCRIPT[agent][0 if agent == "society" else turn]


def ledger(following: list[str], nobody: str = "clerk") -> str:
    """What MagenticOne's orchestrator thinks before the next one speaks; nobody: that all is done."""
    said = {
        "is_request_satisfied": not following,
        "is_progress_being_made": True,
        "is_in_loop": False,
        "instruction_or_question": f"Your turn, {following[0]}." if following else "Nothing.",
        "next_speaker": following[0] if following else nobody,
    }
    return json.dumps({key: {"reason": "so it is", "answer": value} for key, value in said.items()})


@dataclass
class World:
    """What is outside one run: a model, a shop, and the conversation as it came out."""

    model: Scripted = field(default_factory=Scripted)
    wants_changes: bool = False
    """Whether its people answer with changes before they approve."""
    done: list[str] = field(default_factory=list)
    """What happened that must not happen again."""
    looks: list[str] = field(default_factory=list)
    """Keys under which the idempotent tool was called."""
    transcript: list[str] = field(default_factory=list)
    thought: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)
    failed: int = 0
    lucky: list[str] = field(default_factory=list)
    """Luck as each life of the run has it."""

    def agent(self, run: Run, name: str, *, more_tools: Sequence[Workbench] = (), **more: Any) -> AssistantAgent:
        """An agent with the two tools that all agents share; `more_tools` take their place where names are the same."""

        async def look(item: str, idempotency_key: str) -> str:
            """How many there are."""
            self.looks.append(idempotency_key)
            return f"{item} as {name} finds them"

        async def order(item: str) -> str:
            """Order one."""
            self.done.append(f"ordered {item}")
            return self.done[-1]

        tools = [*(more_tools or [run.tools(name, [order], ask=False)])]
        tools.append(run.tools(name, [look], ask=False, idempotent=True))
        own = {"model_client": run.model(name), "system_message": f"You are {name}", "workbench": tools}
        return AssistantAgent(name, **{**own, **more})

    async def conclude(self, run: Run, result: TaskResult) -> Conclusion:
        """Keeps the conversation, and adds the clock, luck and an effect of one's own."""
        said = [f"{type(m).__name__} {m.source}: {m.to_text()}" for m in result.messages]

        async def note() -> str:
            self.done.append("told everybody")
            return self.done[-1]

        noted = await run.step("tell", note, content="everybody")
        self.transcript = [*said, noted, f"{await run.now()}", f"{run.random().random()}"]
        return Conclusion("Told.", "\n---\n".join(self.transcript))


def round_robin(world: World, run: Run, **more: Any) -> AutoGenTeam:
    """AutoGen's own UserProxyAgent, and a model that reflects on what its tool returned."""
    writer = world.agent(run, "writer", reflect_on_tool_use=True, **more)
    human = UserProxyAgent("human", input_func=run.human().input_func)
    return RoundRobinGroupChat([writer, human], termination_condition=MaxMessageTermination(4))


def streaming(world: World, run: Run) -> AutoGenTeam:
    return round_robin(world, run, model_client_stream=True)


def selector(world: World, run: Run) -> AutoGenTeam:
    return SelectorGroupChat(
        [world.agent(run, "writer"), run.reviewer("human"), world.agent(run, "clerk", max_tool_iterations=2)],
        model_client=run.model("selector"),
        selector_prompt="SELECTOR {history}",
        termination_condition=TextMentionTermination("DONE", sources=["clerk"]),
    )


def swarm(world: World, run: Run) -> AutoGenTeam:
    return Swarm(
        [
            world.agent(run, "starter", handoffs=["human", "clerk"], workbench=None),
            run.reviewer("human"),
            world.agent(run, "clerk", max_tool_iterations=2),
        ],
        termination_condition=TextMentionTermination("DONE", sources=["clerk"]),
    )


def graph_parallel(world: World, run: Run) -> AutoGenTeam:
    """Two branches share tools, ask with the same words, and come together at a human."""
    writer = world.agent(run, "writer")
    branches = [world.agent(run, name, reflect_on_tool_use=name == "legal") for name in ("legal", "finance")]
    human, merger = run.reviewer("human"), world.agent(run, "merger")
    graph = DiGraphBuilder().add_node(writer).add_node(human).add_node(merger)
    for branch in branches:
        graph.add_node(branch).add_edge(writer, branch).add_edge(branch, human)
    graph.add_edge(human, merger)
    return GraphFlow([writer, *branches, human, merger], graph.build())


def graph_humans(world: World, run: Run) -> AutoGenTeam:
    """Two people are asked at once; the one asked last answers first."""
    writer, merger = world.agent(run, "writer"), world.agent(run, "merger")
    humans: list[ChatAgent] = [run.reviewer("first"), run.reviewer("second")]
    graph = DiGraphBuilder().add_node(writer).add_node(merger)
    for human in humans:
        graph.add_node(human).add_edge(writer, human).add_edge(human, merger)
    return GraphFlow([writer, *humans, merger], graph.build())


def graph_cycle(world: World, run: Run) -> AutoGenTeam:
    """Back to the writer until the human approves."""

    def approved(message: BaseChatMessage) -> bool:
        decision = decision_in(message)
        return decision is not None and decision.outcome is Status.APPROVED

    writer, human, clerk = world.agent(run, "writer"), run.reviewer("human"), world.agent(run, "clerk")
    graph = DiGraphBuilder().add_node(writer, activation="any").add_node(human).add_node(clerk)
    graph.add_edge(writer, human)
    graph.add_edge(human, writer, condition=lambda message: not approved(message))
    graph.add_edge(human, clerk, condition=approved)
    graph.set_entry_point(writer)
    return GraphFlow([writer, human, clerk], graph.build(), termination_condition=MaxMessageTermination(20))


def magentic_one(world: World, run: Run) -> AutoGenTeam:
    agents: list[ChatAgent] = [world.agent(run, "writer"), run.reviewer("human"), world.agent(run, "clerk")]
    return MagenticOneGroupChat(agents, model_client=run.model("orchestrator"))


def magentic_one_code(world: World, run: Run) -> AutoGenTeam:
    """Its coder's program is run once people have approved it."""

    class Notes(CodeExecutor):
        """Notes what it would run."""

        async def execute_code_blocks(
            self, code_blocks: list[CodeBlock], cancellation_token: CancellationToken
        ) -> CodeResult:
            world.done += [f"ran {block.code.strip()}" for block in code_blocks]
            return CodeResult(exit_code=0, output=world.done[-1])

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

        async def restart(self) -> None: ...

    coder = AssistantAgent("coder", run.model("coder"), system_message="You are coder")
    runner = CodeAgent("runner", run.executor("runner", Notes()))
    return MagenticOneGroupChat([coder, runner], model_client=run.model("orchestrator"))


def society(world: World, run: Run) -> AutoGenTeam:
    """A team inside an agent."""
    inner = RoundRobinGroupChat([world.agent(run, "writer"), run.reviewer("human")], max_turns=2)
    mind = SocietyOfMindAgent("society", team=inner, model_client=run.model("society"))
    return RoundRobinGroupChat([mind, world.agent(run, "clerk")], max_turns=2)


def nested(world: World, run: Run) -> AutoGenTeam:
    """A team as a participant of a team."""
    inner = RoundRobinGroupChat(
        [world.agent(run, "writer"), run.reviewer("human")], max_turns=2, name="inner", description="asks"
    )
    return RoundRobinGroupChat([inner, world.agent(run, "clerk")], max_turns=2)


def gated(world: World, run: Run) -> AutoGenTeam:
    """Every call is asked about: approved, approved twice, changed, rejected, and the rejected one made again."""

    async def order(item: str) -> str:
        """Order one."""
        world.done.append(f"ordered {item}")
        return world.done[-1]

    tools = [run.tools("buyer", [order, run.ask_human("buyer")])]
    buyer = world.agent(run, "buyer", max_tool_iterations=5, more_tools=tools)
    return RoundRobinGroupChat([buyer], max_turns=1)


BUILDERS: list[Callable[[World, Run], AutoGenTeam]] = [
    round_robin,
    streaming,
    selector,
    swarm,
    graph_parallel,
    graph_humans,
    graph_cycle,
    magentic_one,
    magentic_one_code,
    society,
    nested,
    gated,
]


def team(build: Callable[[World, Run], AutoGenTeam], world: World) -> Team:
    """The team of this kind, working on this world."""
    return Team(build.__name__, "", lambda run: build(world, run), world.conclude)
