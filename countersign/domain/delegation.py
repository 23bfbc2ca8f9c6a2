"""Absences with one stand-in each, without chains.

A stand-in counts as one person and a seat as one vote, so announcing or ending an absence never adds a vote.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from countersign.domain.attempt_refusals import Sentence
from countersign.domain.events import Event, EventType
from countersign.domain.ids import UserId, WorkspaceId
from countersign.domain.people import Actor, why_nobody

LONGEST: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Absence:
    """The time of a person's absence, and their stand-in."""

    workspace: WorkspaceId
    user: UserId
    stand_in: UserId
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Absences:
    """All announced absences; absences that have ended no longer count."""

    people: tuple[Absence, ...] = ()

    def of(self, workspace: WorkspaceId, user: UserId, now: datetime) -> Absence | None:
        """Return this person's absence; None while they are here."""
        return next((a for a in self.people if (a.workspace, a.user) == (workspace, user) and now < a.until), None)

    def behind(self, workspace: WorkspaceId, stand_in: UserId, now: datetime) -> tuple[UserId, ...]:
        """Return the people for whom this person stands in directly, without chains."""
        return tuple(
            a.user for a in self.people if (a.workspace, a.stand_in) == (workspace, stand_in) and now < a.until
        )

    def without(self, workspace: WorkspaceId, user: UserId, now: datetime) -> "Absences":
        """Drop this person's absence, and all ended absences."""
        return replace(
            self,
            people=tuple(a for a in self.people if (a.workspace, a.user) != (workspace, user) and now < a.until),
        )


def leave(absences: Absences, actor: Actor, stand_in: Actor, until: datetime, now: datetime) -> tuple[Absences, Event]:
    """Add an absence; call it only when `why_not` returns None."""
    absence = Absence(actor.workspace, actor.user, stand_in.user, now, until)
    rest = absences.without(actor.workspace, actor.user, now)
    data = {"stand_in": stand_in.user, "until": until.isoformat()}
    if (before := absences.of(actor.workspace, actor.user, now)) is not None and before.stand_in != stand_in.user:
        data["before"] = before.stand_in
    event = Event(EventType.STAND_IN_NAMED, now, workspace=actor.workspace, user=actor.user, data=data)
    return replace(rest, people=(*rest.people, absence)), event


def come_back(absences: Absences, actor: Actor, now: datetime) -> tuple[Absences, Event] | None:
    """End this person's absence; None if they are not away."""
    before = absences.of(actor.workspace, actor.user, now)
    if before is None:
        return None
    event = Event(
        EventType.STAND_IN_ENDED,
        now,
        workspace=actor.workspace,
        user=actor.user,
        data={"stand_in": before.stand_in, "until": before.until.isoformat()},
    )
    return absences.without(actor.workspace, actor.user, now), event


def why_not(actor: Actor, stand_in: Actor, until: datetime, now: datetime) -> Sentence | None:
    """Return why this stand-in cannot be named until then; None if they can."""
    if (nobody := why_nobody(actor, actor.workspace)) is not None:
        return (nobody.value,)
    if stand_in.user == actor.user:
        return ("You can't be your own stand-in; name somebody else.",)
    if not stand_in.checked:
        return "Slack didn't confirm who ", stand_in.user, " is. Try again in a moment."
    if why_nobody(stand_in, actor.workspace) is not None:
        return stand_in.user, " can't decide here; name a full member of this workspace, not a guest or a bot."
    if until <= now:
        return ("That time has already passed.",)
    if until - now > LONGEST:
        return (f"A stand-in can be named for at most {LONGEST.days} days.",)
    return None
