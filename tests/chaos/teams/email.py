"""The real email team, with an ear beside it."""

from autogen_agentchat.base import TaskResult

from agents.teams import email
from countersign.frameworks.autogen.people.decision_messages import decision_in
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team
from tests.chaos.side_effects import hear


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    if (decision := decision_in(result.messages[-1])) is not None:
        hear(run, decision)
    return await email.conclude(run, result)


TEAM = Team("email", email.TEAM.line, email.build, conclude, demo=email.TEAM.demo)
