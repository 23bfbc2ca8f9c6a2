"""How far the votes on a request are: those on a choice count together only where they are the same."""

from collections import Counter

from bot.core.requests import Kind, Request


def alike(request: Request) -> int:
    """How many votes count together."""
    return max(Counter(vote.chosen for vote in request.votes).values(), default=0)


def tied(request: Request) -> bool:
    """Whether enough people have chosen, and different things: then each of them may choose anew, and is asked to."""
    open_still = request.decision is None and request.question.kind is Kind.CHOICE
    return open_still and len(request.votes) >= request.rules.quorum
