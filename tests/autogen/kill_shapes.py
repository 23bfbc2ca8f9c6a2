"""Shapes of teams that are killed, and stopped, at every entry of their journals.

Each is small, scripted and made of real AutoGen. `left` in an item marks a call that the team itself does not wait for.
"""

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from autogen_agentchat.agents import AssistantAgent, BaseChatAgent, SocietyOfMindAgent
from autogen_agentchat.base import ChatAgent, Response
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination, TokenUsageTermination
from autogen_agentchat.messages import BaseChatMessage, TextMessage
from autogen_agentchat.teams import DiGraphBuilder, GraphFlow, RoundRobinGroupChat, Swarm
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import CancellationToken
from autogen_core.memory import ListMemory, MemoryContent
from autogen_core.models import UserMessage
from autogen_core.tools import FunctionTool, StaticWorkbench, ToolSchema

from countersign.domain.actions import Action
from countersign.frameworks.autogen.run_context import Run
from tests.autogen.rebuild_shapes import merged
from tests.autogen.rebuild_teams import SCRIPT, SLOW, World

BRANCHES = 40
_DEEP = 5

SCRIPT.update(
    {
        "boss": [[("consult", {"about": "pens"})], "Consulted.", "Not again."],
        "asker": [[("consult", {"about": "pens"})], "Asked inside.", "Not again."],
        "gambler": [[("roll", {"about": "pens"})], "Rolled.", "Not again."],
        "leader": [[("consult", {"about": "pens"}), ("advise", {"about": "pens"})], "Both advised.", "Not again."],
        "inner": ["Take pens.", "Take ink.", "Take both."],
        "adviser": ["I advise pens.", "I advise ink."],
        "expert": [[("look", {"item": "pens"})], "An expert agrees.", "Still."],
        "miser": [[("order", {"item": "paper"})], [("order", {"item": "paper"})], "Then no paper."],
        "spender": [[("look", {"item": "ink"})], "Spent.", "Not at all."],
        "mixed": [[("order", {"item": item}) for item in ("pens", "ink", "paper")], "All three are settled."],
        "steward": [[("transfer_to_user", {})], [("transfer_to_user", {})], [("transfer_to_clerk", {})]],
        "poet": ["First try.", "Second try.", "DONE"],
        "browser2": [[("look", {"item": "pens"})], [("order", {"item": "pens"})], "Found."],
        "talker": [[("look", {"item": "pens"})], "Talked of pens and of much else."],
        "gossip": [[("order", {"item": "ink"})], "Talked of ink and of much else."],
        "society": ["The society has agreed on 12 pens."],
        **{f"b{number}": [f"Branch {number} agrees."] for number in range(BRANCHES)},
    }
)
SLOW.update({"talker": 0.002, "gossip": 0.003, "expert": 0.002, "adviser": 0.001, "miser": 0.001, "spender": 0.002})


class Speaker(BaseChatAgent):
    """Says what its function says."""

    def __init__(self, name: str, say: Callable[[CancellationToken], Any]) -> None:
        super().__init__(name, "says something")
        self._say = say

    @property
    def produced_message_types(self) -> Sequence[type[BaseChatMessage]]:
        return (TextMessage,)

    async def on_messages(self, messages: Sequence[BaseChatMessage], cancellation_token: CancellationToken) -> Response:
        said = await self._say(cancellation_token)
        return Response(chat_message=TextMessage(content=said, source=self.name))

    async def on_reset(self, cancellation_token: CancellationToken) -> None: ...


def leaver(
    world: World,
    run: Run,
    *,
    idempotent: bool = False,
    ask: bool = False,
    early: bool = False,
    hurried: bool = False,
) -> Speaker:
    """An agent that waits only a moment for a tool that is under way, and then orders something else.

    The moment begins with the tool. Once it was left, it is over when it is called again; if `early`, once it was
    called; if `hurried`, always.
    """

    clocks: list[asyncio.Timeout] = []

    async def post(item: str) -> str:
        """Post one, slowly."""
        clocks[-1].reschedule(asyncio.get_running_loop().time() + 0.005)
        await asyncio.sleep(0.03)
        world.done.append(f"posted {item}")
        return world.done[-1]

    async def order(item: str) -> str:
        """Order one."""
        world.done.append(f"ordered {item}")
        return world.done[-1]

    slow = run.tools("leaver", [post], ask=ask, idempotent=idempotent)
    quick = run.tools("leaver", [order], ask=False)
    journal = run.held.journal

    async def say(token: CancellationToken) -> str:
        over = any(entry.left or early for entry in journal.of_kind("tool").values())
        with suppress(TimeoutError):
            async with asyncio.timeout(0 if over or hurried else None) as clock:
                clocks.append(clock)
                await slow.call_tool("post", {"item": "left"}, token)
        return (await quick.call_tool("order", {"item": "stamps"}, token)).to_text()

    return Speaker("leaver", say)


