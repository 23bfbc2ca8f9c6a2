"""Batching: questions that come together are rows of one card (R26).

Two of a run that are asked at about the same time are enough: nothing waits for more, the first card grows. It grows
for a short time only, because Slack notifies nobody of a change, and a button must not move under a reader's hand.
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

    A card of its own is for code, choices, words for an agent, calls of high risk, and for what is asked again after a
    refusal or approved by silence.
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
    """Tell whether `other` may be a row of its run's card that begins with `first`.

    People are reminded once for all rows.
    """
    return first.run == other.run and alike(first, other) and abs(other.created_at - first.created_at) <= WITHIN


def grows(posted: datetime | None, now: datetime) -> bool:
    """Tell whether a card that was posted then, or is not yet, may have another row.

    It does not depend on when a worker says that it asked, or on how late the card is drawn.
    """
    return posted is None or now - posted <= WITHIN
