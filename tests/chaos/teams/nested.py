"""A team in a team: the inner one asks people, the outer one does what they approved."""

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import TextMentionTermination
from autogen_agentchat.teams import RoundRobinGroupChat

from countersign.domain.requests import Status
from countersign.frameworks.autogen.people.decision_messages import DecisionTermination
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.chaos.chaos_agents import Doer


def build(run: Run) -> AutoGenTeam:
    over = frozenset(Status) - {Status.PENDING, Status.ANSWERED}
    inner = RoundRobinGroupChat(
        [
            AssistantAgent("writer", model_client=run.model("writer")),
            run.reviewer("reviewer", title="Do this, from inside?"),
        ],
        name="inner",
        description="writes, and asks people",
        termination_condition=DecisionTermination(over),
    )
    return RoundRobinGroupChat(
        [inner, Doer(run)], termination_condition=TextMentionTermination("Heard:", sources=["doer"])
    )


TEAM = Team("nested", "asks from within a team in a team", build)