def left_call(world: World, run: Run) -> AutoGenTeam:
    """A call under way is left by the agent that made it."""
    return RoundRobinGroupChat([leaver(world, run), run.reviewer("human"), world.agent(run, "merger")], max_turns=3)


def left_in_a_branch(world: World, run: Run) -> AutoGenTeam:
    """The same beside a branch that works."""
    branches: list[list[ChatAgent]] = [[leaver(world, run)], [world.agent(run, "legal")]]
    return merged(world, run, branches)


def left_idempotent(world: World, run: Run) -> AutoGenTeam:
    """The call that is left may be made again."""
    return RoundRobinGroupChat([leaver(world, run, idempotent=True), run.reviewer("human")], max_turns=2)


def left_approved(world: World, run: Run) -> AutoGenTeam:
    """The call that is left was approved."""
    return RoundRobinGroupChat([leaver(world, run, ask=True), run.reviewer("human")], max_turns=2)


def left_early(world: World, run: Run) -> AutoGenTeam:
    """The call is left in doubt, or before it is made again."""
    return RoundRobinGroupChat([leaver(world, run, early=True), run.reviewer("human")], max_turns=2)


def left_at_the_gate(world: World, run: Run) -> AutoGenTeam:
    """The call is left before anything of it is recorded."""
    return RoundRobinGroupChat([leaver(world, run, hurried=True), run.reviewer("human")], max_turns=4)


def left_model(world: World, run: Run) -> AutoGenTeam:
    """An answer of a model is left, then the same is asked again."""
    model = run.model("thinker")

    async def hesitates(messages: Any) -> None:
        if str(messages[-1].content).endswith("left"):
            await asyncio.sleep(0.03)

    world.model.before["thinker"] = hesitates
    SCRIPT["thinker"] = ["So I think."]

    async def say(token: CancellationToken) -> str:
        said = []
        for what in ("pens, left", "ink"):
            try:
                async with asyncio.timeout(0.01 if "left" in what else None):
                    asked = [UserMessage(content=f"You are thinker of {what}", source="user")]
                    said.append(str((await model.create(_as("thinker", asked), cancellation_token=token)).content))
            except TimeoutError:
                said.append("Too late.")
        return " ".join(said)

    return RoundRobinGroupChat([Speaker("thinker", say), run.reviewer("human")], max_turns=2)


def _as(agent: str, messages: Sequence[Any]) -> list[Any]:
    """Messages that the scripted model takes for those of the agent."""
    return [UserMessage(content=f"You are {agent}", source="user"), *messages]


def nested_human(world: World, run: Run) -> AutoGenTeam:
    """A tool runs a team with a human of its own; outside, another human judges."""

    async def consult(about: str) -> str:
        """Consult the others."""
        inner = RoundRobinGroupChat([_adviser(run), run.reviewer("insider")], max_turns=2)
        result = await inner.run(task=about, cancellation_token=run.token)
        return f"They say {len(result.messages)} things."

    return _consulting(world, run, "boss", consult, idempotent=True)


def nested_human_once(world: World, run: Run) -> AutoGenTeam:
    """The same, and the tool may not be called again by itself."""

    async def consult(about: str) -> str:
        """Consult the others."""
        inner = RoundRobinGroupChat([_adviser(run), run.reviewer("insider")], max_turns=2)
        result = await inner.run(task=about, cancellation_token=run.token)
        return f"They say {len(result.messages)} things."

    return _consulting(world, run, "boss", consult, idempotent=False)


def _consulting(world: World, run: Run, name: str, tool: Callable[..., Any], *, idempotent: bool) -> AutoGenTeam:
    """An agent with the tool, and outside a human who judges an agent of the name that one inside has."""
    tools = run.tools(name, [tool], ask=False, idempotent=idempotent)
    boss = world.agent(run, name, workbench=[tools], reflect_on_tool_use=True)
    agents: list[ChatAgent | AutoGenTeam] = [boss, _adviser(run), run.reviewer("human")]
    return RoundRobinGroupChat(agents, max_turns=3)


def _adviser(run: Run) -> AssistantAgent:
    """An agent without tools, whose name and words are the same inside and outside."""
    return AssistantAgent("inner", run.model("inner"), system_message="You are inner")


