"""A team whose action never ends: for a worker that is killed while it acts."""

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat

from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Team


def build(run: Run) -> AutoGenTeam:
    writer = AssistantAgent("writer", model_client=run.model("writer"))
    return RoundRobinGroupChat([writer], termination_condition=MaxMessageTermination(2))


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    async def act() -> str:
        with (run.settings.data_dir / "acted").open("a") as acted:
            acted.write("x")
        await asyncio.Event().wait()
        return "never"

    return Conclusion(await run.step("order", act, content="10 boxes"))


TEAM = Team("hold", "acts and never ends", build, conclude)
