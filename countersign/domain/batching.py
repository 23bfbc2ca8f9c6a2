"""Batching: questions that come together are rows of one card (R26).

Two questions that a run or a program asks at about the same time share a card. The first card is posted at once and
grows when another question comes. It grows for a short time only, because Slack notifies nobody of an edit, and buttons
must not move while somebody reads.
"""

from datetime import datetime, timedelta
from typing import Final

from countersign.domain.channel_settings import Risk
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import Kind, Request

WITHIN: Final = timedelta(seconds=5)
"""Time after its first question in which a card may grow. A model's parallel calls are asked within milliseconds, or
seconds on a busy machine, and no notified person reads a card and clicks within this time."""


def may_be_a_row(request: Request) -> bool:
    """Tell whether the request may be a row: it must be an ordinary tool call.

    Code, choices, messages to an agent, calls of high risk, calls asked again after a refusal, and calls that silence
    approves each have a card of their own.
    """
    question = request.question
    plain = question.kind is Kind.TOOL and question.call is not None and not question.before
    return plain and request.rules.risk is not Risk.HIGH and not approved_by_timeout(request)


def alike(first: Request, other: Request) -> bool:
    """Tell whether one card may show both: the same people and rules, one row each.

    Requests of several runs may share a card that is waiting for Slack's rate limit in its channel. If `first` was
    snoozed, somebody has read its card.
    """
    return (
        may_be_a_row(first)
        and may_be_a_row(other)
        and first.workspace == other.workspace
        and first.rules == other.rules
        and first.snoozed_until is None
    )


def together(first: Request, other: Request) -> bool:
    """Tell whether the card that begins with `first` may take `other` from its asker.

    People are reminded once for all rows.
    """
    return _same_asker(first, other) and alike(first, other) and abs(other.created_at - first.created_at) <= WITHIN


def _same_asker(first: Request, other: Request) -> bool:
    """Tell whether one run or one program asked both; a program has many runs."""
    if first.program is not None and other.program is not None:
        return first.program.key == other.program.key
    return first.run == other.run


def grows(posted: datetime | None, now: datetime) -> bool:
    """Tell whether a card posted then, or not posted yet, may take another row."""
    return posted is None or now - posted <= WITHIN


def takes(first: Request, other: Request, posted: datetime | None, now: datetime) -> bool:
    """Tell whether the card that begins with `first` takes a request of any run.

    A card that is not posted yet takes any alike request. A posted card takes, for a short time, requests that were
    asked together with it.
    """
    return alike(first, other) if posted is None else together(first, other) and grows(posted, now)
