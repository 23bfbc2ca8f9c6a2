"""Attention to a request besides deciding: people look at it, or snooze it."""

from dataclasses import replace
from datetime import datetime

from countersign.domain import decision_rules, schedule
from countersign.domain.events import EventType
from countersign.domain.people import Actor
from countersign.domain.requests import Looking, Request, Step, event
from countersign.domain.schedule import Snooze


def look(request: Request, actor: Actor, now: datetime) -> Step:
    """Note that they look at it, once; nobody is kept from deciding by that."""
    if (refused := _refused(request, actor, now, "look")) is not None:
        return refused
    if any(looker.user == actor.user for looker in request.looking):
        return Step(request)
    looked = replace(request, looking=(*request.looking, Looking(actor.user, now)))
    return Step(looked, (event(EventType.REQUEST_LOOKED_AT, looked, now, user=actor.user),))


def snooze(request: Request, actor: Actor, how: Snooze, now: datetime) -> Step:
    """Put its reminders off, for everybody; escalation and deadline stay.

    Nothing happens where it has no reminders.
    """
    if (refused := _refused(request, actor, now, "snooze")) is not None:
        return refused
    if not request.rules.remind_after:
        return Step(request)
    until = schedule.snooze_end(request, how, now)
    put_off = replace(request, snoozed_until=until, snoozed_by=actor.user)
    noted = event(EventType.REQUEST_SNOOZED, put_off, now, user=actor.user, until=until.isoformat())
    return Step(put_off, (noted,))


def _refused(request: Request, actor: Actor, now: datetime, verb: str) -> Step | None:
    """The refusal, with its event, of somebody who may not decide on it now (R25)."""
    refusal = decision_rules.why_not_person(request, actor, now)
    if refusal is None:
        return None
    noted = event(
        EventType.ATTEMPT_REFUSED,
        request,
        now,
        user=actor.user,
        workspace=actor.workspace,
        verb=verb,
        refusal=refusal.name.lower(),
        words="",
        digest=request.digest,
    )
    return Step(request, (noted,), refusal)