def nested_call(world: World, run: Run) -> AutoGenTeam:
    """An agent inside a tool makes the call that another of the same name makes outside; people decide on both."""

    async def order(item: str) -> str:
        """Order one."""
        world.done.append(f"ordered {item}")
        return world.done[-1]

    def spendthrift() -> AssistantAgent:
        bench = [run.tools("spendthrift", [order], ask=True)]
        return AssistantAgent(
            "spendthrift", run.model("spendthrift"), system_message="You are spendthrift", workbench=bench
        )

    async def consult(about: str) -> str:
        """Consult the others."""
        result = await RoundRobinGroupChat([spendthrift()], max_turns=1).run(task=about, cancellation_token=run.token)
        return f"They say {len(result.messages)} things."

    SCRIPT["spendthrift"] = [[("order", {"item": "pens"})], "Not again."]
    tools = run.tools("boss", [consult], ask=False, idempotent=True)
    boss = world.agent(run, "boss", workbench=[tools], reflect_on_tool_use=True)
    return RoundRobinGroupChat([boss, spendthrift(), run.reviewer("human")], max_turns=3)


def one_human(world: World, run: Run) -> AutoGenTeam:
    """One human is asked inside a tool and outside, about the same agent."""
    human = run.human("human")

    async def consult(about: str) -> str:
        """Consult the human."""
        words = TextMessage(content=f"Which {about}?", source="asker")
        return (await human.questions.ask(human, words, None)).status

    tools = run.tools("asker", [consult], ask=False, idempotent=True)
    asker = world.agent(run, "asker", workbench=[tools], reflect_on_tool_use=True)
    return RoundRobinGroupChat([asker, run.reviewer("human"), world.agent(run, "merger")], max_turns=3)


def clock_and_luck(world: World, run: Run) -> AutoGenTeam:
    """The clock, luck and a model of one name, inside a tool and outside."""
    model, outside = run.model("adviser"), world.lucky

    async def lucky(token: CancellationToken | None = None) -> str:
        asked = [UserMessage(content="You are adviser", source="user")]
        said = (await model.create(_as("adviser", asked))).content
        return f"{await run.now()} {run.random().random()} {said}"

    async def roll(about: str) -> str:
        """Roll the dice."""
        await lucky()
        return "Rolled."

    async def say(token: CancellationToken) -> str:
        outside.append(await lucky())
        return "Luck is with us." if len(set(outside)) == 1 else f"Luck has changed: {outside}"

    tools = run.tools("gambler", [roll], ask=False, idempotent=True)
    gambler = world.agent(run, "gambler", workbench=[tools], reflect_on_tool_use=True)
    return RoundRobinGroupChat([gambler, Speaker("fate", say), run.reviewer("human")], max_turns=3)


def same_names(world: World, run: Run) -> AutoGenTeam:
    """Two tools at once, each with a team of agents of the same names, and a human of the same name."""

    def nested(name: str) -> FunctionTool:
        async def act(about: str) -> str:
            inner = RoundRobinGroupChat([_adviser(run), run.reviewer("insider")], max_turns=2)
            result = await inner.run(task=about, cancellation_token=run.token)
            return f"{name}: {result.messages[-1].to_text()[:9]}"

        return FunctionTool(act, "Asks the others.", name=name)

    tools = run.tools("leader", [nested("consult"), nested("advise")], ask=False, idempotent=True)
    leader = world.agent(run, "leader", workbench=[tools], reflect_on_tool_use=True)
    return RoundRobinGroupChat([leader, _adviser(run), run.reviewer("insider")], max_turns=3)


def refused_again(world: World, run: Run) -> AutoGenTeam:
    """A call that people rejected is made again, and denied at once, beside two branches that work."""

    async def order(item: str) -> str:
        """Order one."""
        world.done.append(f"ordered {item}")
        return world.done[-1]

    tools = [run.tools("miser", [order], ask=True)]
    miser = world.agent(run, "miser", more_tools=tools, max_tool_iterations=4)
    spender = world.agent(run, "spender", max_tool_iterations=3)
    return merged(world, run, [[miser], [spender], [world.agent(run, "legal")]])


