"""Which requests wait for a person: those on which they may decide now, and have not yet, or not as others did."""

from datetime import datetime
from typing import Final

from countersign.domain.decision_rules import Attempt, why_refused
from countersign.domain.ids import AttemptId
from countersign.domain.people import Actor
from countersign.domain.refusals import Refusal
from countersign.domain.requests import Request
from countersign.domain.vote_count import tied

_ABOUT_THE_ANSWER: Final = frozenset(
    {
        Refusal.NOT_OFFERED,
        Refusal.NO_WORDS,
        Refusal.TOO_LONG,
        Refusal.EDIT_NEEDS_ONE,
        Refusal.NOT_ARGUMENTS,
        Refusal.NOTHING_CHANGED,
        Refusal.NO_CHOICE,
        Refusal.NOT_OPENED,
    }
)
"""What is wrong with an answer, and not with who gives it or when."""


def waits_for(request: Request, actor: Actor, now: datetime) -> bool:
    """Whether this person's answer would count, by the same rule that judges it when it comes."""
    voted = any((vote.workspace, vote.user) == (actor.workspace, actor.user) for vote in request.votes)
    if voted and not tied(request):
        return False
    # An answer that holds nothing: it never gets further than what is asked about who and when.
    nothing = Attempt(AttemptId("none"), actor, request.question.offers[0], request.digest)
    refusal = why_refused(request, nothing, now)
    return refusal is None or refusal in _ABOUT_THE_ANSWER
