"""Lists of requests by the name of a user, a user group or a channel.

They follow the events, so that whoever clicks need not wait; `countersign.store.overview` reads them. A request is put
where it belongs now, however often and by whichever process. Should a process that was frozen meanwhile put an older
state there, the overview finds that out as it reads.

Slack's ids tell by their first letter what they name (U W, S, C G D), so one family of keys holds all three.
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from countersign.domain import schedule
from countersign.domain.events import REQUEST_CHANGED, Event
from countersign.domain.ids import ChannelId, GroupId, RequestId, UserId
from countersign.domain.quorum import tied
from countersign.domain.requests import Request, Status
from countersign.store.codec import ms
from countersign.store.keys import KEPT, Keys
from countersign.store.reads import reaching
from countersign.store.redis.scripts import Script
from countersign.store.store import Store

Name = UserId | GroupId | ChannelId

KEPT_DECIDED: Final = 100
"""The number of decisions that a list remembers."""


def waits_for(request: Request) -> set[Name]:
    """Name the lists of waiting requests that a pending request is in.

    Named people who have voted, or may not decide, are left out. After a tie it waits for all of them again.
    """
    return {*_named(request), *_places(request)} - _not_for(request)


def waits_not_for(request: Request) -> set[Name]:
    """Name those who have voted, though their group may still decide.

    It does not wait for a requester who may not decide either: they are found by their runs.
    """
    return set() if tied(request) else _voters_of_groups(request)


def was_for(request: Request) -> tuple[set[Name], set[Name]]:
    """Name all lists that the request may have been in, waiting and not waiting."""
    return {*_named(request), *_places(request)}, _voters_of_groups(request)


def decided_for(request: Request) -> set[Name]:
    """Name the lists of decisions that a settled request is in.

    Those are the requester's, the deciders' and the channels'.
    """
    by = request.decision.by if request.decision else ()
    return {request.requester, *by, *(vote.user for vote in request.votes), *_places(request)}


def _named(request: Request) -> set[Name]:
    reviewers = request.rules.reviewers
    return {*reviewers.users, *reviewers.groups}


def _places(request: Request) -> set[Name]:
    raised = (schedule.place_of(request, step) for step in request.raised)
    return {request.channel, *(() if request.rules.in_thread else (request.rules.approvals_channel,)), *raised}


def _not_for(request: Request) -> set[Name]:
    own = () if request.rules.own_requests else (request.requester,)
    voted = () if tied(request) else (vote.user for vote in request.votes)
    return {*own, *voted}


def _voters_of_groups(request: Request) -> set[Name]:
    return {vote.user for vote in request.votes} if request.rules.reviewers.groups else set()


_LISTS = (Path(__file__).parent / "relist_requests.lua").read_text()


class Lists:
    """Writer of the lists of one namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._script = Script(store.client, _LISTS)

    async def follow(self, events: Iterable[Event]) -> None:
        """Put the readable requests of these events where they belong."""
        ids = dict.fromkeys(e.request for e in events if e.type in REQUEST_CHANGED and e.request is not None)
        requests = await self._store.readable(list(ids))
        await self.keep([request for request in requests.values() if request is not None])

    async def keep(self, requests: Sequence[Request]) -> None:
        """Put these where they belong."""
        if not requests:
            return
        plan = _Plan(self._store.keys)
        for request in requests:
            plan.fill(request)
        async with reaching():
            await self._script(keys=list(plan.keys), args=[json.dumps({"add": plan.add, "remove": plan.remove})])


class _Plan:
    """Plan for the script: keys once each, by their place."""

    def __init__(self, names: Keys) -> None:
        self._names = names
        self.keys: dict[str, int] = {}
        self.add: list[dict[str, Any]] = []
        self.remove: list[dict[str, Any]] = []

    def fill(self, request: Request) -> None:
        names, settled = self._names, request.status is not Status.PENDING
        waits, not_for = (set(), set()) if settled else (waits_for(request), waits_not_for(request))
        for name in sorted(waits):
            self._put(names.waits(name), request.created_at, request.id)
        for name in sorted(not_for):
            self._put(names.waits_not(name), request.created_at, request.id)
        for group in sorted(request.rules.reviewers.groups) if not settled else ():
            self._put(names.waiting_groups, request.created_at, group)
        was, was_not = was_for(request)
        left = [names.waits(name) for name in sorted(was - waits)]
        left += [names.waits_not(name) for name in sorted(was_not - not_for)]
        self.remove += [{"key": self._key(key), "member": request.id} for key in left]
        if request.decision is not None:
            for name in sorted(decided_for(request)):
                kept = {"most": KEPT_DECIDED, "ttl": ms(KEPT)}
                self._put(names.decided(name), request.decision.at, request.id, **kept)

    def _put(self, key: str, at: datetime, member: RequestId | str, **kept: int) -> None:
        self.add.append({"key": self._key(key), "score": str(ms(at)), "member": member, **kept})

    def _key(self, name: str) -> int:
        return self.keys.setdefault(name, len(self.keys) + 1)
