"""From whose seat somebody decides: their own, or that of somebody who is away and named them (no chains).

Who stands in counts as one person, and a seat as one vote: whoever comes back, or goes away, adds none.
"""

from dataclasses import replace

from countersign.domain.ids import UserId
from countersign.domain.people import Actor, Reviewers, why_nobody
from countersign.domain.requests import Request


def deciders(request: Request, some: Reviewers | None = None) -> Reviewers:
    """Those who may decide on it, or these ones of them: without who asked, where they may not decide themselves."""
    some = request.rules.reviewers if some is None else some
    return some if request.rules.own_requests else replace(some, users=some.users - {request.requester})


def of(request: Request, actor: Actor) -> tuple[UserId, ...]:
    """The seats from which this actor may decide; empty if there is none.

    A requester who may not decide on their own request has no seat that somebody else could take.
    """
    rules = request.rules
    if rules.reviewers.why_not(actor) is None:
        return (actor.user,)
    return tuple(
        away.user
        for away in actor.stands_for
        if why_nobody(away, request.workspace) is None
        and rules.reviewers.why_not(away) is None
        and (rules.own_requests or away.user != request.requester)
    )


def free(request: Request, actor: Actor) -> UserId | None:
    """The seat from which this actor may vote: one that nobody else has voted from; None if there is none."""
    taken = {vote.seat or vote.user for vote in request.votes if vote.user != actor.user}
    return next((seat for seat in of(request, actor) if seat not in taken), None)
