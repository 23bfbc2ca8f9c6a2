"""Batching: questions that come together are rows of one card (R26).

Two of a run or of a program that are asked at about the same time are enough: nothing waits for more, the first card
grows. It grows for a short time only, because Slack notifies nobody of a change, and a button must not move under a
reader's hand.
"""

from datetime import datetime, timedelta
from typing import Final

from countersign.domain.channel_settings import Risk
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import Kind, Request

WITHIN: Final = timedelta(seconds=5)
"""After its first question a card grows for so long: a model's parallel calls are asked within milliseconds, on a busy
machine within seconds, and nobody who was notified has read the card and clicks within this."""


def may_be_a_row(request: Request) -> bool:
    """Tell whether a row is enough: for an ordinary call of a tool.

    Code, choices, messages to an agent, calls of high risk, calls asked again after a refusal, and calls that silence
    approves each have a card of their own.
    """
    question = request.question
    plain = question.kind is Kind.TOOL and question.call is not None and not question.before
    return plain and request.rules.risk is not Risk.HIGH and not approved_by_timeout(request)


def alike(first: Request, other: Request) -> bool:
    """Tell whether one card may show both: same people, same rules, a row each.

    So requests of several runs share a card that waits because Slack takes no more cards in its channel. Whoever
    snoozed `first` has read its card.
    """
    return (
        may_be_a_row(first)
        and may_be_a_row(other)
        and first.workspace == other.workspace
        and first.rules == other.rules
        and first.snoozed_until is None
    )


def together(first: Request, other: Request) -> bool:
    """Tell whether `other` may be a row of its asker's card that begins with `first`.

    People are reminded once for all rows.
    """
    return _same_asker(first, other) and alike(first, other) and abs(other.created_at - first.created_at) <= WITHIN


def _same_asker(first: Request, other: Request) -> bool:
    """Tell whether one run asked both, or one program: each of its requests is a run of its own."""
    if first.program is not None and other.program is not None:
        return first.program.key == other.program.key
    return first.run == other.run


def grows(posted: datetime | None, now: datetime) -> bool:
    """Tell whether a card that was posted then, or is not yet, may have another row."""
    return posted is None or now - posted <= WITHIN


def takes(first: Request, other: Request, posted: datetime | None, now: datetime) -> bool:
    """Tell whether the card that begins with `first` takes a request of any run.

    One that waits for its turn takes what is alike; one that stands, for a short time what was asked together with it.
    """
    return alike(first, other) if posted is None else together(first, other) and grows(posted, now)
