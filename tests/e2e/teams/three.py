"""S17: two agents of three run free, and what the third does is asked about."""

from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from agents.context import RunContext
from agents.demo_model import Use, turns
from agents.teams import Team
from tests.e2e.playing import conclude, done, name

AGENTS = ("finder", "writer", "publisher")


def build(run: RunContext) -> AutoGenTeam:
    async def put(where: str, by: str) -> str:
        """Put it there."""
        return done(run, "put", where=where, by=by)

    three = [
        AssistantAgent(
            agent,
            run.model(agent),
            workbench=run.tools(agent, [put], ask=agent == "publisher"),
            reflect_on_tool_use=True,
        )
        for agent in AGENTS
    ]
    return RoundRobinGroupChat(list(three), max_turns=3)


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[Use]:
    if turns(messages) == 0:
        return [Use("put", {"where": f"{name(messages)}/{agent}", "by": agent})]
    return f"The {agent} is finished."


TEAM = Team("three", "finds, writes, and publishes after consent", build, conclude, demo=play)
