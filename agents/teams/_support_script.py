"""What the agents of the support team say without a model."""

import re
from collections.abc import Sequence

from autogen_core.models import FunctionExecutionResult, FunctionExecutionResultMessage, LLMMessage, UserMessage

from agents.demo_model import Use, reviewers_words
from agents.demo_writer import NOTE
from agents.outcomes import was_answered, what_was_changed, why_not


def play(agent: str, messages: Sequence[LLMMessage]) -> str | Sequence[Use]:
    """Look the order up; pay back, tell the customer, open a ticket; and sum up."""
    said = [(message.source, str(message.content)) for message in messages if isinstance(message, UserMessage)]
    told = [r for m in messages if isinstance(m, FunctionExecutionResultMessage) for r in m.content]
    task = said[0][1]
    if agent == "triage":
        if not told:
            order = re.search(r"\d+", task)
            return [Use("look_up", {"order": int(order[0])})] if order else f"No order is named.\n\n{NOTE}"
        return f"{told[0].content}\nWanted: {task}\n\n{NOTE}"
    if agent == "closer":
        return f"Summed up: {next(words for who, words in reversed(said) if who == 'clerk')}"
    facts = next(words for who, words in said if who == "triage")
    order = re.search(r"Order (\d+): (.+?), ([\d,]+)\.(\d\d) EUR paid by (.+?) <(.+?)>", facts)
    if order is None:
        return f"Nothing was done, because the order is not known.\n\n{NOTE}"
    return _clerk(task, order, told)


def _clerk(task: str, order: re.Match[str], told: list[FunctionExecutionResult]) -> str | Sequence[Use]:
    number, item, customer, mail = int(order[1]), order[2], order[5], order[6]
    last = {result.name: result for result in told}
    refund, letter = last.get("refund"), last.get("send_mail")
    amount = re.search(r"(\d+)\s*(?:euros?|EUR|€)", task, re.IGNORECASE)
    cents = int(amount[1]) * 100 if amount else int(order[3].replace(",", "") + order[4])
    if refund is None:
        return [Use("refund", {"order": number, "cents": cents})]
    if was_answered(refund.content):
        less = re.search(r"\d+", reviewers_words(refund.content))
        if less:
            return [Use("refund", {"order": number, "cents": int(less[0]) * 100})]
    paid = not refund.is_error
    if paid and (letter is None or was_answered(letter.content)):
        wishes = [reviewers_words(r.content) for r in told if r.name == "send_mail" and was_answered(r.content)]
        money = re.search(r"([\d,.]+ EUR) of order", refund.content)
        sentence = f"we have paid back {money[1] if money else 'money'} for your {item}."
        body = "\n\n".join([f"Dear {customer},", sentence, *wishes, "Kind regards", NOTE])
        return [Use("send_mail", {"to": mail, "subject": f"Your order {number}", "body": body})]
    if "open_ticket" not in last:
        what = "paid back" if paid else f"not paid back, because {why_not(refund.content) or refund.content}"
        return [Use("open_ticket", {"order": number, "words": f"{task}\n\nThe money was {what}.\n\n{NOTE}"})]
    mailed = letter is not None and not letter.is_error
    done = f"The money was {'' if paid else 'not '}paid back, and {'a' if mailed else 'no'} mail was sent."
    changed = [f"A reviewer changed {r.name}: {line}" for r in told for line in what_was_changed(r.content)]
    return "\n\n".join([done, *changed, NOTE])
