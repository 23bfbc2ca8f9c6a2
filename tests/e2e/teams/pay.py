"""S15, S16, R26: a payment, proposed first; or five at once."""

import re
from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from countersign.frameworks.autogen.models.demo import DemoCall, demo_turns
from countersign.frameworks.autogen.people.run_outcomes import OutcomeKind
from countersign.frameworks.autogen.run_context import Run, current_run
from countersign.frameworks.autogen.team import Team
from tests.e2e.team_parts import conclude, done, heard, name


def build(run: Run) -> AutoGenTeam:
    async def pay(order: str, amount: int) -> str:
        """Pay it."""
        return done(run, "pay", order=order, amount=amount)

    tools = run.tools("clerk", [pay])
    clerk = AssistantAgent("clerk", run.model("clerk"), workbench=tools, max_tool_iterations=5)
    return RoundRobinGroupChat([clerk], max_turns=1)


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    this, said, last = name(messages), heard(messages), current_run().outcomes.last("pay")
    if demo_turns(messages) == 0 and "five" in said:
        return [DemoCall("pay", {"order": this, "amount": amount}) for amount in range(1, 6)]
    if demo_turns(messages) == 0:
        return [DemoCall("pay", {"order": this, "amount": 30})]
    if last is not None and last.became is OutcomeKind.ANSWERED:
        amount = int(re.findall(r"\d+", last.words)[0])
        return [DemoCall("pay", {"order": this, "amount": amount})]
    return f"The clerk has read: {said.splitlines()[0]}"


TEAM = Team("pay", "pays after consent", build, conclude, demo=play)
