"""Turn payloads into attempts to decide, which the use case judges.

An attempt in a window is judged twice, before the window opens and when it is sent, by person, time and content (R9,
R13).
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from countersign import usecases
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.decision_attempts import Attempt
from countersign.domain.errors import NotFound
from countersign.domain.ids import AttemptId, RequestId
from countersign.domain.requests import Request, Status, Verb
from countersign.domain.standing_permissions import PermissionChoice
from countersign.usecases.ports import SeenRequest

from ..people.actors import actor_of, voters_of
from ..views.confirmation_text import counted
from ..views.control_values import Handle
from ..views.request_text import dropped_votes
from .context import Reply, Services
from .payloads import attempt_id, sender


class PreparedAttempt(NamedTuple):
    """An attempt, and its request as it was when read."""

    seen: SeenRequest
    attempt: Attempt

    @property
    def request(self) -> Request:
        """The request."""
        return self.seen.value


async def read_request(services: Services, handle: Handle | None) -> SeenRequest:
    """Read the request of a button or a window. NotFound if it does not exist."""
    seen = await services.store.request(handle.request) if handle is not None else None
    if seen is None:
        raise NotFound(Refusal.UNKNOWN.value)
    return seen


async def request_of_attempt(
    services: Services,
    body: dict[str, Any],
    handle: Handle | None,
    verb: Verb,
    words: str = "",
    *,
    attempt: AttemptId | None = None,
) -> SeenRequest:
    """Read the request that an attempt is about.

    NotFound, recorded (R25), if it does not exist. `attempt` is the attempt's id if the payload makes several.
    """
    try:
        return await read_request(services, handle)
    except NotFound:
        await usecases.attempt_refused(
            services.store,
            attempt or attempt_id(body, words),
            request=handle.request if handle else None,
            workspace=services.directory.workspace,
            user=sender(body).user,
            verb=verb,
            words=words,
            refusal=Refusal.UNKNOWN,
        )
        raise


async def prepare(
    services: Services,
    body: dict[str, Any],
    handle: Handle | None,
    verb: Verb,
    words: str = "",
    *,
    wish: PermissionChoice | None = None,
    break_glass: bool = False,
    seen: SeenRequest | None = None,
) -> PreparedAttempt:
    """Turn a payload into an attempt; `seen` is its request if already read."""
    seen = seen or await request_of_attempt(services, body, handle, verb, words)
    assert handle is not None, "a request is known by its handle only"
    services.cards.clicked(seen.value.id, body)
    actor = await actor_of(services.store, services.directory, sender(body).user, seen.value.rules.reviewers)
    attempt = Attempt(attempt_id(body), actor, verb, handle.digest, words, permission=wish, break_glass=break_glass)
    return PreparedAttempt(seen, attempt)


async def decide(services: Services, body: dict[str, Any], prepared: PreparedAttempt) -> Reply:
    """Submit the attempt, and replace the clicked card by the outcome.

    The reply counts the approvals if more are needed.
    """
    seen, attempt = prepared
    if body.get("type") == "view_submission":
        attempt = replace(attempt, id=attempt_id(body, *_entered_texts(attempt)))
    voters = partial(voters_of, services.directory)
    try:
        after = await usecases.decide(
            services.store, services.queue, seen.value.id, attempt, seen, voters, services.cards.held
        )
    finally:
        replace_card(services, seen.value.id)
    if after.status is not Status.PENDING:
        return Reply("")
    return Reply(counted(after, attempt.verb, attempt.chosen) + dropped_votes(seen.value, after))


def replace_card(services: Services, request: RequestId) -> None:
    """Update the clicked card after an attempt."""
    if (replacing := services.cards.replacing(request)) is not None:
        services.hold(replacing)


def _entered_texts(attempt: Attempt) -> list[str]:
    """Return the texts entered in a window."""
    wish = attempt.permission
    scopes = [] if wish is None else [wish.scope, wish.span]
    return [attempt.words, attempt.typed, attempt.arguments, attempt.content, *attempt.chosen, *scopes]
