"""Attempts to decide: made of a payload, and judged by the use case.

An attempt is judged twice where a window stands between, before it opens and when it is sent: who, in time, on what
content (R9, R13).
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from countersign import usecases
from countersign.domain.decision_rules import Attempt
from countersign.domain.errors import NotFound
from countersign.domain.grant_request import Wish
from countersign.domain.ids import UserId
from countersign.domain.refusals import Refusal
from countersign.domain.requests import Request, Status, Verb
from countersign.usecases.ports import Admitted

from ..people.actors import actor_of, voters_of
from ..views.card_controls import Handle
from ..views.request_text import no_votes
from .context import Desk, Reply
from .payloads import attempt_id, sender


class Aimed(NamedTuple):
    """An attempt, and the request that it is about as it was read for it."""

    seen: Admitted
    attempt: Attempt

    @property
    def request(self) -> Request:
        """The request."""
        return self.seen.value


async def known(desk: Desk, handle: Handle | None) -> Admitted:
    """The request of a button or a window. NotFound if there is none."""
    seen = await usecases.admitted(desk.store, handle.request) if handle is not None else None
    if seen is None:
        raise NotFound(Refusal.UNKNOWN.value)
    return seen


async def aim(
    desk: Desk,
    body: dict[str, Any],
    handle: Handle | None,
    verb: Verb,
    words: str = "",
    *,
    wish: Wish | None = None,
    break_glass: bool = False,
    opened_for: UserId | None = None,
    typed: str = "",
) -> Aimed:
    """Make the attempt of a payload.

    NotFound, put on record (R25), if there is no such request.
    """
    at = sender(body)
    try:
        seen = await known(desk, handle)
    except NotFound:
        about = handle.request if handle else None
        name = attempt_id(body, words)
        await usecases.unknown_request(
            desk.store, name, request=about, workspace=at.workspace, user=at.user, verb=verb, words=words
        )
        raise
    assert handle is not None, "a request is known by its handle only"
    actor = await actor_of(desk.store, desk.directory, at.workspace, at.user, seen.value.rules.reviewers)
    attempt = Attempt(attempt_id(body), actor, verb, handle.digest, words, wish=wish, break_glass=break_glass)
    return Aimed(seen, replace(attempt, opened_for=opened_for, typed=typed))


async def decide(desk: Desk, body: dict[str, Any], aimed: Aimed) -> Reply:
    """Store what the attempt does.

    The reply says how many approvals there are if more are needed.
    """
    seen, attempt = aimed
    attempt = replace(attempt, id=attempt_id(body, *_content(attempt)))
    voters = partial(voters_of, desk.directory)
    after = await usecases.decide(desk.store, desk.queue, seen.value.id, attempt, seen, voters)
    if after.status is not Status.PENDING:
        return Reply("")
    if attempt.verb is Verb.CHOOSE:
        same = sum(vote.chosen == attempt.chosen for vote in after.votes)
        counted = f"Your choice is counted: {same} of {after.rules.quorum} people needed chose this."
    else:
        counted = f"Your approval is counted: {len(after.votes)} of {after.rules.quorum} needed."
    return Reply(counted + no_votes(seen.value, after))


def _content(attempt: Attempt) -> list[str]:
    """Return the texts that were entered in a window."""
    wish = attempt.wish
    scopes = [] if wish is None else [wish.scope, wish.span]
    return [attempt.words, attempt.typed, attempt.arguments, *attempt.chosen, *scopes]
