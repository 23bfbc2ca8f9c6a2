"""S6: a worker proxy that never asks and an approver that signs off, among a researcher and a writer."""

from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from agents.answers import DecisionTermination
from agents.context import RunContext
from agents.demo_model import reviewers_words, turns
from agents.modes import Mode
from agents.teams import Team
from bot.core.requests import Status
from tests.e2e.playing import conclude, heard, name


def build(run: RunContext) -> AutoGenTeam:
    researcher, writer = (AssistantAgent(agent, model_client=run.model(agent)) for agent in ("researcher", "writer"))
    worker = run.reviewer("worker", mode=Mode.NEVER, default_auto_reply="Write it up.")
    approver = run.reviewer("approver", title="Sign this off?")
    over = DecisionTermination({Status.APPROVED, Status.REJECTED, Status.EXPIRED}, sources=["approver"])
    return RoundRobinGroupChat([researcher, worker, writer, approver], termination_condition=over)


def play(agent: str, messages: Sequence[LLMMessage]) -> str:
    if agent == "researcher":
        wished = f" about {reviewers_words(heard(messages))}" if turns(messages) else ""
        return f"Found {turns(messages) + 1} sources{wished}."
    said = " ".join(str(m.content) for m in messages if getattr(m, "source", "") == "researcher")
    return f"Report of {name(messages)}: {said}"


TEAM = Team("pair", "finds out, writes up, and has it signed off", build, conclude, demo=play)
