"""S10: a policy in code lets small things pass, asks about large ones and refuses the rest."""

from collections.abc import Sequence

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from agents.context import RunContext
from agents.demo_model import Use, turns
from agents.policies import Proposal, Tier, Verdict
from agents.teams import Team
from tests.e2e.playing import conclude, done, name


def policy(proposal: Proposal) -> Verdict:
    """Up to 50 EUR pass."""
    if proposal.tool == "close_account":
        return Verdict(Tier.REFUSE, "Accounts are closed by hand.")
    if proposal.arguments["amount"] > 50:
        return Verdict(Tier.ASK, "It is more than 50 EUR.")
    return Verdict(Tier.PASS, "It is not more than 50 EUR.")


def build(run: RunContext) -> AutoGenTeam:
    async def refund(order: str, amount: int) -> str:
        """Pay back."""
        return done(run, "refund", order=order, amount=amount)

    async def close_account(order: str) -> str:
        """Close it."""
        return done(run, "close_account", order=order)

    tools = run.tools("clerk", [refund, close_account], ask=policy)
    clerk = AssistantAgent("clerk", run.model("clerk"), workbench=tools, reflect_on_tool_use=True)
    return RoundRobinGroupChat([clerk], max_turns=1)


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[Use]:
    if turns(messages) == 0:
        order = name(messages)
        refunds = [Use("refund", {"order": order, "amount": amount}) for amount in (20, 200)]
        return [*refunds, Use("close_account", {"order": order})]
    return "All of it was tried."


TEAM = Team("tiers", "refunds in tiers", build, conclude, demo=play)
