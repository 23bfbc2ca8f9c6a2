"""Which questions of a run come as one burst, so that people see one card with a row for each (R26).

Two that are asked at about the same time are enough: nothing waits for more, the first card grows. It grows for a
short time only, because Slack notifies nobody of a change, and a button must not move under a reader's hand.
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
    """Whether a row is enough: an ordinary call of a tool. What needs more, or a warning, keeps a card of its own.

    Code, choices, words for an agent, calls of high risk, asked again after a refusal, or approved by silence are
    such.
    """
    question = request.question
    plain = question.kind is Kind.TOOL and question.call is not None and not question.before
    return plain and request.rules.risk is not Risk.HIGH and not approved_by_timeout(request)


def together(first: Request, other: Request) -> bool:
    """Whether `other` may be a row of the card that begins with `first`: the same people decide by the same rules.

    Who put off the reminders of `first` has read its card; and people are reminded once for all rows.
    """
    return (
        may_be_a_row(first)
        and may_be_a_row(other)
        and first.run == other.run
        and first.rules == other.rules
        and first.snoozed_until is None
        and abs(other.created_at - first.created_at) <= WITHIN
    )


def grows(posted: datetime | None, now: datetime) -> bool:
    """Whether a card that was posted then, or is not yet, may have another row: whatever a worker says about when it
    asked, and however late it is drawn."""
    return posted is None or now - posted <= WITHIN
