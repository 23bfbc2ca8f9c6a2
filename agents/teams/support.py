"""A team that answers customers: orders, refunds, mails, tickets.

People are asked where it matters.

The orders are in the file `support/shop.db` of the data folder, with three to try; mails go where SMTP_URL says.
"""

import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage, UserMessage

from countersign.teams import (
    DEMO_NOTE,
    Action,
    Conclusion,
    DemoCall,
    Option,
    OutcomeKind,
    Outcomes,
    Proposal,
    Run,
    Team,
    Verdict,
    current_run,
    last_words,
)

from ..services.mail_delivery import word_for
from ..services.shop import Counter, Shop, euros

MOST: Final = 50_000
"""Cents; more is not for this team."""

_TRIAGE: Final = """\
A customer wants something. Look up the order by look_up, and say in a few lines which it is and what is wanted."""
_CLERK: Final = """\
You do what the customer should get, by your tools: refund, send_mail (after a refund, say what was paid back) and
open_ticket. Some calls are judged by people. When a call is not approved, do what its answer says; never bring its
outcome about by another call. When nothing is left to do, say what was done and what was not."""
_CLOSER: Final = "You sum up for a colleague, in two sentences, what was done for the customer and what was not."


def build(run: Run) -> AutoGenTeam:
    """Build three agents: two act freely, and the clerk's calls are judged.

    The policy judges, or people do.
    """
    counter = Counter(run)
    looking = run.tools("triage", [counter.look_up], ask=False, idempotent=True)
    doing = run.tools(
        "clerk",
        [counter.refund, counter.send_mail, counter.open_ticket],
        ask=policy(counter.shop, int(run.options["limit"]) * 100),
        idempotent=["refund", "open_ticket"],
        title={
            "refund": refund_title,
            "send_mail": "Send this email to {to}",
            "open_ticket": "Open a ticket for order {order}",
        },
        show={"refund": refund_drawn, "send_mail": mail_drawn, "open_ticket": ticket_drawn},
        done={"refund": "refunded", "send_mail": word_for(run.settings.smtp_url), "open_ticket": "opened"},
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


def policy(shop: Shop, limit: int) -> Callable[[Proposal], Awaitable[Verdict]]:
    """Make the policy for refunds and mails; tickets pass.

    Refunds pass up to `limit` cents for an order, ask above it, and are refused above `MOST`, or where there is nothing
    to pay back. All refunds of an order count together.
    """
    passed: defaultdict[int, int] = defaultdict(int)

    async def judge(proposal: Proposal) -> Verdict:
        if proposal.tool == "open_ticket":
            return Verdict(Action.ALLOW, "Anybody can open a ticket.")
        if proposal.tool != "refund":
            return Verdict(Action.ASK, "A customer will read it.")
        order, cents = int(proposal.arguments["order"]), int(proposal.arguments["cents"])
        if cents <= 0:
            return Verdict(Action.DENY, f"{euros(cents)} can't be refunded.")
        if cents > MOST:
            return Verdict(Action.DENY, f"Only the accounts department makes refunds above {euros(MOST)}.")
        refunded = passed[order] = max((await shop.order(order)).refunded, passed[order])
        if refunded + cents > limit:
            return Verdict(Action.ASK, f"More than {euros(limit)} would be refunded for order {order}.")
        passed[order] = refunded + cents
        return Verdict(Action.ALLOW, f"No more than {euros(limit)} is refunded for order {order}.")

    return judge


def refund_title(arguments: dict[str, Any]) -> str:
    return f"Refund {euros(arguments['cents'])} for order {arguments['order']}"


def refund_drawn(arguments: dict[str, Any]) -> str:
    return f"Refund: {euros(arguments['cents'])}\nOrder: {arguments['order']}"


def mail_drawn(arguments: dict[str, Any]) -> str:
    return f"To: {arguments['to']}\nSubject: {arguments['subject']}\n\n{arguments['body']}"


def ticket_drawn(arguments: dict[str, Any]) -> str:
    return f"Order: {arguments['order']}\n\n{arguments['words']}"


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    """Say what the clerk did, and what was not done and why."""
    done: list[str] = []
    changed: list[str] = []
    left: dict[str, str] = {}
    for call in run.outcomes.of("refund", "send_mail", "open_ticket"):
        if call.became is not OutcomeKind.DONE:
            left[call.action] = call.why_not or f"it failed: {call.result[:200]}"
        else:
            left.pop(call.action, None)  # it was another version that was not approved
            done.append(call.result)
        if call.changes:
            changed.append(f"{call.action}: {'; '.join(call.changes)}")
    not_done = ", ".join(f"{name} ({why})" for name, why in left.items())
    summary = f"Done: {' '.join(done)}" if done else "Nothing was done."
    summary += f" Not done: {not_done}." if left else ""
    summary += f" Changed by a reviewer: {'. '.join(changed)}." if changed else ""
    refunded = any(one.became is OutcomeKind.DONE for one in run.outcomes.of("refund"))
    return Conclusion(summary, (await last_words(run, result)).words, "Refunded" if refunded else "")


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    """Look the order up; pay back, tell the customer, open a ticket; and sum up."""
    texts = [(message.source, str(message.content)) for message in messages if isinstance(message, UserMessage)]
    outcomes = current_run().outcomes
    task = texts[0][1]
    if agent == "triage":
        if (looked := outcomes.last("look_up")) is None:
            order = re.search(r"\d+", task)
            return [DemoCall("look_up", {"order": int(order[0])})] if order else f"No order is named.\n\n{DEMO_NOTE}"
        return f"{looked.why_not or looked.result}\nWanted: {task}\n\n{DEMO_NOTE}"
    if agent == "closer":
        return f"Summed up: {next(words for who, words in reversed(texts) if who == 'clerk')}"
    facts = next(words for who, words in texts if who == "triage")
    order = re.search(r"Order (\d+): (.+?), ([\d,]+)\.(\d\d) EUR paid by (.+?) <(.+?)>", facts)
    if order is None:
        return f"Nothing was done, because the order is not known.\n\n{DEMO_NOTE}"
    return _clerk(task, order, outcomes)


def _clerk(task: str, order: re.Match[str], outcomes: Outcomes) -> str | Sequence[DemoCall]:
    number, item, customer, mail = int(order[1]), order[2], order[5], order[6]
    refund, letter = outcomes.last("refund"), outcomes.last("send_mail")
    amount = re.search(r"(\d+)\s*(?:euros?|EUR|€)", task, re.IGNORECASE)
    cents = int(amount[1]) * 100 if amount else int(order[3].replace(",", "") + order[4])
    if refund is None:
        return [DemoCall("refund", {"order": number, "cents": cents})]
    if refund.became is OutcomeKind.ANSWERED and (less := re.search(r"\d+", refund.words)):
        return [DemoCall("refund", {"order": number, "cents": int(less[0]) * 100})]
    paid = refund.became is OutcomeKind.DONE
    if paid and (letter is None or letter.became is OutcomeKind.ANSWERED):
        wishes = [one.words for one in outcomes.of("send_mail") if one.became is OutcomeKind.ANSWERED]
        money = re.search(r"([\d,.]+ EUR) was refunded", refund.result)
        sentence = f"we have refunded {money[1] if money else 'money'} for your {item}."
        body = "\n\n".join([f"Dear {customer},", sentence, *wishes, "Kind regards", DEMO_NOTE])
        return [DemoCall("send_mail", {"to": mail, "subject": f"Your order {number}", "body": body})]
    if outcomes.last("open_ticket") is None:
        outcome = "refunded" if paid else f"not refunded, because {refund.why_not or refund.result}"
        return [
            DemoCall("open_ticket", {"order": number, "words": f"{task}\n\nThe money was {outcome}.\n\n{DEMO_NOTE}"})
        ]
    mailed = letter is not None and letter.became is OutcomeKind.DONE
    done = f"The money was {'' if paid else 'not '}refunded, and {'an' if mailed else 'no'} email was sent."
    changed = [f"A reviewer changed the {one.action}: {line}" for one in outcomes for line in one.changes]
    return "\n\n".join([done, *changed, DEMO_NOTE])


TEAM: Final = Team(
    "support",
    "answers customers: refunds, emails, tickets",
    build,
    conclude,
    options=(Option("limit", "Refunds without approval, up to euros", ("0", "20", "50", "100"), "20", "Per order."),),
    demo=play,
)
