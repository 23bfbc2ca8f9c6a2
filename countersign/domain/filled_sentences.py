"""Sentences that refuse an attempt on a request and name the next step.

They are data (R7): views draw the mentions and the dates.
"""

from datetime import datetime
from typing import Final

from countersign.domain import eligibility, high_risk
from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.calls import in_words
from countersign.domain.people import those_of
from countersign.domain.quorum import count_alike
from countersign.domain.request_endings import approved_by_timeout
from countersign.domain.requests import ABOUT_THE_RUN, Decision, How, Request, Status

_NAMED: Final = 12
"""Most reviewers that a sentence names; the others are counted."""

_NAMING: Final = frozenset({Refusal.NOT_A_REVIEWER, Refusal.FOR_THE_REQUESTER})
"""Refusals that name the reviewers."""


def sentence(refusal: Refusal, request: Request) -> Sentence:
    """Fill in the refusal from the request; ids and moments stay data."""
    decision = request.decision
    by = _deciders(request) if refusal in _NAMING else _decided_by(decision) if decision else ()
    at: datetime | None = decision.at if decision else request.deadline
    return refusal.filled(by=by, at=() if at is None else (at,), what=(_what(refusal, request),))


def _what(refusal: Refusal, request: Request) -> str:
    match refusal:
        case Refusal.VOTED_ALREADY | Refusal.SEAT_TAKEN:
            return f"{count_alike(request)} of {request.rules.quorum} needed"
        case Refusal.EDIT_NEEDS_ONE:
            return str(request.rules.quorum)
        case Refusal.NOT_TYPED:
            return in_words(high_risk.word(request))
        case Refusal.NO_CHOICE:
            return "one or more" if request.question.several else "one"
        case Refusal.TIME_RAN_OUT if request.status is Status.APPROVED:
            return "it counts as approved by timeout, as this channel's settings say"
        case Refusal.TIME_RAN_OUT if request.status is Status.PENDING and approved_by_timeout(request):
            return "it counts as approved by timeout if its card was in its channel the whole time"
        case Refusal.TIME_RAN_OUT:
            about_run = request.question.kind in ABOUT_THE_RUN
            return "the run ends" if about_run else "the agent is told that nobody answered"
    return request.decision.outcome.value if request.decision else ""


def _decided_by(decision: Decision) -> Sentence:
    if decision.by:
        return _listed([(user,) for user in decision.by], " and ")
    return ("timeout" if decision.how is How.TIMEOUT else "a rule",)


def _deciders(request: Request) -> Sentence:
    reviewers = eligibility.deciders(request)
    names: list[Sentence] = [(user,) for user in sorted(reviewers.users)]
    names += [those_of(group) for group in sorted(reviewers.groups)]
    more = len(names) - _NAMED
    return *_listed(names[:_NAMED], ", "), *((f" and {more} more",) if more > 0 else ())


def _listed(names: list[Sentence], separator: str) -> Sentence:
    return tuple(part for name in names for part in (separator, *name))[1:]
