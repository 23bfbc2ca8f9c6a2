"""Lists of requests for a user, a user group or a channel, and overviews of them.

The lists are updated from the events, so that clicks do not wait for them. Each update puts a request into its current
lists, so updates may be repeated by any process. A list holds only ids. Each id is checked against its record when it
is read, and the id of a settled request is dropped. So a list that is out of date, because a request's rules changed or
a process was frozen, repairs itself.

The first letter of Slack's ids tells their kind (U W, S, C G D), so one family of keys holds all three.
"""

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from countersign.domain import schedule
from countersign.domain.events import REQUEST_CHANGED, Event
from countersign.domain.ids import ChannelId, GroupId, RequestId, UserId
from countersign.domain.quorum import tied
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.store.codec import ms
from countersign.store.keys import KEPT, Keys
from countersign.store.redis.scripts import Script
from countersign.store.store import Store
from countersign.usecases.overview import Waiting
from countersign.usecases.ports import Message

Name = UserId | GroupId | ChannelId

KEPT_DECIDED: Final = 100
"""The number of decisions that a list remembers."""


def waits_for(request: Request) -> set[Name]:
    """Name the lists of waiting requests that a pending request is in.

    Named people who have voted, or may not decide, are left out. After a tie the request waits for all of them again.
    """
    return {*_named(request), *_places(request)} - _not_for(request)


def waits_not_for(request: Request) -> set[Name]:
    """Name the people who have voted although their group may still decide.

    The request does not wait for a requester who may not decide either: these are found through their runs.
    """
    return set() if tied(request) else _voters_of_groups(request)


def was_for(request: Request) -> tuple[set[Name], set[Name]]:
    """Name all lists that the request may have been in, waiting and not waiting."""
    return {*_named(request), *_places(request)}, _voters_of_groups(request)