def as_they_come(world: World, run: Run) -> AutoGenTeam:
    """An agent takes down the results of calls at once as they come: a refusal that holds again, and two looks."""

    async def order(item: str) -> str:
        """Order one."""
        raise AssertionError("It was rejected.")

    async def see(item: str) -> str:
        """See one."""
        return f"{item} seen"

    tools = run.tools("collector", [order, see], ask={"order": Action.ASK, "see": Action.ALLOW})
    model = run.model("collector")
    SCRIPT["collector"] = ["Collected."]

    async def say(token: CancellationToken) -> str:
        came: list[str] = []

        async def call(name: str, item: str) -> None:
            result = await tools.call_tool(name, {"item": item}, token)
            came.append("refused" if result.is_error else result.to_text())

        await call("order", "paper")
        await asyncio.gather(call("order", "paper"), call("see", "a"), call("see", "b"))
        asked = _as("collector", [UserMessage(content=", ".join(came), source="user")])
        return str((await model.create(asked, cancellation_token=token)).content)

    return RoundRobinGroupChat([Speaker("collector", say), run.reviewer("human")], max_turns=2)


def agent_tools(world: World, run: Run) -> AutoGenTeam:
    """Two agents that are tools, called at once."""
    expert = world.agent(run, "expert", max_tool_iterations=3)
    adviser = world.agent(run, "adviser")
    SCRIPT["chair"] = [[("expert", {"task": "pens"}), ("adviser", {"task": "pens"})], "The chair has heard both."]
    tools = run.tools("chair", [AgentTool(expert), AgentTool(adviser)], ask=False)
    chair = world.agent(run, "chair", workbench=[tools], reflect_on_tool_use=True)
    return RoundRobinGroupChat([chair, run.reviewer("human"), world.agent(run, "merger")], max_turns=3)


def agent_tool_twice(world: World, run: Run) -> AutoGenTeam:
    """One agent that is a tool is called twice in one turn: the second call sees the first one's conversation."""
    expert = world.agent(run, "expert", max_tool_iterations=3)
    SCRIPT["chair"] = [[("expert", {"task": "pens"}), ("expert", {"task": "ink"})], "The chair has heard it twice."]
    tools = run.tools("chair", [AgentTool(expert, return_value_as_last_message=True)], ask=False)
    chair = world.agent(run, "chair", workbench=[tools], reflect_on_tool_use=True)
    return RoundRobinGroupChat([chair, run.reviewer("human"), world.agent(run, "merger")], max_turns=3)


def team_tool(world: World, run: Run) -> AutoGenTeam:
    """A team with a human of its own is a tool, in one of two branches."""
    inner = RoundRobinGroupChat([world.agent(run, "inner"), run.reviewer("insider")], max_turns=2)
    SCRIPT["chair"] = [[("panel", {"task": "pens"})], "The chair has heard them."]
    tools = run.tools("chair", [TeamTool(inner, "panel", "Asks the panel.")], ask=False)
    chair = world.agent(run, "chair", workbench=[tools], reflect_on_tool_use=True)
    return merged(world, run, [[chair], [world.agent(run, "legal")]])


def to_the_user_and_back(world: World, run: Run) -> AutoGenTeam:
    """Handed to the user twice, and back."""
    steward = world.agent(run, "steward", handoffs=["user", "clerk"], workbench=None)
    clerk = world.agent(run, "clerk", max_tool_iterations=2)
    done = TextMentionTermination("DONE", sources=["clerk"])
    return Swarm([steward, run.reviewer("user"), clerk], termination_condition=done)


def loop_on_text(world: World, run: Run) -> AutoGenTeam:
    """Back to the writer until it says a word."""

    def done(message: BaseChatMessage) -> bool:
        return "DONE" in message.to_text()

    poet, human, clerk = world.agent(run, "poet"), run.reviewer("human"), world.agent(run, "clerk")
    graph = DiGraphBuilder().add_node(poet, activation="any").add_node(human).add_node(clerk)
    graph.add_edge(poet, human, condition=lambda message: not done(message)).add_edge(human, poet)
    graph.add_edge(poet, clerk, condition=done).set_entry_point(poet)
    return GraphFlow([poet, human, clerk], graph.build(), termination_condition=MaxMessageTermination(20))


def decided_in_parallel(world: World, run: Run) -> AutoGenTeam:
    """Refused, edited and approved at once, and a model that reflects on it."""

    async def order(item: str) -> str:
        """Order one."""
        world.done.append(f"ordered {item}")
        return world.done[-1]

    tools = [run.tools("mixed", [order], ask=True)]
    mixed = world.agent(run, "mixed", more_tools=tools, reflect_on_tool_use=True)
    return merged(world, run, [[mixed], [world.agent(run, "legal")]])


