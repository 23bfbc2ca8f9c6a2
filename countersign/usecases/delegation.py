"""Announce an absence with a stand-in, and come back."""

from dataclasses import replace
from datetime import datetime

from countersign.domain import delegation
from countersign.domain.delegation import Absence, Absences
from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event
from countersign.domain.ids import AttemptId
from countersign.domain.people import Actor
from countersign.domain.requests import Request
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Change, Put, Seen, Store

_CARDS = 500
"""Most pending requests updated when somebody leaves or comes back; other cards follow when next drawn."""


async def leave(
    store: Store, actor: Actor, stand_in: Actor, until: datetime, attempt: AttemptId | None = None
) -> Absence:
    """Name a stand-in until then.

    InvalidInput, with nothing changed, if the stand-in is not allowed, or if the person came back since this `attempt`.
    """

    async def propose() -> Swap[Absence] | Refuse:
        seen, waiting = await _read(store, actor)
        if (why_not := delegation.why_not(actor, stand_in, until, seen.now)) is not None:
            return Refuse(InvalidInput(*why_not, " Nothing was changed."))
        absences, event = delegation.leave(seen.value, actor, stand_in, until, seen.now)
        change = Change(absences=Put(absences, seen.version), events=_on_each_card(event, waiting), once=attempt)
        still = seen.value.of(actor.workspace, actor.user, seen.now)
        repeated = Refuse(InvalidInput("You came back since then. Nothing was changed."))
        return Swap(change, absences.people[-1], repeated=repeated if still is None else Keep(still))

    return (await update(store, propose)).value


async def come_back(store: Store, actor: Actor, attempt: AttemptId | None = None) -> bool:
    """End somebody's absence.

    False if they were not away, or left since this `attempt` was made.
    """

    async def propose() -> Keep[bool] | Swap[bool]:
        seen, waiting = await _read(store, actor)
        changed = delegation.come_back(seen.value, actor, seen.now)
        if changed is None:
            return Keep(False)
        absences, event = changed
        change = Change(absences=Put(absences, seen.version), events=_on_each_card(event, waiting), once=attempt)
        return Swap(change, True, repeated=Keep(False))

    return (await update(store, propose)).value


async def _read(store: Store, actor: Actor) -> tuple[Seen[Absences], list[Request]]:
    """Read the absences, and the requests that wait for this person."""
    seen, waiting = await store.absences(), await store.indexes.waiting(_CARDS)
    return seen, [r for r in waiting if r.workspace == actor.workspace and actor.user in r.rules.reviewers.users]


def _on_each_card(event: Event, waiting: list[Request]) -> tuple[Event, ...]:
    """Repeat the event for each request that waits for this person by name.

    The request's card names the stand-in.
    """
    return (event, *(replace(event, run=request.run, request=request.id) for request in waiting))
