"""A workflow of Microsoft Agent Framework whose one agent is that of the team `refunds_af`."""

from agent_framework import AgentExecutor, WorkflowBuilder

from countersign.frameworks.agent_framework.team import WorkflowTeam
from countersign.teams import Run, Team

from .refunds_af import clerk


def build(run: Run) -> WorkflowTeam:
    start = AgentExecutor(clerk(run), id="clerk")
    return WorkflowTeam(run, WorkflowBuilder(name="clerk", start_executor=start).build())


TEAM = Team("refunds_wf", "pays back", build)