def expired_at_the_gate(world: World, run: Run) -> AutoGenTeam:
    """Nobody answers in time, to a call and then to a human's question, beside a call that is approved."""

    async def order(item: str) -> str:
        """Order one."""
        world.done.append(f"ordered {item}")
        return world.done[-1]

    SCRIPT["hopeful"] = [[("order", {"item": "silver"}), ("order", {"item": "pens"})], "No silver, but pens.", "Gone."]
    tools = [run.tools("hopeful", [order], ask=True)]
    hopeful = world.agent(run, "hopeful", more_tools=tools, reflect_on_tool_use=True)
    return RoundRobinGroupChat([hopeful, run.reviewer("human"), world.agent(run, "merger")], max_turns=3)


def streams(world: World, run: Run) -> AutoGenTeam:
    """Branches whose models stream."""
    more: dict[str, Any] = {"model_client_stream": True, "reflect_on_tool_use": True}
    return merged(world, run, [[world.agent(run, name, **more)] for name in ("talker", "gossip")])


class Shuffled(StaticWorkbench):
    """Lists its tools in another order, with other descriptions of them and their arguments, each time."""

    _COUNT = itertools.count()

    async def list_tools(self) -> list[ToolSchema]:
        count = next(self._COUNT)
        listed = await super().list_tools()
        for tool in listed:
            tool["description"] = f"{tool['name']} ({count})"
            tool["parameters"]["properties"]["item"]["description"] = f"What it is about ({count})"
        return listed[:: -1 if count % 2 else 1]


def changing_tools(world: World, run: Run) -> AutoGenTeam:
    """A server lists its tools differently each time."""

    async def look(item: str) -> str:
        """Look."""
        return f"{item} all over"

    async def order(item: str) -> str:
        """Order one."""
        world.done.append(f"ordered {item}")
        return world.done[-1]

    bench = Shuffled([FunctionTool(look, "Look."), FunctionTool(order, "Order one.")])
    tools = run.tools("browser2", bench, ask={"look": Action.ALLOW, "order": Action.ASK})
    browser = world.agent(run, "browser2", workbench=[tools], max_tool_iterations=3)
    return RoundRobinGroupChat([browser, run.reviewer("human"), world.agent(run, "merger")], max_turns=3)


def memory(world: World, run: Run) -> AutoGenTeam:
    """A memory that one agent fills, and another reads."""
    kept = ListMemory()

    async def say(token: CancellationToken) -> str:
        await kept.add(MemoryContent(content="Somebody likes ink.", mime_type="text/plain"))
        return "Kept in mind."

    writer = world.agent(run, "writer", reflect_on_tool_use=True)
    clerk = world.agent(run, "clerk", memory=[kept], max_tool_iterations=2)
    return RoundRobinGroupChat([writer, Speaker("keeper", say), run.reviewer("human"), clerk], max_turns=4)


def forty_branches(world: World, run: Run) -> AutoGenTeam:
    """Forty agents at once."""
    agents = [AssistantAgent(f"b{n}", run.model(f"b{n}"), system_message=f"You are b{n}") for n in range(BRANCHES)]
    return merged(world, run, [[agent] for agent in agents])


def deep_society(world: World, run: Run) -> AutoGenTeam:
    """Societies in societies, with a human in the innermost."""
    agents: list[ChatAgent | AutoGenTeam] = [world.agent(run, "writer"), run.reviewer("human")]
    for depth in range(_DEEP):
        inner = RoundRobinGroupChat(agents, max_turns=len(agents), name=f"team{depth}")
        agents = [SocietyOfMindAgent(f"society{depth}", team=inner, model_client=run.model(f"society{depth}"))]
    return RoundRobinGroupChat([*agents, world.agent(run, "clerk")], max_turns=2)


def tokens(world: World, run: Run) -> AutoGenTeam:
    """Ends by the tokens that its models used."""
    writer = world.agent(run, "writer", reflect_on_tool_use=True)
    limit = TokenUsageTermination(max_total_token=6)
    return RoundRobinGroupChat([writer, run.reviewer("human")], termination_condition=limit, max_turns=9)


KILL_SHAPES: Mapping[str, Callable[[World, Run], AutoGenTeam]] = {
    build.__name__: build
    for build in (
        left_call,
        left_in_a_branch,
        left_idempotent,
        left_approved,
        left_early,
        left_at_the_gate,
        left_model,
        nested_human,
        nested_human_once,
        nested_call,
        one_human,
        clock_and_luck,
        same_names,
        refused_again,
        as_they_come,
        agent_tools,
        agent_tool_twice,
        team_tool,
        to_the_user_and_back,
        loop_on_text,
        decided_in_parallel,
        expired_at_the_gate,
        streams,
        changing_tools,
        memory,
        forty_branches,
        deep_society,
        tokens,
    )
}
