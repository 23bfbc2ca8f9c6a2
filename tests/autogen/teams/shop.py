"""A team whose idempotent tool never returns the first time: for a worker that is killed while it runs."""

import asyncio

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat

from countersign.autogen.action_outcomes import Conclusion
from countersign.autogen.run_context import RunContext
from countersign.autogen.team import Team


def build(run: RunContext) -> AutoGenTeam:
    writer = AssistantAgent("writer", model_client=run.model("writer"))
    return RoundRobinGroupChat([writer, run.reviewer()], termination_condition=MaxMessageTermination(3))


async def conclude(run: RunContext, result: TaskResult) -> Conclusion:
    async def look(item: str, idempotency_key: str) -> str:
        """How many there are."""
        path = run.settings.data_dir / "looked"
        with path.open("a") as looked:
            looked.write(f"{idempotency_key}\n")
        if len(path.read_text().splitlines()) == 1:
            await asyncio.Event().wait()
        return f"12 {item}"

    tools = run.tools("clerk", [look], ask=False, idempotent=True)
    return Conclusion((await tools.call_tool("look", {"item": "pens"})).to_text())


TEAM = Team("shop", "looks and never comes back", build, conclude)
