"""A model writes, people judge as often as they like, and what they approve is done after the team has ended."""

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat

from countersign.domain.requests import Status
from countersign.frameworks.autogen.people.decision_messages import DecisionTermination, decision_in
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.chaos.side_effects import act, hear


def build(run: Run) -> AutoGenTeam:
    writer = AssistantAgent("writer", model_client=run.model("writer"))
    over = frozenset(Status) - {Status.PENDING, Status.ANSWERED}
    return RoundRobinGroupChat(
        [writer, run.reviewer("reviewer", title="Do this?")], termination_condition=DecisionTermination(over)
    )


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    decision = decision_in(result.messages[-1])
    assert decision is not None
    hear(run, decision)
    return Conclusion(f"{decision.request} {await act(run, decision)}")


TEAM = Team("single", "asks once, and does what was approved", build, conclude)
