"""S20: a critic with a model of its own looks first; people see what it let through."""

from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage
from autogen_agentchat.teams import SelectorGroupChat
from autogen_core.models import LLMMessage

from agents.answers import DecisionTermination
from agents.context import RunContext
from agents.demo_model import turns
from agents.teams import Team
from bot.core.requests import Status
from tests.e2e.playing import conclude, heard, name


def build(run: RunContext) -> AutoGenTeam:
    writer, critic = (AssistantAgent(agent, model_client=run.model(agent)) for agent in ("writer", "critic"))
    return SelectorGroupChat(
        [writer, critic, run.reviewer("editor", title="Print this?")],
        model_client=run.model("selector"),  # never asked: following always knows
        selector_func=following,
        termination_condition=DecisionTermination({Status.APPROVED, Status.REJECTED}, sources=["editor"]),
    )


def following(thread: Sequence[BaseAgentEvent | BaseChatMessage]) -> str:
    last = [m for m in thread if isinstance(m, BaseChatMessage)][-1]
    if last.source == "writer":
        return "critic"
    return "editor" if last.source == "critic" and last.to_text().startswith("GOOD") else "writer"


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    said = heard(messages)
    if agent == "writer":
        return f"Draft {turns(messages) + 1} of {name(messages)}."
    return f"GOOD: {said}" if "Draft 1 " not in said else "WEAK: it names no source."


TEAM = Team("critic", "writes, criticises, and has it judged", build, conclude, demo=play)
