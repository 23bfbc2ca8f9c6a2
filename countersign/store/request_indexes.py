"""In which lists a request is found again, by the name of a user, a user group or a channel.

Slack's ids tell by their first letter what they name (U W, S, C G D), so one family of keys holds all three.
"""

from typing import Final

from countersign.domain import schedule
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.requests import Request
from countersign.domain.vote_count import tied

Name = UserId | GroupId | ChannelId

KEPT_DECIDED: Final = 100
"""How many decisions a list remembers."""


def waits_for(request: Request) -> set[Name]:
    """Whose lists of what waits a pending request is in; whoever named has voted, or may not decide, is left out.

    Where they chose different things it waits for all of them again.
    """
    return {*_named(request), *_places(request)} - _not_for(request)


def waits_not_for(request: Request) -> set[Name]:
    """People who have voted, for whom it does not wait any more though a group that they may be in could decide.

    Nor does it for who asked, if own requests are not theirs to decide: that is found by their runs.
    """
    return set() if tied(request) else _voters_of_groups(request)


def was_for(request: Request) -> tuple[set[Name], set[Name]]:
    """All lists that the request may have been in: of what waits, and of what does not."""
    return {*_named(request), *_places(request)}, _voters_of_groups(request)


def decided_for(request: Request) -> set[Name]:
    """Whose lists of decisions a settled request is in: who asked for the run, who decided, and the channels."""
    by = request.decision.by if request.decision else ()
    return {request.requester, *by, *(vote.user for vote in request.votes), *_places(request)}


def _named(request: Request) -> set[Name]:
    reviewers = request.rules.reviewers
    return {*reviewers.users, *reviewers.groups}


def _places(request: Request) -> set[Name]:
    raised = (schedule.place_of(request, step) for step in request.raised)
    return {request.channel, request.rules.approvals_channel, *raised}


def _not_for(request: Request) -> set[Name]:
    own = () if request.rules.own_requests else (request.requester,)
    voted = () if tied(request) else (vote.user for vote in request.votes)
    return {*own, *voted}


def _voters_of_groups(request: Request) -> set[Name]:
    return {vote.user for vote in request.votes} if request.rules.reviewers.groups else set()
