"""Who is away, and who stands in for them meanwhile: one person for one person, without chains."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from countersign.domain.events import Event, EventType
from countersign.domain.ids import UserId, WorkspaceId
from countersign.domain.people import Actor, why_nobody
from countersign.domain.slack_markup import mention

LONGEST: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Absence:
    """Somebody is away until then, and this person decides in their place."""

    workspace: WorkspaceId
    user: UserId
    stand_in: UserId
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Absences:
    """All that were told; those whose time has ended count no more."""

    people: tuple[Absence, ...] = ()

    def of(self, workspace: WorkspaceId, user: UserId, now: datetime) -> Absence | None:
        """This person's absence; None while they are here."""
        return next((a for a in self.people if (a.workspace, a.user) == (workspace, user) and now < a.until), None)

    def behind(self, workspace: WorkspaceId, stand_in: UserId, now: datetime) -> tuple[UserId, ...]:
        """Whom this person stands in for themselves: not whom those stand in for."""
        return tuple(
            a.user for a in self.people if (a.workspace, a.stand_in) == (workspace, stand_in) and now < a.until
        )

    def without(self, workspace: WorkspaceId, user: UserId, now: datetime) -> "Absences":
        """Without this person's, and without those that have ended."""
        return replace(
            self,
            people=tuple(a for a in self.people if (a.workspace, a.user) != (workspace, user) and now < a.until),
        )


def leave(known: Absences, actor: Actor, stand_in: Actor, until: datetime, now: datetime) -> tuple[Absences, Event]:
    """The absences with this one, and the event. Call it only when `why_not` finds nothing."""
    absence = Absence(actor.workspace, actor.user, stand_in.user, now, until)
    rest = known.without(actor.workspace, actor.user, now)
    data = {"stand_in": stand_in.user, "until": until.isoformat()}
    if (before := known.of(actor.workspace, actor.user, now)) is not None and before.stand_in != stand_in.user:
        data["before"] = before.stand_in
    event = Event(EventType.STAND_IN_NAMED, now, workspace=actor.workspace, user=actor.user, data=data)
    return replace(rest, people=(*rest.people, absence)), event


def come_back(known: Absences, actor: Actor, now: datetime) -> tuple[Absences, Event] | None:
    """The absences without this person's, and the event; None if they are not away."""
    before = known.of(actor.workspace, actor.user, now)
    if before is None:
        return None
    event = Event(
        EventType.STAND_IN_ENDED,
        now,
        workspace=actor.workspace,
        user=actor.user,
        data={"stand_in": before.stand_in, "until": before.until.isoformat()},
    )
    return known.without(actor.workspace, actor.user, now), event


def why_not(actor: Actor, stand_in: Actor, until: datetime, now: datetime) -> str | None:
    """Why this stand-in cannot be named for so long, in a sentence; None if they can."""
    if (nobody := why_nobody(actor, actor.workspace)) is not None:
        return nobody.value
    if stand_in.user == actor.user:
        return "Nobody stands in for themselves: name somebody else."
    if not stand_in.checked:
        return f"Slack did not say who {mention(stand_in.user)} is; please try again in a moment."
    if why_nobody(stand_in, actor.workspace) is not None:
        return f"{mention(stand_in.user)} could not decide: name a full member of this workspace, no guest and no bot."
    if until <= now:
        return "That moment has passed already."
    if until - now > LONGEST:
        return f"A stand-in is named for {LONGEST.days} days at most."
    return None
