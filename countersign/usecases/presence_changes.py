"""Look at a request, snooze it; leave, and come back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from countersign.domain import delegation, presence, refusal_sentences
from countersign.domain.delegation import Absence, Absences
from countersign.domain.errors import InvalidInput, NotFound, Refused
from countersign.domain.events import Event
from countersign.domain.ids import AttemptId, RequestId
from countersign.domain.people import Actor
from countersign.domain.refusals import Refusal
from countersign.domain.requests import Request, Step
from countersign.domain.schedule import Snooze
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Admitted, Change, Put, Seen, Store
from countersign.usecases.worker_requests import admitted

_CARDS = 500
"""Pending requests that are looked at when somebody leaves or comes back; other cards say it when next drawn."""


async def look(store: Store, request: RequestId, actor: Actor, attempt: AttemptId) -> Request:
    """Note that somebody looks at the request. Refused, with an event, if they may not decide on it."""
    return await _attend(store, request, attempt, lambda seen: presence.look(seen.value, actor, seen.now))


async def snooze(store: Store, request: RequestId, actor: Actor, how: Snooze, attempt: AttemptId) -> Request:
    """Put its reminders off; the same attempt again puts nothing off further. Refused, with an event, if
    they may not decide on it."""
    return await _attend(store, request, attempt, lambda seen: presence.snooze(seen.value, actor, how, seen.now))


async def leave(
    store: Store, actor: Actor, stand_in: Actor, until: datetime, attempt: AttemptId | None = None
) -> Absence:
    """Somebody is away until then, and the other decides in their place. InvalidInput, with nothing changed, if not, or
    if they came back since this `attempt` was made."""

    def rule(read: _Away) -> Swap[Absence] | Refuse:
        seen = read.seen
        if (why_not := delegation.why_not(actor, stand_in, until, seen.now)) is not None:
            return Refuse(InvalidInput(*why_not, " Nothing was changed."))
        known, event = delegation.leave(seen.value, actor, stand_in, until, seen.now)
        change = Change(absences=Put(known, seen.version), events=_each(event, read.waiting), once=attempt)
        still = seen.value.of(actor.workspace, actor.user, seen.now)
        repeated = Refuse(InvalidInput("You came back since then. Nothing was changed."))
        return Swap(change, known.people[-1], repeated=repeated if still is None else Keep(still))

    return (await update(store, lambda: _away(store, actor), rule)).value


async def come_back(store: Store, actor: Actor, attempt: AttemptId | None = None) -> bool:
    """Somebody is here again, and nobody stands in for them any more; False if they were here all the time, or left
    since this `attempt` was made."""

    def rule(read: _Away) -> Keep[bool] | Swap[bool]:
        seen = read.seen
        changed = delegation.come_back(seen.value, actor, seen.now)
        if changed is None:
            return Keep(False)
        known, event = changed
        change = Change(absences=Put(known, seen.version), events=_each(event, read.waiting), once=attempt)
        return Swap(change, True, repeated=Keep(False))

    return (await update(store, lambda: _away(store, actor), rule)).value


class _Away(NamedTuple):
    """People who are away, and requests that wait for the one who leaves or comes back."""

    seen: Seen[Absences]
    waiting: list[Request]


async def _away(store: Store, actor: Actor) -> _Away:
    seen = await store.absences()
    waiting = await store.indexes.waiting(_CARDS)
    mine = [r for r in waiting if r.workspace == actor.workspace and actor.user in r.rules.reviewers.users]
    return _Away(seen, mine)


def _each(event: Event, waiting: list[Request]) -> tuple[Event, ...]:
    """The event, and once more for each request that waits for this person by name: its card says who stands in."""
    return (event, *(replace(event, run=request.run, request=request.id) for request in waiting))


async def _attend(store: Store, request: RequestId, attempt: AttemptId, attend: Callable[[Admitted], Step]) -> Request:
    def rule(seen: Admitted | None) -> Keep[Request] | Swap[Request] | Refuse:
        if seen is None:
            return Refuse(NotFound(Refusal.UNKNOWN.value))
        step = attend(seen)
        if step.refusal is not None:
            error = Refused(step.refusal, refusal_sentences.sentence(step.refusal, seen.value))
            return Refuse(error, record=Change(events=step.events, once=attempt))
        if not step.changes:
            return Keep(seen.value)
        change = Change(
            requests=(Put(step.request, seen.version),), events=step.events, before=seen.value.deadline, once=attempt
        )
        return Swap(change, step.request, repeated=Keep(seen.value))

    return (await update(store, lambda: admitted(store, request), rule)).value
