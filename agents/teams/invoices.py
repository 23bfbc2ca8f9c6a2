"""A team that pays what is due.

The calls of one turn share a card, with a row for each.
"""

from collections.abc import Sequence
from typing import Any, Final

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.teams import RoundRobinGroupChat
from autogen_core.models import LLMMessage

from countersign.teams import DEMO_NOTE, Action, Conclusion, DemoCall, OutcomeKind, Run, Team, current_run, last_words

from ..services.invoices import Invoices

_CLERK: Final = """\
You pay invoices. Call list_due, then pay for each invoice that the task means: all of these calls in one message, so
that people see them together. When a call is not approved, do what its answer says, and never pay it in another way.
When nothing is left to do, say what was paid and what was not."""


def build(run: Run) -> AutoGenTeam:
    """Build one agent, whose payments people judge."""
    invoices = Invoices(run.settings.data_dir / "invoices")
    tools = run.tools(
        "clerk",
        [invoices.list_due, invoices.pay],
        ask={"list_due": Action.ALLOW},
        idempotent=True,
        title={"pay": "Pay {euros:,.2f} EUR to {supplier}"},
        several={"pay": "Pay {count} invoices ({euros:,.2f} EUR)"},
        show={"pay": payment_drawn},
        done={"pay": "paid"},
    )
    clerk = AssistantAgent("clerk", run.model("clerk"), workbench=tools, system_message=_CLERK, max_tool_iterations=10)
    return RoundRobinGroupChat([clerk], max_turns=1)


def payment_drawn(arguments: dict[str, Any]) -> str:
    return f"To: {arguments['supplier']}\nAmount: {arguments['euros']:,.2f} EUR\nInvoice: {arguments['invoice']}"


async def conclude(run: Run, result: TaskResult) -> Conclusion:
    """Say what was paid, and why the rest was not."""
    payments = run.outcomes.of("pay")
    paid = sorted(one.result for one in payments if one.became is OutcomeKind.DONE)
    left = [
        (one.why_not or f"it failed: {one.result[:200]}") + (f" (“{one.words}”)" if one.words else "")
        for one in payments
        if one.became is not OutcomeKind.DONE
    ]
    summary = " ".join(paid) or "Nothing was paid."
    summary += f" Not paid: {len(left)}, because {'; '.join(dict.fromkeys(left))}." if left else ""
    state = f"Paid {len(paid)} of {len(payments)}" if paid and left else ""
    return Conclusion(summary, (await last_words(run, result)).words, state)


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[DemoCall]:
    """Look up what is due, pay all of it at once, and sum up."""
    outcomes = current_run().outcomes
    due = outcomes.last("list_due")
    if due is None:
        return [DemoCall("list_due", {})]
    lines = [line.split(", ") for line in due.result.splitlines() if line.count(", ") == 2]
    if lines and outcomes.last("pay") is None:
        return [
            DemoCall("pay", {"invoice": number, "supplier": supplier, "euros": float(euros)})
            for number, supplier, euros in lines
        ]
    paid = sum(one.became is OutcomeKind.DONE for one in outcomes.of("pay"))
    return f"{paid} of {len(lines)} invoices were paid.\n\n{DEMO_NOTE}"


TEAM: Final = Team("invoices", "pays the invoices that are due, several at once", build, conclude, demo=play)
