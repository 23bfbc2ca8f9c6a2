"""The verbs of those who look after requests, and after themselves: look, snooze, leave, come back."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from countersign import usecases
from countersign.domain import delegation, presence, refusal_sentences
from countersign.domain.delegation import Absence
from countersign.domain.errors import InvalidInput, NotFound, Refused, StoreUnavailable
from countersign.domain.events import Event
from countersign.domain.ids import AttemptId, RequestId
from countersign.domain.people import Actor
from countersign.domain.refusals import Refusal
from countersign.domain.requests import Request, Step
from countersign.domain.schedule import Snooze
from countersign.usecases.ports import Change, Committed, Put, Seen, Store

_TRIES = 200
_CARDS = 500
"""Pending requests that are looked at when somebody leaves or comes back; other cards say it when next drawn."""


async def look(store: Store, request: RequestId, actor: Actor, attempt: AttemptId) -> Request:
    """Note that somebody looks at the request. Refused, with an event, if they may not decide on it."""
    return await _attend(store, request, attempt, lambda seen: presence.look(seen.value, actor, seen.now))


async def snooze(store: Store, request: RequestId, actor: Actor, how: Snooze, attempt: AttemptId) -> Request:
    """Put its reminders off; the same attempt again puts nothing off further. Refused, likewise."""
    return await _attend(store, request, attempt, lambda seen: presence.snooze(seen.value, actor, how, seen.now))


async def leave(
    store: Store, actor: Actor, stand_in: Actor, until: datetime, attempt: AttemptId | None = None
) -> Absence:
    """Somebody is away until then, and the other decides in their place. InvalidInput, with nothing changed, if not, or
    if they came back since this `attempt` was made."""
    for _ in range(_TRIES):
        seen = await store.absences()
        if (why_not := delegation.why_not(actor, stand_in, until, seen.now)) is not None:
            raise InvalidInput(*why_not, " Nothing was changed.")
        known, event = delegation.leave(seen.value, actor, stand_in, until, seen.now)
        events = await _told(store, actor, event)
        match await store.commit(Change(absences=Put(known, seen.version), events=events, once=attempt)):
            case Committed.DONE:
                return known.people[-1]
            case Committed.REPEATED:
                if (still := seen.value.of(actor.workspace, actor.user, seen.now)) is not None:
                    return still
                raise InvalidInput("You came back since then. Nothing was changed.")
    raise _too_many_tries()


async def come_back(store: Store, actor: Actor, attempt: AttemptId | None = None) -> bool:
    """Somebody is here again, and nobody stands in for them any more; False if they were here all the time, or left
    since this `attempt` was made."""
    for _ in range(_TRIES):
        seen = await store.absences()
        changed = delegation.come_back(seen.value, actor, seen.now)
        if changed is None:
            return False
        known, event = changed
        events = await _told(store, actor, event)
        match await store.commit(Change(absences=Put(known, seen.version), events=events, once=attempt)):
            case Committed.DONE:
                return True
            case Committed.REPEATED:
                return False
    raise _too_many_tries()


async def _told(store: Store, actor: Actor, event: Event) -> tuple[Event, ...]:
    """The event, and it again for each request that waits for this person by name: its card says who stands in."""
    waiting = await store.waiting(_CARDS)
    mine = [r for r in waiting if r.workspace == actor.workspace and actor.user in r.rules.reviewers.users]
    return (event, *(replace(event, run=request.run, request=request.id) for request in mine))


async def _attend(
    store: Store, request: RequestId, attempt: AttemptId, rule: Callable[[Seen[Request]], Step]
) -> Request:
    for _ in range(_TRIES):
        seen = await usecases.admitted(store, request)
        if seen is None:
            raise NotFound(Refusal.UNKNOWN.value)
        step = rule(seen)
        if step.refusal is not None:
            await store.commit(Change(events=step.events, once=attempt))
            raise Refused(step.refusal, refusal_sentences.sentence(step.refusal, seen.value))
        if not step.changes:
            return seen.value
        change = Change(
            requests=(Put(step.request, seen.version),), events=step.events, before=seen.value.deadline, once=attempt
        )
        match await store.commit(change):
            case Committed.DONE:
                return step.request
            case Committed.REPEATED:
                return seen.value
    raise _too_many_tries()


def _too_many_tries() -> StoreUnavailable:
    return StoreUnavailable(f"Others were faster {_TRIES} times in a row. Nothing was changed; please try again.")
