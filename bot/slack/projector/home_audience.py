"""Find the people whose Home changes after events.

They asked, may decide, voted, gave a permission that ended, or stand in for somebody."""

import asyncio
from collections.abc import Iterable, Sequence

from countersign.domain.events import Event
from countersign.domain.ids import GroupId, UserId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.ports import Store

from ..people.directory import Directory


async def audience(store: Store, directory: Directory, events: Sequence[Event], live: set[UserId]) -> set[UserId]:
    """Find the live Homes that these events concern; what cannot be read is skipped."""
    of_runs = await store.readable_runs(list(dict.fromkeys(e.run for e in events if e.run is not None)))
    of_requests = await store.readable(list(dict.fromkeys(e.request for e in events if e.request is not None)))
    runs = [run for run in of_runs.values() if run is not None]
    requests = [request for request in of_requests.values() if request is not None]
    people = {run.requester for run in runs}.union(*map(_named_by, requests))
    people |= await _permission_givers(store, runs)
    people |= await _members(directory, {group for one in requests for group in one.rules.reviewers.groups}, live)
    return live & (people | await _stand_ins(store, people) | _named_in(events))


def _named_by(request: Request) -> set[UserId]:
    decided = request.decision.by if request.decision else ()
    return {request.requester, *request.rules.reviewers.users, *(vote.user for vote in request.votes), *decided}


async def _permission_givers(store: Store, runs: Iterable[Run]) -> set[UserId]:
    """Find those whose standing permissions ended with a run."""
    ended = {run.id for run in runs if run.over}
    return {seen.value.by for seen in await store.permissions() if seen.value.run in ended} if ended else set()


async def _members(directory: Directory, groups: Iterable[GroupId], live: set[UserId]) -> set[UserId]:
    """Find who is in one of the groups; all, if a channel has too many to list."""
    known = [members for members in await asyncio.gather(*(directory.members(group) for group in groups)) if members]
    return live if any(not members.whole for members in known) else {u for members in known for u in members.users}


async def _stand_ins(store: Store, people: set[UserId]) -> set[UserId]:
    absences = await store.absences()
    return {a.stand_in for a in absences.value.people if a.user in people and absences.now < a.until}


def _named_in(events: Sequence[Event]) -> set[UserId]:
    """Find those who stand in, or did until now.

    Their Home shows what waited for the other person. No request names them if that person is a reviewer as the
    member of a group.
    """
    return {UserId(e.data[name]) for e in events for name in ("stand_in", "before") if name in e.data}
