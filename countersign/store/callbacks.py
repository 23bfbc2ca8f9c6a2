"""Decisions that are still to be posted to programs, by when to try next.

`commit` lists a request with a callback when it is settled, in the same step; it leaves the list when it was delivered
or given up.
"""

from datetime import datetime

from countersign.domain.ids import RequestId
from countersign.store.codec import ms
from countersign.store.leases import ProcessLease
from countersign.store.reads import reaching
from countersign.store.store import Store


class Callbacks:
    """The callbacks of one namespace; `lease` is for the process that posts them.

    Every method may raise StoreUnavailable.
    """

    def __init__(self, store: Store) -> None:
        self._client = store.client
        self._index = store.keys.callbacks
        self.lease = ProcessLease(store.client, store.keys.calling_back)

    async def due(self, now: datetime, limit: int) -> list[RequestId]:
        """Find requests whose decision is to be posted now, the longest due first."""
        async with reaching():
            return RequestId.among(
                await self._client.zrange(self._index, "-inf", ms(now), byscore=True, offset=0, num=limit)
            )

    async def again(self, at: datetime, *requests: RequestId) -> None:
        """Try these requests again at that moment."""
        if requests:
            async with reaching():
                await self._client.zadd(self._index, dict.fromkeys(requests, ms(at)), xx=True)

    async def done(self, request: RequestId) -> None:
        """Drop the request, which was delivered or given up."""
        async with reaching():
            await self._client.zrem(self._index, request)
