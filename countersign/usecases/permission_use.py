"""Use and revoke standing permissions.

They are given with an approval, in the same step (`decisions.decide`). Before a permission is used, Slack is asked
whether its giver may still decide.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from countersign.domain import decision_attempts, standing_permissions
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import CountersignError, InvalidInput, NotFound, StoreUnavailable
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, PermissionId, RequestId, UserId
from countersign.domain.people import Actor
from countersign.domain.requests import Request, Scope, Status, Step
from countersign.domain.standing_permissions import Permission
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, Update, update
from countersign.usecases.decisions import turn_down, wake_parked
from countersign.usecases.effective_settings import rules_of
from countersign.usecases.ports import Change, Put, Queue, Seen, SeenRequest, Store

Whose = Callable[[Permission, Rules], Awaitable[Actor]]
"""Looks up a permission's giver, as Slack describes them now, with their groups among those of the rules."""
WhyNobody = Callable[[Request], Awaitable[str | None]]
"""Returns why nobody could decide on a request, by Slack's current data; None if somebody could."""
_NARROWEST: Final = list(Scope)
_log = logging.getLogger(__name__)


def before_people(
    store: Store, queue: Queue, whose: Whose, why_nobody: WhyNobody
) -> Callable[[RequestId], Awaitable[None]]:
    """Return the function that handles a new request before people are asked.

    A standing permission may answer it, one request at a time, because each use is counted; and a request that nobody
    could decide is turned down (R10).
    """
    turn = asyncio.Lock()

    async def settle(request: RequestId) -> None:
        async with turn:
            try:
                await allow(store, queue, request, whose)
            except StoreUnavailable:
                raise
            except CountersignError as wrong:
                _log.error("Permissions were not checked for request %s, so people are asked: %s", request, wrong)
        seen = await store.intact(request)
        if seen is not None and (why := await why_nobody(seen.value)) is not None:
            await turn_down(store, queue, request, why)

    return settle


async def allow(store: Store, queue: Queue, request: RequestId, whose: Whose) -> Request | None:
    """Approve the request if a standing permission covers it, before anybody is asked.

    The use is counted and recorded in the same step. Returns the resulting request, None if nothing was allowed.
    """

    async def propose() -> Keep[Request | None] | Swap[Request | None]:
        standing = await store.permissions()
        seen = await store.request(request) if standing else None
        if seen is None or seen.value.status is not Status.PENDING:
            return Keep(None)
        covered = await _covering(store, standing, seen, whose)
        if covered is None:
            return Keep(None)
        permission, step = covered
        used = replace(permission.value, used=permission.value.used + 1, changed_at=seen.now)
        change = Change(
            requests=(Put(step.request, seen.version),),
            permissions=(Put(used, permission.version),),
            events=step.events,
            before=seen.value.deadline,
        )
        return Swap(change, step.request)

    outcome = await update(store, propose)
    return None if outcome.value is None else await wake_parked(store, queue, Update(outcome.value, outcome.answer))


async def _covering(
    store: Store, standing: list[Seen[Permission]], seen: SeenRequest, whose: Whose
) -> tuple[Seen[Permission], Step] | None:
    """Find the narrowest permission that covers the request, and the resulting step."""
    run = await store.run(seen.value.run)
    if run is None:
        return None
    team = run.value.known_as
    covering = [
        permission
        for permission in standing
        if standing_permissions.covers(permission.value, seen.value, team, seen.now)
    ]
    for permission in sorted(covering, key=lambda permission: _NARROWEST.index(permission.value.scope)):
        giver = await whose(permission.value, seen.value.rules)
        step = decision_attempts.allow(seen.value, permission.value, giver, team, seen.now)
        if step.changes:
            return permission, step
    return None


async def in_force(store: Store) -> list[Permission]:
    """List the permissions that are still valid, the first to end first.

    Permissions of ended runs are left out.
    """
    standing = [seen.value for seen in await store.permissions()]
    runs = await store.readable_runs([permission.run for permission in standing if permission.run is not None])
    ended = {name for name, run in runs.items() if run is None or run.over}  # an unreadable run may not have ended
    return [permission for permission in standing if permission.run not in ended]


async def revoke(
    store: Store,
    permission: PermissionId,
    actor: Actor,
    admins: frozenset[UserId],
    attempt: AttemptId | None = None,
) -> Permission:
    """Revoke a permission: from then on people are asked again.

    Its giver, the reviewers of its channel and admins may, any number of times. InvalidInput, with an event, once for
    each `attempt`, if somebody else tries; NotFound if it has expired.
    """

    async def propose() -> Keep[Permission] | Swap[Permission] | Refuse:
        seen = await store.permission(permission)
        if seen is None:
            return Refuse(NotFound("This permission has already ended; people are asked again."))
        if seen.value.revoked_by is not None:
            return Keep(seen.value)
        rules = await rules_of(store, seen.value.channel)
        refusal = standing_permissions.why_not_revoke(seen.value, actor, rules, admins)
        if refusal is not None:
            event = Event(
                EventType.ATTEMPT_REFUSED,
                seen.now,
                request=seen.value.request,
                workspace=actor.workspace,
                user=actor.user,
                data={"verb": "revoke", "refusal": refusal.name.lower(), "permission": permission},
            )
            return Refuse(InvalidInput(refusal.value), record=Change(events=(event,), once=attempt))
        ended = replace(seen.value, revoked_by=actor.user, changed_at=seen.now)
        change = Change(
            permissions=(Put(ended, seen.version),), events=(standing_permissions.revoked(ended, actor.user),)
        )
        return Swap(change, ended)

    return (await update(store, propose)).value
