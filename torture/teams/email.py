"""The real email team, with an ear beside it."""

from autogen_agentchat.base import TaskResult

from agents.answers import decision_in
from agents.context import RunContext
from agents.team import Conclusion, Team
from agents.teams import email
from torture.acting import hear


async def conclude(run: RunContext, result: TaskResult) -> Conclusion:
    if (decision := decision_in(result.messages[-1])) is not None:
        hear(run, decision)
    return await email.conclude(run, result)


TEAM = Team("email", email.TEAM.line, email.build, conclude)
