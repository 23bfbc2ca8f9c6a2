"""The lines of the agents of the support team without a model."""

import re
from collections.abc import Sequence

from autogen_core.models import LLMMessage, UserMessage

from countersign import DEMO_NOTE, Became, DemoCall, Outcomes, current_run


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
    if refund.became is Became.ANSWERED and (less := re.search(r"\d+", refund.words)):
        return [DemoCall("refund", {"order": number, "cents": int(less[0]) * 100})]
    paid = refund.became is Became.DONE
    if paid and (letter is None or letter.became is Became.ANSWERED):
        wishes = [one.words for one in outcomes.of("send_mail") if one.became is Became.ANSWERED]
        money = re.search(r"([\d,.]+ EUR) was refunded", refund.result)
        sentence = f"we have refunded {money[1] if money else 'money'} for your {item}."
        body = "\n\n".join([f"Dear {customer},", sentence, *wishes, "Kind regards", DEMO_NOTE])
        return [DemoCall("send_mail", {"to": mail, "subject": f"Your order {number}", "body": body})]
    if outcomes.last("open_ticket") is None:
        outcome = "refunded" if paid else f"not refunded, because {refund.why_not or refund.result}"
        return [
            DemoCall("open_ticket", {"order": number, "words": f"{task}\n\nThe money was {outcome}.\n\n{DEMO_NOTE}"})
        ]
    mailed = letter is not None and letter.became is Became.DONE
    done = f"The money was {'' if paid else 'not '}refunded, and {'an' if mailed else 'no'} email was sent."
    changed = [f"A reviewer changed the {one.action}: {line}" for one in outcomes for line in one.changes]
    return "\n\n".join([done, *changed, DEMO_NOTE])
