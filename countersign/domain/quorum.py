"""Quorum: the valid votes on a request; for a choice, only equal votes add up.

A vote counts while its voter may decide: each new vote makes all earlier votes be checked again (R9).
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import NamedTuple

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.events import Event, EventType
from countersign.domain.ids import UserId
from countersign.domain.people import Actor
from countersign.domain.requests import Kind, Request, Vote, event


class Recount(NamedTuple):
    """The votes that count; for the `unchecked` voters, Slack gave no answer.

    `void` are the votes that no longer count, with the reason.
    """

    votes: tuple[Vote, ...]
    unchecked: frozenset[UserId]
    void: tuple[tuple[Vote, Refusal], ...]


def recount(request: Request, voters: tuple[Actor, ...], why_not: Callable[[Actor], Refusal | None]) -> Recount:
    """Judge the votes by the current data of their `voters`.

    A voter without data is unchecked.
    """
    described = {voter.user: voter for voter in voters}
    judged = [(v, why_not(described[v.user]) if v.user in described else Refusal.NOT_CHECKED) for v in request.votes]
    void = tuple((vote, why) for vote, why in judged if why is not None and why is not Refusal.NOT_CHECKED)
    return Recount(
        tuple(vote for vote in request.votes if vote not in [vote for vote, _ in void]),
        frozenset(vote.user for vote, why in judged if why is Refusal.NOT_CHECKED),
        void,
    )


def voided(request: Request, count: Recount, now: datetime) -> tuple[Event, ...]:
    """Return the events of the votes that no longer count."""
    return tuple(
        event(EventType.VOTE_VOIDED, request, now, user=vote.user, why=why.name.lower(), attempt=vote.attempt)
        for vote, why in count.void
    )


def count_people(votes: Iterable[Vote]) -> int:
    """Count the people of these votes, each once."""
    return len({(vote.workspace, vote.user) for vote in votes})


def count_alike(request: Request) -> int:
    """Count the votes that agree."""
    return max(Counter(vote.chosen for vote in request.votes).values(), default=0)


def tied(request: Request) -> bool:
    """Tell whether enough people have chosen, but different things.

    Each of them is then asked to choose again.
    """
    open_still = request.decision is None and request.question.kind is Kind.CHOICE
    return open_still and len(request.votes) >= request.rules.quorum
