"""The verbs of standing permissions: allow, revoke. They are given with an approval, in the same step (`flows.decide`).

Only `web` allows and revokes: a worker may not write what counts as an approval, and only `web` can ask Slack whether
who gave a permission may still decide.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace

from countersign import usecases
from countersign.domain import decision_rules, grants
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import InvalidInput, NotFound, StoreUnavailable
from countersign.domain.events import Event, EventType
from countersign.domain.grant_scopes import Scope
from countersign.domain.grants import Permission
from countersign.domain.ids import AttemptId, PermissionId, RequestId, UserId
from countersign.domain.people import Actor
from countersign.domain.requests import Request, Status, Step
from countersign.usecases.ports import Change, Committed, Put, Queue, Seen, Store

Whose = Callable[[Permission, Rules], Awaitable[Actor]]
"""Who gave a permission, as Slack describes them now, with those of the rules' groups that they belong to."""
_NARROWEST = list(Scope)
_TRIES = 50


async def allow(store: Store, queue: Queue, request: RequestId, whose: Whose) -> Request | None:
    """Approve the request if a standing permission covers it, before anybody is asked; the use is counted and on record
    in the same step. Returns the request as it is then, None if nothing was allowed."""
    for _ in range(_TRIES):
        standing = await store.permissions()
        seen = await usecases.admitted(store, request) if standing else None
        if seen is None or seen.value.status is not Status.PENDING:
            return None
        found = await _covering(store, standing, seen, whose)
        if found is None:
            return None
        step, permission = found
        used = replace(permission.value, used=permission.value.used + 1, changed_at=seen.now)
        change = Change(
            requests=(Put(step.request, seen.version),),
            permissions=(Put(used, permission.version),),
            events=step.events,
            before=seen.value.deadline,
        )
        if await usecases.stored(store, queue, change):
            return step.request
    raise _too_many_tries()


async def _covering(
    store: Store, standing: list[Seen[Permission]], seen: Seen[Request], whose: Whose
) -> tuple[Step, Seen[Permission]] | None:
    """The narrowest that covers the request, and what it makes of it."""
    run = await store.run(seen.value.run)
    if run is None:
        return None
    team = run.value.known_as
    covering = [one for one in standing if grants.covers(one.value, seen.value, team, seen.now)]
    for one in sorted(covering, key=lambda one: _NARROWEST.index(one.value.scope)):
        giver = await whose(one.value, seen.value.rules)
        step = decision_rules.allow(seen.value, one.value, giver, team, seen.now)
        if step.changes:
            return step, one
    return None


async def in_force(store: Store) -> list[Permission]:
    """Those that may still allow something, the first to end first: none of a run that has ended."""
    standing = [seen.value for seen in await store.permissions()]
    runs = await store.readable_runs([one.run for one in standing if one.run is not None])
    ended = {name for name, run in runs.items() if run is None or run.over}  # of one that is not readable nobody knows
    return [one for one in standing if one.run not in ended]


async def revoke(
    store: Store,
    permission: PermissionId,
    actor: Actor,
    admins: frozenset[UserId],
    attempt: AttemptId | None = None,
) -> Permission:
    """End a permission before its time: from then on people are asked again. Revoked twice is revoked once.

    Who gave it, who may decide in its channel, and admins may. InvalidInput, with an event, once for each
    `attempt`, if somebody else tries; NotFound if it has ended by itself.
    """
    for _ in range(_TRIES):
        seen = await store.permission(permission)
        if seen is None:
            raise NotFound("This permission has ended already. Nothing was changed; people are asked again.")
        if seen.value.revoked_by is not None:
            return seen.value
        rules = await usecases.rules_of(store, seen.value.channel)
        if (refusal := grants.why_not_revoke(seen.value, actor, rules, admins)) is not None:
            told = Event(
                EventType.ATTEMPT_REFUSED,
                seen.now,
                request=seen.value.request,
                workspace=actor.workspace,
                user=actor.user,
                data={"verb": "revoke", "refusal": refusal.name.lower(), "permission": permission},
            )
            await store.commit(Change(events=(told,), once=attempt))
            raise InvalidInput(refusal.value)
        ended = replace(seen.value, revoked_by=actor.user, changed_at=seen.now)
        change = Change(permissions=(Put(ended, seen.version),), events=(grants.revoked(ended, actor.user),))
        if await store.commit(change) is Committed.DONE:
            return ended
    raise _too_many_tries()


def _too_many_tries() -> StoreUnavailable:
    return StoreUnavailable(f"Others were faster {_TRIES} times in a row. Nothing was changed; please try again.")
