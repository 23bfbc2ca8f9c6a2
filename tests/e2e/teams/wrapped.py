"""S14–S16: mails, tickets and payments, each a proposal first."""

import re
from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from agents.context import RunContext
from agents.demo_model import Use, turns
from agents.teams import Team
from tests.e2e.playing import conclude, done, heard, name


def build(run: RunContext) -> AutoGenTeam:
    async def send_mail(to: str, text: str) -> str:
        """Send it."""
        return done(run, "send_mail", to=to, text=text)

    async def open_ticket(title: str) -> str:
        """Open one."""
        return done(run, "open_ticket", title=title)

    async def pay(order: str, amount: int) -> str:
        """Pay it."""
        return done(run, "pay", order=order, amount=amount)

    tools = run.tools("clerk", [send_mail, open_ticket, pay])
    clerk = AssistantAgent("clerk", run.model("clerk"), workbench=tools, max_tool_iterations=5)
    return RoundRobinGroupChat([clerk], max_turns=1)


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[Use]:
    this, said = name(messages), heard(messages)
    if turns(messages) == 0:
        pay = Use("pay", {"order": this, "amount": 30})
        mail = Use("send_mail", {"to": f"{this}@example.com", "text": "It comes.\n\n  Ann"})
        return [mail, Use("open_ticket", {"title": f"{this} is late"}), pay] if "all" in said else [pay]
    if said.startswith("DECISION: CALL NOT APPROVED, BUT ANSWERED"):
        amount = next(int(n) for line in said.splitlines() if line.startswith("> ") for n in re.findall(r"\d+", line))
        return [Use("pay", {"order": this, "amount": amount})]
    return f"The clerk has read: {said.splitlines()[0]}"


TEAM = Team("wrapped", "mails, tickets and payments after consent", build, conclude, demo=play)
