"""Snooze a request's reminders, and note that somebody looks at it."""

from collections.abc import Callable

from countersign.domain import filled_sentences, schedule
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.errors import NotFound, Refused
from countersign.domain.ids import AttemptId, RequestId
from countersign.domain.people import Actor
from countersign.domain.requests import Request, Step
from countersign.domain.schedule import Snooze
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Change, Put, SeenRequest, Store


async def look(store: Store, request: RequestId, actor: Actor, attempt: AttemptId) -> Request:
    """Note that somebody looks at the request.

    Refused, with an event, if they may not decide on it.
    """
    return await _note(store, request, attempt, lambda seen: schedule.look(seen.value, actor, seen.now))


async def snooze(store: Store, request: RequestId, actor: Actor, how: Snooze, attempt: AttemptId) -> Request:
    """Snooze the request's reminders, once for the same attempt.

    Refused, with an event, if they may not decide on it.
    """
    return await _note(store, request, attempt, lambda seen: schedule.snooze(seen.value, actor, how, seen.now))


async def _note(
    store: Store, request: RequestId, attempt: AttemptId, step_of: Callable[[SeenRequest], Step]
) -> Request:
    async def propose() -> Keep[Request] | Swap[Request] | Refuse:
        seen = await store.request(request)
        if seen is None:
            return Refuse(NotFound(Refusal.UNKNOWN.value))
        step = step_of(seen)
        if step.refusal is not None:
            error = Refused(step.refusal, filled_sentences.sentence(step.refusal, seen.value))
            return Refuse(error, record=Change(events=step.events, once=attempt))
        if not step.changes:
            return Keep(seen.value)
        change = Change(
            requests=(Put(step.request, seen.version),), events=step.events, before=seen.value.deadline, once=attempt
        )
        return Swap(change, step.request, repeated=Keep(seen.value))

    return (await update(store, propose)).value
