"""Overview for one person or one channel: what waits, goes on and was decided.

It is read from lists that follow the events.

A list holds ids only. What it says is checked against the record, and an id whose request has been settled is
dropped from it, so a list that was left behind by other rules of a request mends itself.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Final

from countersign.domain.ids import GroupId, RequestId, RunId, UserId
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.store.audit_log import COUNTED
from countersign.store.codec import ms
from countersign.store.reads import reaching
from countersign.store.request_lists import Name
from countersign.store.store import Store
from countersign.usecases.ports import Message, Waiting

_PAGE: Final = 30
"""Records that are read at once."""
_READ: Final = 500
"""Ids of a list that are read at once; who has more waiting is told "more than"."""


class Overview:
    """Implements `countersign.usecases.ports.Overview`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client
        self._keys = store.keys

    async def groups(self) -> list[GroupId]:
        """User groups for which something waits."""
        async with reaching():
            named = GroupId.among(await self._client.zrange(self._keys.waiting_groups, 0, -1))
            return [group for group in named if await self._client.zcard(self._keys.waits(group))]

    async def waiting(
        self, names: Sequence[Name], unless: UserId | None, fits: Callable[[Request], bool], limit: int
    ) -> Waiting:
        """The newest undecided requests in the lists of these names for which `fits` holds, and how many there are.

        `unless`: without those that this person asked for or has voted on. A long list is not read to its end.
        """
        found: list[Request] = []
        listed = others = start = 0
        whole = False
        looked: set[RequestId] = set()
        gone: list[RequestId] = []
        while len(found) < limit and not whole:
            ids, whole = await self._ids(names, unless, start)
            start += _READ
            ids = [name for name in ids if name not in looked]
            looked.update(ids)
            listed += len(ids)
            for at in range(0, len(ids), _PAGE):
                if len(found) >= limit:
                    break
                page = ids[at : at + _PAGE]
                readable = await self._store.readable(page)
                others += len(page) - len(readable)
                for request_id, request in readable.items():
                    if request is None or request.status is not Status.PENDING:
                        gone.append(request_id)
                    if request is not None and request.status is Status.PENDING and fits(request):
                        found.append(request)
                    else:
                        others += 1
        await self._drop(names, gone)  # only now: what is read by its rank must not move up meanwhile
        found.sort(key=lambda request: (request.created_at, request.id), reverse=True)
        return Waiting(tuple(found[:limit]), listed - others, whole)

    async def decided(self, name: Name, limit: int) -> list[Request]:
        """The newest settled requests in the list of this name."""
        async with reaching():
            ids = await self._client.zrevrange(self._keys.decided(name), 0, limit - 1)
        found = await self._store.readable(RequestId.among(ids))
        return [request for request in found.values() if request is not None and request.decision is not None]

    async def runs(self, requester: UserId, limit: int) -> tuple[list[Run], int]:
        """The newest runs of this person that have not ended, and how many there are."""
        key = self._keys.runs(requester)
        ids = await self._store.indexes.newest_runs(key, limit)
        async with reaching():
            total = await self._client.zcard(key)
        runs = await self._store.readable_runs(RunId.among([name for name, _ in ids]))
        return [run for run in runs.values() if run and not run.over and run.requester == requester], total

    async def messages(self, names: Sequence[str]) -> dict[str, Message]:
        """Those of these messages that stand in Slack, by name; that of a row, and what is named below it, is of the
        card that it is on."""
        messages = await self._store.messages(names)
        on = {name: message.on for name, message in messages.items() if message.on}
        moved = {n: on[row] + n.removeprefix(row) for n in names for row in (n, n.rpartition("/")[0]) if row in on}
        cards = await self._store.messages(list(set(moved.values())))
        messages |= {name: cards[card] for name, card in moved.items() if card in cards}
        return {name: message for name, message in messages.items() if message.ts}

    async def contradicted(self) -> int:
        """Count calls of the last seven days that passed at a worker against the policy; at most 1,000."""
        since = await self._store.now() - COUNTED
        async with reaching():
            return int(await self._client.zcount(self._keys.audit_contradicted, ms(since), "+inf"))

    async def watch(self, user: UserId, span: timedelta) -> None:
        """This person's Home stays live for `span`."""
        now = await self._store.now()
        async with reaching():
            await self._client.zadd(self._keys.watching, {user: ms(now + span)})
            await self._client.zremrangebyscore(self._keys.watching, "-inf", ms(now))

    async def watching(self) -> set[UserId]:
        """The people whose Home is live."""
        now = await self._store.now()
        async with reaching():
            found = await self._client.zrange(self._keys.watching, f"({ms(now)}", "+inf", byscore=True)
        return {*UserId.among(found)}

    async def _ids(self, names: Sequence[Name], unless: UserId | None, start: int) -> tuple[list[RequestId], bool]:
        """Some ids of each list from there on, together the newest first; and whether no list goes on after them."""
        scores: dict[bytes, float] = {}
        whole = True
        async with reaching():
            for name in names:
                some = await self._client.zrevrange(self._keys.waits(name), start, start + _READ - 1, withscores=True)
                whole = whole and len(some) < _READ
                scores |= dict(some)
            ids = sorted(scores, key=lambda i: (scores[i], i), reverse=True)
            if unless is not None and ids:
                out = await self._client.zmscore(self._keys.waits_not(unless), ids)
                ids = [i for i, score in zip(ids, out, strict=True) if score is None]
        listed = RequestId.among(ids)
        own = set() if unless is None else await self._not_theirs(unless, listed)
        return [i for i in listed if i not in own], whole

    async def _not_theirs(self, user: UserId, listed: Collection[RequestId]) -> set[RequestId]:
        """Those of the requests that this person asked for and may not decide; of very many runs, of the newest."""
        runs, _ = await self.runs(user, _READ)
        own = {*listed} & {request for run in runs for request in run.open.values()}
        found = await self._store.readable(list(own))
        return {r.id for r in found.values() if r is not None and r.requester == user and not r.rules.own_requests}

    async def _drop(self, names: Collection[Name], requests: Collection[RequestId]) -> None:
        async with reaching():
            for name in names if requests else ():
                await self._client.zrem(self._keys.waits(name), *requests)
