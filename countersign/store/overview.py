"""Overview for one person or one channel: what waits, goes on and was decided.

It is read from lists that follow the events. A list holds ids only. Each is checked against its record, and an id whose
request has been settled is dropped, so a list that was left behind by other rules of a request mends itself.
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
from countersign.usecases.overview import Waiting
from countersign.usecases.ports import Message

_PAGE: Final = 30
"""Records that are read at once."""
_READ: Final = 500
"""Ids of a list that are read at once; of longer lists people read "more than"."""


class Overview:
    """Implements `countersign.usecases.ports.Overview`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client
        self._keys = store.keys

    async def groups(self) -> list[GroupId]:
        """Read the user groups for which something waits."""
        async with reaching():
            named = GroupId.among(await self._client.zrange(self._keys.waiting_groups, 0, -1))
            return [group for group in named if await self._client.zcard(self._keys.waits(group))]

    async def waiting(
        self, names: Sequence[Name], unless: UserId | None, fits: Callable[[Request], bool], limit: int
    ) -> Waiting:
        """Read the newest undecided requests in these names' lists, and their number.

        `fits` selects them; those that `unless` asked for or has voted on are left out. A long list is not read to its
        end.
        """
        requests: list[Request] = []
        listed = others = start = 0
        whole = False
        looked: set[RequestId] = set()
        gone: list[RequestId] = []
        while len(requests) < limit and not whole:
            ids, whole = await self._ids(names, unless, start)
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
        await self._drop(names, gone)  # only now: what is read by its rank must not move up meanwhile
        requests.sort(key=lambda request: (request.created_at, request.id), reverse=True)
        return Waiting(tuple(requests[:limit]), listed - others, whole)

    async def decided(self, name: Name, limit: int) -> list[Request]:
        """Read the newest settled requests in the list of this name."""
        async with reaching():
            ids = await self._client.zrevrange(self._keys.decided(name), 0, limit - 1)
        requests = await self._store.readable(RequestId.among(ids))
        return [request for request in requests.values() if request is not None and request.decision is not None]

    async def runs(self, requester: UserId, limit: int) -> tuple[list[Run], int]:
        """Read the newest runs of this person that have not ended, and their number."""
        key = self._keys.runs(requester)
        ids = await self._store.indexes.newest_runs(key, limit)
        async with reaching():
            total = await self._client.zcard(key)
        runs = await self._store.readable_runs(RunId.among([name for name, _ in ids]))
        return [run for run in runs.values() if run and not run.over and run.requester == requester], total

    async def messages(self, names: Sequence[str]) -> dict[str, Message]:
        """Read those of these messages that stand in Slack, by name.

        A row's message, and those named below it, are of the card that it is on.
        """
        messages = await self._store.messages(names)
        on = {name: message.on for name, message in messages.items() if message.on}
        moved = {n: on[row] + n.removeprefix(row) for n in names for row in (n, n.rpartition("/")[0]) if row in on}
        cards = await self._store.messages(list(set(moved.values())))
        standing = {name for name, message in messages.items() if message.ts}
        messages |= {name: cards[card] for name, card in moved.items() if card in cards and name not in standing}
        return {name: message for name, message in messages.items() if message.ts}

    async def contradicted(self) -> int:
        """Count calls of the last seven days that passed against the policy, up to 1,000."""
        since = await self._store.now() - COUNTED
        async with reaching():
            return int(await self._client.zcount(self._keys.audit_contradicted, ms(since), "+inf"))

    async def watch(self, user: UserId, span: timedelta) -> None:
        """Keep this person's Home live for `span`."""
        now = await self._store.now()
        async with reaching():
            await self._client.zadd(self._keys.watching, {user: ms(now + span)})
            await self._client.zremrangebyscore(self._keys.watching, "-inf", ms(now))

    async def watching(self) -> set[UserId]:
        """Read the people whose Home is live."""
        now = await self._store.now()
        async with reaching():
            members = await self._client.zrange(self._keys.watching, f"({ms(now)}", "+inf", byscore=True)
        return {*UserId.among(members)}

    async def _ids(self, names: Sequence[Name], unless: UserId | None, start: int) -> tuple[list[RequestId], bool]:
        """Read a page of each list, newest first, and whether no list goes on after it."""
        scores: dict[bytes, float] = {}
        whole = True
        async with reaching():
            for name in names:
                page = await self._client.zrevrange(self._keys.waits(name), start, start + _READ - 1, withscores=True)
                whole = whole and len(page) < _READ
                scores |= dict(page)
            ids = sorted(scores, key=lambda i: (scores[i], i), reverse=True)
            if unless is not None and ids:
                out = await self._client.zmscore(self._keys.waits_not(unless), ids)
                ids = [i for i, score in zip(ids, out, strict=True) if score is None]
        listed = RequestId.among(ids)
        own = set() if unless is None else await self._not_theirs(unless, listed)
        return [i for i in listed if i not in own], whole

    async def _not_theirs(self, user: UserId, listed: Collection[RequestId]) -> set[RequestId]:
        """Find the requests that this person asked for and may not decide.

        Of very many runs only the newest are looked at.
        """
        runs, _ = await self.runs(user, _READ)
        own = {*listed} & {request for run in runs for request in run.open.values()}
        requests = await self._store.readable(list(own))
        return {r.id for r in requests.values() if r is not None and r.requester == user and not r.rules.own_requests}

    async def _drop(self, names: Collection[Name], requests: Collection[RequestId]) -> None:
        async with reaching():
            for name in names if requests else ():
                await self._client.zrem(self._keys.waits(name), *requests)
