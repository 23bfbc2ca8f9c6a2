"""One workspace as seen by its pages: store, people, and access to requests."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from countersign.domain.durations import say_duration
from countersign.domain.ids import ChannelId, GroupId, UserId, WorkspaceId
from countersign.domain.people import Actor, why_nobody
from countersign.domain.requests import Request
from countersign.usecases.overview import Overview
from countersign.usecases.ports import Message, Queue, Store

from ..slack.people.users_and_groups import Directory

Name = UserId | GroupId | ChannelId


@dataclass(frozen=True, slots=True)
class Desk:
    """Services of one workspace. `link` gives the address of a message in Slack."""

    workspace: WorkspaceId
    store: Store
    queue: Queue
    overview: Overview
    directory: Directory
    link: Callable[[Message], str]
    admins: frozenset[UserId]


@dataclass(frozen=True, slots=True)
class PageReader:
    """Reader of a page, by Slack's current data.

    `unknown`: groups whose membership Slack did not tell. `channels`: the reader's channels; None if Slack did not
    tell.
    """

    actor: Actor
    now: datetime
    unknown: tuple[GroupId, ...]
    channels: frozenset[ChannelId] | None
    is_admin: bool

    @property
    def names(self) -> list[Name]:
        """Name the lists of requests that wait for this person."""
        seats = (self.actor, *self.actor.stands_for)
        return sorted({name for seat in seats for name in (seat.user, *(seat.groups or ()))})

    @property
    def slack_is_away(self) -> str:
        """Return a notice if older answers of Slack are in use, else ""."""
        ages = [one.said_ago for one in (self.actor, *self.actor.stands_for) if one.said_ago is not None]
        if not ages:
            return ""
        age = say_duration(timedelta(minutes=max(ages) // timedelta(minutes=1)))
        return (
            f"Slack doesn't answer. Who you are, and your groups, count as Slack last said, {age} ago. The audit log "
            "says so with each decision."
        )

    def may_see(self, request: Request) -> bool:
        """Tell whether this person sees the request in Slack too, or decides on it."""
        if self.actor.is_deactivated or self.actor.is_stranger:
            return False
        if self.is_admin or self.actor.user in _people(request) or {*self.names} & _asked(request):
            return True
        return bool(self.channels and self.channels & {request.channel, request.rules.approvals_channel})


async def reader_of(desk: Desk, user: UserId) -> PageReader:
    """Describe somebody for a page."""
    groups = await desk.overview.groups()
    (member_of, unknown), channels = await asyncio.gather(
        desk.directory.memberships(user, groups), desk.directory.joined(user)
    )
    actor = await desk.directory.actor(user, member_of)
    absences = await desk.store.absences()
    absent = absences.value.behind(actor.workspace, user, absences.now)
    others = await asyncio.gather(*(desk.directory.actor(one, groups) for one in absent))
    actor = replace(actor, stands_for=tuple(others))
    is_admin = why_nobody(actor, desk.workspace) is None and actor.administers(desk.admins)
    return PageReader(actor, await desk.store.now(), tuple(sorted(unknown)), channels, is_admin)


def _people(request: Request) -> set[UserId]:
    by = request.decision.by if request.decision is not None else ()
    return {request.requester, *by, *(vote.user for vote in request.votes)}


def _asked(request: Request) -> set[Name]:
    return {*request.rules.reviewers.users, *request.rules.reviewers.groups}
