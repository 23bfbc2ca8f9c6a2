"""A workflow of Microsoft Agent Framework that asks twice."""

from agent_framework import Executor, WorkflowBuilder, WorkflowContext, handler, response_handler

from countersign.frameworks.agent_framework.team import WorkflowTeam
from countersign.teams import Run, Team

from ._shop import note, stop


class Deployer(Executor):
    """Asks where to, and whether."""

    def __init__(self, run: Run) -> None:
        super().__init__("deployer")
        self._run = run

    @handler
    async def start(self, version: str, ctx: WorkflowContext) -> None:
        await ctx.request_info({"question": f"Deploy {version} where?", "options": ["staging", "production"]}, str)

    @response_handler
    async def chosen(self, asked: dict[str, object], place: str, ctx: WorkflowContext) -> None:
        await ctx.request_info(f"Deploy to {place}?", bool)

    @response_handler
    async def decided(self, asked: str, yes: bool, ctx: WorkflowContext[str, str]) -> None:
        note(self._run, "done", "deployed" if yes else "left")
        stop(self._run, "after the decision")
        await ctx.yield_output(f"{asked} {'Deployed.' if yes else 'Left as it is.'}")


def build(run: Run) -> WorkflowTeam:
    return WorkflowTeam(run, WorkflowBuilder(name="deploy", start_executor=Deployer(run)).build())


TEAM = Team("deploys_af", "deploys", build)
