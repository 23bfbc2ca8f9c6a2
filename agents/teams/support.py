"""Answers customers: looks orders up, pays back, writes mails, opens tickets; people are asked where it matters.

The orders are in the file `support/shop.db` of the data folder, with three to try; mails go where SMTP_URL says.
"""

from collections import defaultdict
from datetime import UTC, datetime
from typing import Any, Final

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat

from agents.context import RunContext
from agents.delivery import deliver
from agents.mail import MailProblem, parse, to_message
from agents.outcomes import results, why_not
from agents.policies import Policy, Proposal, Tier, Verdict
from agents.shop import Shop, euros
from agents.teams import Conclusion, Team, last_words
from agents.teams._support_script import play
from agents.tools import idempotency_key
from bot.core.options import Option

MOST: Final = 50_000
"""Cents; more is not for this team."""

_TRIAGE: Final = """\
A customer wants something. Look up the order by look_up, and say in a few lines which it is and what is wanted."""
_CLERK: Final = """\
You do what the customer should get, by your tools: refund, send_mail (after a refund, say what was paid back) and
open_ticket. Some calls are judged by people. When a call is not approved, do what its answer says; never bring its
outcome about by another call. When nothing is left to do, say what was done and what was not."""
_CLOSER: Final = "You sum up for a colleague, in two sentences, what was done for the customer and what was not."


class Counter:
    """The tools of the shop's counter."""

    def __init__(self, run: RunContext) -> None:
        self._run = run
        self.shop = Shop(run.settings.data_dir / "support" / "shop.db")

    async def look_up(self, order: int) -> str:
        """Look up an order by its number."""
        found = await self.shop.order(order)
        return (
            f"Order {found.id}: {found.item}, {euros(found.cents)} paid by {found.customer} <{found.mail}>, "
            f"{euros(found.refunded)} of it paid back."
        )

    async def refund(self, order: int, cents: int, idempotency_key: str) -> str:
        """Pay back some of an order, in whole cents."""
        found = await self.shop.refund(order, cents, idempotency_key)
        return f"{euros(cents)} of order {order} were paid back; {euros(found.refunded)} in all."

    async def open_ticket(self, order: int, words: str, idempotency_key: str) -> str:
        """Open a ticket about an order, for colleagues."""
        return f"Ticket {await self.shop.ticket(order, words, idempotency_key)} was opened."

    async def send_mail(self, to: str, subject: str, body: str) -> str:
        """Send a mail to a customer."""
        mail = parse(f"To: {to}\nSubject: {subject}\n\n{body}")
        if isinstance(mail, MailProblem):
            raise ValueError(f"The mail was not sent. {mail.sentence}")
        settings = self._run.settings
        name = f"<{idempotency_key()}@{settings.mail_from.partition('@')[2]}>"
        message = to_message(mail, settings.mail_from, name, datetime.now(UTC))
        smtp = settings.smtp_url.get_secret_value() if settings.smtp_url else None
        return await deliver(message, smtp, settings.data_dir / "mail")


def build(run: RunContext) -> AutoGenTeam:
    """Three agents: two run free, and what the clerk wants to do is judged by the policy, or by people."""
    counter = Counter(run)
    looking = run.tools("triage", [counter.look_up], ask=False, idempotent=True)
    doing = run.tools(
        "clerk",
        [counter.refund, counter.send_mail, counter.open_ticket],
        ask=policy(counter.shop, int(run.options["limit"]) * 100),
        idempotent=["refund", "open_ticket"],
        show={"refund": refund_drawn, "send_mail": mail_drawn, "open_ticket": ticket_drawn},
    )
    return RoundRobinGroupChat(
        [
            AssistantAgent(
                "triage", run.model("triage"), workbench=looking, system_message=_TRIAGE, max_tool_iterations=4
            ),
            AssistantAgent("clerk", run.model("clerk"), workbench=doing, system_message=_CLERK, max_tool_iterations=12),
            AssistantAgent("closer", run.model("closer"), system_message=_CLOSER),
        ],
        max_turns=3,
    )


def policy(shop: Shop, limit: int) -> Policy:
    """Tickets pass; refunds pass up to `limit` cents for an order, ask above it, and are refused above `MOST`.

    What was let through counts for its order, also when it was paid in several parts.
    """
    passed: defaultdict[int, int] = defaultdict(int)

    async def judge(proposal: Proposal) -> Verdict:
        if proposal.tool == "open_ticket":
            return Verdict(Tier.PASS, "Tickets may be opened by anybody.")
        if proposal.tool != "refund":
            return Verdict(Tier.ASK, "A customer will read it.")
        order, cents = int(proposal.arguments["order"]), int(proposal.arguments["cents"])
        if cents <= 0:
            return Verdict(Tier.ASK, "This is no amount to pay back.")
        if cents > MOST:
            return Verdict(Tier.REFUSE, f"Refunds above {euros(MOST)} are made by the accounts department alone.")
        before = (await shop.order(order)).refunded
        before = passed[order] = max(before, passed[order])
        if before + cents > limit:
            return Verdict(Tier.ASK, f"More than {euros(limit)} of order {order} would be paid back.")
        passed[order] = before + cents
        return Verdict(Tier.PASS, f"No more than {euros(limit)} of order {order} are paid back.")

    return judge


def refund_drawn(arguments: dict[str, Any]) -> str:
    return f"Pay back: {euros(arguments['cents'])}\nOf order: {arguments['order']}"


def mail_drawn(arguments: dict[str, Any]) -> str:
    return f"To: {arguments['to']}\nSubject: {arguments['subject']}\n\n{arguments['body']}"


def ticket_drawn(arguments: dict[str, Any]) -> str:
    return f"Order: {arguments['order']}\n\n{arguments['words']}"


async def conclude(run: RunContext, result: TaskResult) -> Conclusion:
    """What the clerk did, by what the tools returned, and what was not done, and why."""
    done, left = [], []
    for call in results(result.messages):
        if not call.is_error:
            done += [call.content.rpartition("The result of the changed call:\n")[2]] if call.name != "look_up" else []
        else:
            left.append(f"{call.name} ({why_not(call.content) or call.content[:200]})")
    said = f"Done: {' '.join(done)}" if done else "Nothing was done."
    return Conclusion(said + (f" Not done: {', '.join(left)}." if left else ""), (await last_words(run, result)).words)


TEAM: Final = Team(
    "support",
    "answers customers: refunds, mails, tickets",
    build,
    conclude,
    options=(
        Option("limit", "Refunds up to so many euros ask nobody", ("0", "20", "50", "100"), "20", "For each order."),
    ),
    demo=play,
)
