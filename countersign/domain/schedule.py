"""Schedule of an undecided request: reminders, escalation, the deadline.

Reminders and escalations that fall into the channel's quiet hours come when these end. The deadline is firm, because
people and agents were told of it. Steps missed while no process ran are not repeated one by one: one reminder is sent,
and only the last of several escalations, which lets the people of all of them decide. Everybody who may decide may
snooze reminders, or say that they are looking.
"""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from countersign.domain import quiet_hours, request_endings
from countersign.domain.eligibility import refusal_event, why_not_person
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Looking, Raised, Request, Status, Step, event

LONGEST_GAP: Final = timedelta(days=30)
LATE: Final = timedelta(seconds=5)
"""A deadline handled later than this passed while no process ran."""
_DOUBLED: Final = 20
"""Most doublings of a gap: even the shortest gap then exceeds the longest timeout."""
_MORNING: Final = time(9)


class NextKind(StrEnum):
    """Kinds of scheduled steps."""

    REMIND = "remind"
    ESCALATE = "escalate"
    EXPIRE = "expire"


class Next(NamedTuple):
    """The moment and kind of the next scheduled step."""

    at: datetime
    kind: NextKind


class Snooze(StrEnum):
    """The time for which reminders are put off."""

    HOUR = "hour"
    MORNING = "morning"
    """Until tomorrow at 9:00."""


def next_step(request: Request) -> Next | None:
    """Return the next scheduled step of the request; None if there is none."""
    if request.status is not Status.PENDING:
        return None
    steps = []
    if request.deadline is not None:
        steps.append(Next(request.deadline, NextKind.EXPIRE))
    if (raise_at := next_escalation(request)) is not None:
        steps.append(Next(raise_at, NextKind.ESCALATE))
    if (remind_at := next_reminder(request)) is not None:
        steps.append(Next(remind_at, NextKind.REMIND))
    return min(steps, key=lambda step: step.at, default=None)


def next_reminder(request: Request) -> datetime | None:
    """Find the moment of the next reminder; None if not before the deadline.

    Gaps grow, unless people chose the moment.
    """
    first = request.rules.remind_after
    if not first:
        return None
    gap = min(first * 2 ** min(request.reminded, _DOUBLED), LONGEST_GAP)
    return _in_time(request, request.snoozed_until or (request.reminded_at or request.created_at) + gap)


def next_escalation(request: Request) -> datetime | None:
    """Find the moment of the next escalation; None if not before the deadline."""
    number = taken(request)
    if number >= len(request.rules.escalation):
        return None
    return _in_time(request, request.created_at + request.rules.escalation[number].after)


def taken(request: Request) -> int:
    """Count the executed steps of its escalation."""
    return request.raised[-1].number + 1 if request.raised else 0


def place_of(request: Request, raised: Raised) -> ChannelId:
    """Return the channel in which a step of the escalation is announced."""
    return request.rules.escalation[raised.number].channel or request.rules.approvals_channel


def due(request: Request, now: datetime) -> Step:
    """Do everything that is due at this moment, in one step."""
    step = request_endings.expire(request, now)
    if step.changes or request.status is not Status.PENDING:
        return step
    following = next_step(request)
    if following is None or now < following.at:
        return Step(request)
    if request.rules.quiet.covers(now):  # it was due before these hours, while no process ran
        return Step(replace(request, held_until=request.rules.quiet.end(now)))
    raised, reminded = _raise(request, now), _remind(request, now)
    return Step(
        replace(
            raised.request,
            reminded=reminded.request.reminded,
            reminded_at=reminded.request.reminded_at,
            snoozed_until=reminded.request.snoozed_until,
            held_until=None,
        ),
        (*raised.events, *reminded.events),
    )


def snooze_end(request: Request, snooze: Snooze, now: datetime) -> datetime:
    """Find the end of a snooze, never after the deadline."""
    if snooze is Snooze.HOUR:
        end = now + timedelta(hours=1)
    else:
        zone = quiet_hours.zone_of(request.rules.quiet.zone)
        tomorrow = now.astimezone(zone).date() + timedelta(days=1)
        end = datetime.combine(tomorrow, _MORNING, zone).astimezone(UTC)
    return end if request.deadline is None else min(end, request.deadline)


def has_time_for(request: Request, snooze: Snooze) -> bool:
    """Tell whether a snooze could end before the deadline.

    Measured from the time of the question, so that no card must be redrawn only because time passes.
    """
    return request.deadline is None or snooze_end(request, snooze, request.created_at) < request.deadline


def _in_time(request: Request, at: datetime) -> datetime | None:
    at = request.rules.quiet.end(max(at, request.held_until or at))
    return at if request.deadline is None or at < request.deadline else None


def _raise(request: Request, now: datetime) -> Step:
    steps = request.rules.escalation
    last: int | None = None
    reviewers, after = request.rules.reviewers, request
    while (at := next_escalation(after)) is not None and at <= now:
        last = taken(after)
        more = steps[last].reviewers
        reviewers = Reviewers(reviewers.users | more.users, reviewers.groups | more.groups)
        after = replace(after, raised=(*after.raised, Raised(last, now)))
    if last is None:
        return Step(request)
    before = request.rules.reviewers
    joined = Reviewers(reviewers.users - before.users, reviewers.groups - before.groups)
    raised = replace(
        request,
        rules=replace(request.rules, reviewers=reviewers),
        raised=(*request.raised, Raised(last, now, joined)),
    )
    raised_event = event(
        EventType.REQUEST_ESCALATED,
        raised,
        now,
        step=str(last + 1),
        reviewers=" ".join([*sorted(steps[last].reviewers.users), *sorted(steps[last].reviewers.groups)]),
        channel=place_of(raised, raised.raised[-1]),
    )
    return Step(raised, (raised_event,))


def _remind(request: Request, now: datetime) -> Step:
    at = next_reminder(request)
    if at is None or now < at:
        return Step(request)
    reminded = replace(request, reminded=request.reminded + 1, reminded_at=now, snoozed_until=None)
    return Step(reminded, (event(EventType.REQUEST_REMINDED, reminded, now, number=str(reminded.reminded)),))


def look(request: Request, actor: Actor, now: datetime) -> Step:
    """Note once that the actor looks at the request; others may still decide."""
    if (refused := _refused_attempt(request, actor, now, "look")) is not None:
        return refused
    if any(looker.user == actor.user for looker in request.looking):
        return Step(request)
    looked = replace(request, looking=(*request.looking, Looking(actor.user, now)))
    return Step(looked, (event(EventType.REQUEST_LOOKED_AT, looked, now, user=actor.user),))


def snooze(request: Request, actor: Actor, how: Snooze, now: datetime) -> Step:
    """Put its reminders off, for everybody; escalation and deadline stay.

    No effect if the request has no reminders.
    """
    if (refused := _refused_attempt(request, actor, now, "snooze")) is not None:
        return refused
    if not request.rules.remind_after:
        return Step(request)
    until = snooze_end(request, how, now)
    put_off = replace(request, snoozed_until=until, snoozed_by=actor.user)
    noted = event(EventType.REQUEST_SNOOZED, put_off, now, user=actor.user, until=until.isoformat())
    return Step(put_off, (noted,))


def _refused_attempt(request: Request, actor: Actor, now: datetime, verb: str) -> Step | None:
    """Return the refusal, with its event, if the actor may not decide now (R25)."""
    refusal = why_not_person(request, actor, now)
    if refusal is None:
        return None
    return Step(request, (refusal_event(request, actor, verb, refusal, now),), refusal)
