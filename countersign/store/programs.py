"""Programs that ask: their keys, how much each asks, and callbacks to them."""

from datetime import datetime, timedelta
from typing import Final

from countersign.domain.api_keys import ApiKey
from countersign.domain.ids import ApiKeyId, RequestId, RunId
from countersign.store.codec import ms
from countersign.store.keys import KEPT
from countersign.store.leases import ProcessLease
from countersign.store.redis.scripts import Script
from countersign.store.store import Store
from countersign.usecases.ports import Change, Put, Seen

_RATE_KEPT: Final = timedelta(minutes=1)
_ASKING_KEPT: Final = 60_000
"""Milliseconds after which the process of a request that is still being asked counts as dead."""
_ASK: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
local ahead = redis.call('ZCARD', KEYS[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {ahead, redis.call('SCARD', KEYS[2])}
"""
_OPENED: Final = """
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('PEXPIRE', KEYS[2], ARGV[3])
return redis.call('ZREM', KEYS[1], ARGV[1])
"""


class ApiKeys:
    """The keys of one namespace.

    Every method may raise StoreUnavailable; reads of a key UnknownSchema too.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client
        self._names = store.keys
        self._ask, self._opened = Script(store.client, _ASK), Script(store.client, _OPENED)

    async def seen(self, key: ApiKeyId) -> Seen[ApiKey] | None:
        """Read the key of this id, with the server's clock."""
        return await self._store.api_key(key)

    async def get(self, key: ApiKeyId) -> ApiKey | None:
        """Read the key of this id."""
        seen = await self._store.api_key(key)
        return None if seen is None else seen.value

    async def put(self, key: ApiKey) -> None:
        """Store the key, replacing one of the same id, without an entry in the record."""
        seen = await self._store.api_key(key.id)
        await self._store.commit(Change(keys=(Put(key, 0 if seen is None else seen.version),)))

    async def all(self) -> list[ApiKey]:
        """Read all keys, oldest first, including revoked keys."""
        ids = ApiKeyId.among(await self._client.zrange(self._names.api_keys, 0, -1))
        return [key for name in ids if (key := await self.get(name)) is not None]

    async def count_request(self, key: ApiKey) -> bool:
        """Count one more request of this minute; False if too many.

        The minute begins with its first request.
        """
        name = self._names.api_rate(key.id)
        number = int(await self._client.incr(name))
        await self._client.pexpire(name, _RATE_KEPT, nx=True)
        return number <= key.per_minute

    async def reserve(self, key: ApiKey, run: RunId) -> bool:
        """Reserve a place for one more request of this run; False if all are taken.

        A request takes one while it waits: from now on, in all processes, until it is `opened` or `refused`.
        """
        ahead, listed = map(int, await self._ask(self._asking(key.id), [run, _ASKING_KEPT]))
        most = key.most_open - ahead
        return listed < most or len(await self.open(key.id)) < most

    async def open(self, key: ApiKeyId) -> list[RequestId]:
        """Read the key's undecided requests, and remove the others from the index."""
        name = self._names.api_open(key)
        ids = RequestId.among(await self._client.smembers(name))
        if not ids:
            return []
        due = await self._client.zmscore(self._names.pending, [*ids])
        if settled := [request for request, at in zip(ids, due, strict=True) if at is None]:
            await self._client.srem(name, *settled)
        return [request for request, at in zip(ids, due, strict=True) if at is not None]

    async def opened(self, key: ApiKeyId, run: RunId, request: RequestId) -> None:
        """Count the run's request among those of the key that may wait."""
        await self._opened(self._asking(key), [run, request, ms(KEPT)])

    async def refused(self, key: ApiKeyId, run: RunId) -> None:
        """Stop counting the run's request, which was not asked."""
        await self._client.zrem(self._names.api_asking(key), run)

    def _asking(self, key: ApiKeyId) -> list[str]:
        return [self._names.api_asking(key), self._names.api_open(key)]


class Callbacks:
    """The callbacks of one namespace; `lease` is for the process that posts them.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, store: Store) -> None:
        self._client = store.client
        self._index = store.keys.callbacks
        self.lease = ProcessLease(store.client, store.keys.calling_back)

    async def due(self, now: datetime, limit: int) -> list[RequestId]:
        """Find requests whose decision is due to be posted, longest due first."""
        return RequestId.among(
            await self._client.zrange(self._index, "-inf", ms(now), byscore=True, offset=0, num=limit)
        )

    async def again(self, at: datetime, *requests: RequestId) -> None:
        """Try these requests again at that moment."""
        if requests:
            await self._client.zadd(self._index, dict.fromkeys(requests, ms(at)), xx=True)

    async def done(self, request: RequestId) -> None:
        """Drop the request, which was delivered or given up."""
        await self._client.zrem(self._index, request)
