"""A conversation with a human proxy in each kind of team, for the tests that stop it, lose it and rebuild it."""

from collections.abc import Callable, Sequence

from autogen_agentchat.agents import AssistantAgent, SocietyOfMindAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage
from autogen_agentchat.teams import (
    DiGraphBuilder,
    GraphFlow,
    MagenticOneGroupChat,
    RoundRobinGroupChat,
    SelectorGroupChat,
    Swarm,
)
from autogen_agentchat.tools import AgentTool, TeamTool

from countersign.frameworks.autogen.people.conversation import ConversationOver, over_in
from countersign.frameworks.autogen.people.human_input_modes import HumanInputMode, any_of, every, last_line, when_said
from countersign.frameworks.autogen.run_context import Run
from tests.autogen.rebuild_teams import SCRIPT, World

FINISHED = last_line("TERMINATE")
SCRIPT |= {
    "talker": ["Step one.", "Step two.", "Step three.\nTERMINATE", "Step four.\nTERMINATE", "Step five.\nTERMINATE"],
    "hander": [[("transfer_to_human", {})], "All is done.\nTERMINATE", [("transfer_to_human", {})], "Never said."],
    "asker": [[("human", {"task": "May I?"})], "The human was asked. DONE"],
    "caller": [[("talk", {"task": "Talk it over."})], "They have talked. DONE"],
}


def talker(run: Run) -> AssistantAgent:
    return AssistantAgent("talker", model_client=run.model("talker"), system_message="You are talker")


def round_robin(world: World, run: Run) -> RoundRobinGroupChat:
    people = run.reviewer("human", mode=HumanInputMode.ALWAYS, is_termination_msg=FINISHED)
    return RoundRobinGroupChat([talker(run), people], termination_condition=ConversationOver())


def adaptive(world: World, run: Run) -> AutoGenTeam:
    """Asks at a word."""
    policy = any_of(when_said("two"), every(9))
    people = run.reviewer("human", mode=policy, is_termination_msg=FINISHED)
    return RoundRobinGroupChat([talker(run), people], termination_condition=ConversationOver())


def selector(world: World, run: Run) -> AutoGenTeam:
    def other(thread: Sequence[BaseAgentEvent | BaseChatMessage]) -> str:
        return "human" if thread[-1].source == "talker" else "talker"

    people = run.reviewer("human", mode=HumanInputMode.TERMINATE, is_termination_msg=FINISHED)
    return SelectorGroupChat(
        [talker(run), people],
        model_client=run.model("selector"),
        selector_func=other,
        termination_condition=ConversationOver(),
    )


def swarm(world: World, run: Run) -> AutoGenTeam:
    hander = AssistantAgent(
        "hander", model_client=run.model("hander"), system_message="You are hander", handoffs=["human"]
    )
    people = run.reviewer("human", mode=HumanInputMode.ALWAYS, is_termination_msg=FINISHED)
    return Swarm([hander, people], termination_condition=ConversationOver())


def graph(world: World, run: Run) -> AutoGenTeam:
    """Back to the talker until the conversation is over, and then to somebody who comes after it."""
    one, people = talker(run), run.reviewer("human", mode=HumanInputMode.ALWAYS, is_termination_msg=FINISHED)
    merger = world.agent(run, "merger", workbench=None)
    builder = DiGraphBuilder().add_node(one, activation="any").add_node(people).add_node(merger)
    builder.add_edge(one, people)
    builder.add_edge(people, one, condition=lambda message: over_in(message) is None)
    builder.add_edge(people, merger, condition=lambda message: over_in(message) is not None)
    builder.set_entry_point(one)
    return GraphFlow([one, people, merger], builder.build(), termination_condition=MaxMessageTermination(20))


def magentic_one(world: World, run: Run) -> AutoGenTeam:
    people = run.reviewer("human", mode=HumanInputMode.ALWAYS)
    return MagenticOneGroupChat(
        [world.agent(run, "writer"), people, world.agent(run, "clerk")],
        model_client=run.model("orchestrator"),
        termination_condition=ConversationOver(),
    )


def society(world: World, run: Run) -> AutoGenTeam:
    """The conversation is a team inside an agent."""
    mind = SocietyOfMindAgent("society", team=round_robin(world, run), model_client=run.model("society"))
    return RoundRobinGroupChat([mind], max_turns=1)


def agent_tool(world: World, run: Run) -> AutoGenTeam:
    """A model asks the human as a tool."""
    people = run.reviewer("human", mode=HumanInputMode.ALWAYS)
    asker = AssistantAgent(
        "asker",
        model_client=run.model("asker"),
        system_message="You are asker",
        tools=[AgentTool(people, return_value_as_last_message=True)],
        reflect_on_tool_use=True,
    )
    return RoundRobinGroupChat([asker], max_turns=1)


def team_tool(world: World, run: Run) -> AutoGenTeam:
    """The conversation is a tool of a model."""
    inner = round_robin(world, run)
    caller = AssistantAgent(
        "caller",
        model_client=run.model("caller"),
        system_message="You are caller",
        tools=[TeamTool(inner, name="talk", description="Talks it over", return_value_as_last_message=True)],
        reflect_on_tool_use=True,
    )
    return RoundRobinGroupChat([caller], max_turns=1)


BUILDERS: list[Callable[[World, Run], AutoGenTeam]] = [
    round_robin,
    adaptive,
    selector,
    swarm,
    graph,
    magentic_one,
    society,
    agent_tool,
    team_tool,
]
