"""S8: a plan, PROCEED or CANCEL, and another team that does exactly the approved plan."""

from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.conditions import MaxMessageTermination
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from agents.answers import DecisionTermination, decision_in
from agents.context import RunContext
from agents.demo_model import Use, turns
from agents.teams import Conclusion, Team, last_words
from bot.core.requests import Status
from tests.e2e.playing import done, heard, name, taken_down


def build(run: RunContext) -> AutoGenTeam:
    planner = AssistantAgent("planner", model_client=run.model("planner"))
    over = DecisionTermination(frozenset(Status) - {Status.PENDING, Status.ANSWERED}, sources=["manager"])
    return RoundRobinGroupChat(
        [planner, run.reviewer("manager", title="Proceed with this plan?")], termination_condition=over
    )


async def conclude(run: RunContext, result: TaskResult) -> Conclusion:
    taken_down(run, result)
    decision = decision_in(result.messages[-1])
    if decision is None or decision.outcome is not Status.APPROVED:
        return Conclusion("Cancelled: nothing was built.")

    async def install(what: str) -> str:
        """Install it."""
        return done(run, "install", what=what)

    bench = run.tools("builder", [install], ask=False)
    builder = AssistantAgent("builder", run.model("builder"), workbench=bench, reflect_on_tool_use=True)
    tester = AssistantAgent("tester", run.model("tester"))
    built = RoundRobinGroupChat([builder, tester], termination_condition=MaxMessageTermination(3))
    plan = (await run.request(decision.request)).question.content
    work = await built.run(task=plan, cancellation_token=run.token)
    taken_down(run, work)
    return await last_words(run, work)


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[Use]:
    if agent == "planner":
        return f"Plan of {name(messages)}: install version {turns(messages) + 1}"
    if agent == "builder" and turns(messages) == 0:
        return [Use("install", {"what": heard(messages).rpartition("install ")[2]})]
    return f"The {agent} is finished."


TEAM = Team("phases", "plans, and lets another team build", build, conclude, demo=play)