def decided_for(request: Request) -> set[Name]:
    """Name the lists of decisions that a settled request is in.

    These are the lists of the requester, the deciders and the channels.
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
        """Put the readable requests of these events into their lists."""
        ids = dict.fromkeys(e.request for e in events if e.type in REQUEST_CHANGED and e.request is not None)
        requests = await self._store.readable(list(ids))
        await self.keep([request for request in requests.values() if request is not None])

    async def keep(self, requests: Sequence[Request]) -> None:
        """Put these requests into their lists."""
        if not requests:
            return
        plan = _Plan(self._store.keys)
        for request in requests:
            plan.fill(request)
        lists = json.dumps({"add": plan.add, "remove": plan.remove})
        await self._script(keys=[*plan.keys, self._store.keys.list_changes], args=[lists])


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


_PAGE: Final = 30
"""Number of records that are read at once."""
_READ: Final = 500
"""Number of ids of a list that are read at once; longer lists are shown with "more than"."""


class Overview:
    """Implements `countersign.usecases.overview.Overview`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client
        self._keys = store.keys

    async def groups(self) -> list[GroupId]:
        """Read the user groups for which requests wait."""
        named = GroupId.among(await self._client.zrange(self._keys.waiting_groups, 0, -1))
        return [group for group in named if await self._client.zcard(self._keys.waits(group))]

    async def waiting(
        self,
        names: Sequence[Name],
        unless: UserId | None,
        fits: Callable[[Request], bool],
        limit: int,
        beside: Sequence[Name] = (),
    ) -> Waiting:
        """Read the newest undecided requests in these names' lists, and their number.

        `fits` selects them; requests that `unless` asked for or has voted on are left out. Requests in the lists of
        `beside` are left out without being read. A long list is not read to its end.
        """
        requests: list[Request] = []
        listed = others = start = 0
        whole = False
        looked: set[RequestId] = set()
        gone: list[RequestId] = []
        while len(requests) < limit and not whole:
            ids, whole = await self._ids(names, unless, start, beside)
            start += _READ
            ids = [name for name in ids if name not in looked]
            looked.update(ids)
            listed += len(ids)
            for at in range(0, len(ids), _PAGE):
                if len(requests) >= limit:
                    break
                page = ids[at : at + _PAGE]
                readable = await self._store.readable(page)
                others += len(page) - len(readable)
                for request_id, request in readable.items():
                    if request is None or request.status is not Status.PENDING:
                        gone.append(request_id)
                    if request is not None and request.status is Status.PENDING and fits(request):
                        requests.append(request)
                    else:
                        others += 1
        await self._drop(names, gone)  # only now: ids that are read by rank must not move in between
        requests.sort(key=lambda request: (request.created_at, request.id), reverse=True)
        return Waiting(tuple(requests[:limit]), listed - others, whole)

    async def decided(self, name: Name, limit: int) -> list[Request]:
        """Read the newest settled requests in the list of this name."""
        ids = await self._client.zrevrange(self._keys.decided(name), 0, limit - 1)
        requests = await self._store.readable(RequestId.among(ids))
        return [request for request in requests.values() if request is not None and request.decision is not None]

    async def runs(self, requester: UserId, limit: int) -> tuple[list[Run], int]:
        """Read the newest runs of this person that have not ended, and their number."""
        key = self._keys.runs(requester)
        runs = await self._store.indexes.newest(key, limit)
        total = await self._client.zcard(key)
        return [run for run in runs if not run.over and run.requester == requester], total

    async def messages(self, names: Sequence[str]) -> dict[str, Message]:
        """Read these messages by name, as far as they are in Slack.

        For a row, and for the messages named below it, the message is that of its card.
        """
        messages = await self._store.messages(names)
        on = {name: message.on for name, message in messages.items() if message.on}
        moved = {n: on[row] + n.removeprefix(row) for n in names for row in (n, n.rpartition("/")[0]) if row in on}
        cards = await self._store.messages(list(set(moved.values())))
        standing = {name for name, message in messages.items() if message.ts}
        messages |= {name: cards[card] for name, card in moved.items() if card in cards and name not in standing}
        return {name: message for name, message in messages.items() if message.ts}

    async def revision(self) -> str:
        """Read a text that changes with every event and every change of the lists."""
        changes, newest = await self._client.get(self._keys.list_changes), await self._newest_event()
        return f"{int(changes or 0)}-{newest}"

    async def _newest_event(self) -> str:
        newest = await self._client.xrevrange(self._keys.events, count=1)
        return newest[0][0].decode() if newest else ""

    async def watch(self, user: UserId, span: timedelta) -> None:
        """Keep this person's Home live for `span`."""
        now = await self._store.now()
        await self._client.zadd(self._keys.watching, {user: ms(now + span)})
        await self._client.zremrangebyscore(self._keys.watching, "-inf", ms(now))

    async def watching(self) -> set[UserId]:
        """Read the people whose Home is live."""
        now = await self._store.now()
        members = await self._client.zrange(self._keys.watching, f"({ms(now)}", "+inf", byscore=True)
        return {*UserId.among(members)}

    async def _ids(
        self, names: Sequence[Name], unless: UserId | None, start: int, beside: Sequence[Name]
    ) -> tuple[list[RequestId], bool]:
        """Read a page of each list, newest first, and whether every list ends there."""
        scores: dict[bytes, float] = {}
        whole = True
        keys = self._keys
        for name in names:
            if beside:  # the server compares the lists: sending hundreds of ids takes longer than all the rest
                others = [keys.waits(name), *(keys.waits(one) for one in beside if one != name)]
                pairs = await self._client.zdiff(others, withscores=True)
                rest = sorted(((score, one) for one, score in _paired(pairs)), reverse=True)
                page = [(one, score) for score, one in rest[start : start + _READ]]
            else:
                page = await self._client.zrevrange(keys.waits(name), start, start + _READ - 1, withscores=True)
            whole = whole and len(page) < _READ
            scores |= dict(page)
        ids = sorted(scores, key=lambda i: (scores[i], i), reverse=True)
        if unless is not None and ids and await self._client.zcard(keys.waits_not(unless)):
            out = await self._client.zmscore(keys.waits_not(unless), ids)
            ids = [i for i, score in zip(ids, out, strict=True) if score is None]
        listed = RequestId.among(ids)
        own = set() if unless is None else await self._not_theirs(unless, listed)
        return [i for i in listed if i not in own], whole

    async def _not_theirs(self, user: UserId, listed: Collection[RequestId]) -> set[RequestId]:
        """Find the requests that this person started and may not decide.

        If there are very many runs, only the newest are checked.
        """
        runs, _ = await self.runs(user, _READ)
        own = {*listed} & {request for run in runs for request in run.open.values()}
        requests = await self._store.readable(list(own))
        return {r.id for r in requests.values() if r is not None and r.requester == user and not r.rules.own_requests}

    async def _drop(self, names: Collection[Name], requests: Collection[RequestId]) -> None:
        for name in names if requests else ():
            await self._client.zrem(self._keys.waits(name), *requests)


def _paired(reply: Sequence[Any]) -> list[tuple[bytes, float]]:
    """Pair members with their scores; redis-py returns those of ZDIFF as a flat list."""
    if reply and not isinstance(reply[0], bytes):
        return [(one, float(score)) for one, score in reply]
    return [(one, float(score)) for one, score in zip(reply[::2], reply[1::2], strict=True)]
