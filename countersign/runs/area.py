"""The area of Redis that belongs to workers.

It holds leases, journals, models' answers, jobs, and the address of `web`. Its keys have their own prefix,
`{<namespace>-work}:`, or `{<namespace>-work-<key>}:` for workers with their own key. A worker's Redis user may access
only these keys. `web` adds jobs there, and stores its address and the key with which workers call it.

| key | type | holds | ends |
|---|---|---|---|
| `lease:<run>` | hash | `fence`, `owner`, `until` (ms, server's clock) | 1 hour after the lease |
| `journal:<run>` | hash | recorded effects of the run | 400 days after its last entry, or 30 after its end |
| `answer:<digest>` | string | a model's answer that MODEL_CONFIG lets us keep | as it says |
| `web` | sorted set | addresses of `web`, by until when each counts (ms) | 15 s, renewed |
| `web:key` | string | the key with which workers call `web` | never: `web` needs it as long as it runs |
| `confirmed` | string | written before each WAIT, so that it covers all earlier writes | 1 min |
| `jobs:*` | | the job queue's own keys, see `countersign.runs.job_queue` | |
"""

from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import redis.asyncio

from countersign.domain.api_keys import area_of, parts_of
from countersign.domain.ids import Digest, RunId
from countersign.runs.leases import Leases
from countersign.store.codec import from_ms, ms
from countersign.store.condition import look
from countersign.store.keys import area_namespace
from countersign.store.redis.durability import NONE, Replicas, WritingScript
from countersign.store.redis.scripts import Script, ScriptPipeline
from countersign.store.server_check import check

WITHOUT_TTL: Final[dict[str, str]] = {
    "web": "one key; entries that ended are dropped whenever `web` says where it is",
    "web:key": "one key; rewritten as long as `web` runs",
}
"""Keys that may stay without a TTL, and why; see countersign.store.keys."""
ADDRESS_KEPT: Final = timedelta(seconds=15)
_TIME: Final = "return redis.call('TIME')"


class AreaKeys:
    """The keys of one area; each method checks its ids (R27)."""

    def __init__(self, namespace: str, area: str = "") -> None:
        self.namespace: Final = area_namespace(namespace, area)
        self.prefix: Final = f"{{{self.namespace}}}:"
        self.web: Final = self.prefix + "web"
        self.web_key: Final = self.prefix + "web:key"
        self.confirmed: Final = self.prefix + "confirmed"

    def lease(self, run: RunId) -> str:
        return f"{self.prefix}lease:{RunId(run)}"

    def journal(self, run: RunId) -> str:
        return f"{self.prefix}journal:{RunId(run)}"

    def answer(self, question: Digest) -> str:
        return f"{self.prefix}answer:{Digest(question)}"


class WebAddress(NamedTuple):
    """The addresses at which `web` answers workers, and their key."""

    urls: tuple[str, ...]
    key: str


class Area:
    """One area, for the worker that advances its runs and for `web`, which adds jobs."""

    def __init__(
        self, client: redis.asyncio.Redis, namespace: str, replicas: Replicas = NONE, *, area: str = "", key: str = ""
    ) -> None:
        """Open the area of all workers, or of the workers with their own key.

        The latter is named by `area`, or by the `key` itself, which is not in Redis.
        """
        parts = parts_of(key) if key else None
        self.client: Any = client
        self.area = area_of(parts[0]) if parts else area
        self.keys = AreaKeys(namespace, self.area)
        self._key = key
        self.leases = Leases(client, self.keys.lease)
        self._replicas = replicas
        self._pipeline = ScriptPipeline(client, in_order=True)
        self._clock = Script(client, _TIME)

    def writing(self, text: str) -> WritingScript:
        """Make a writing script that answers once the replicas have its write."""
        return WritingScript(self.client, text, self._replicas, self.keys.confirmed, self._pipeline)

    async def now(self) -> datetime:
        """Read the server's clock."""
        seconds, micros = await self._clock(keys=[self.keys.web])
        return from_ms(int(seconds) * 1000 + int(micros) // 1000)

    async def check(self) -> None:
        """Check that Redis can be reached and is safe, as `check` says."""
        await check(self.client, self.keys.confirmed)

    async def measure(self) -> None:
        """Export the condition of Redis to the metrics."""
        (await look(self.client, self.keys.confirmed, self._replicas)).show()

    async def put_address(self, url: str, key: str) -> None:
        """Announce for a while that `web` answers at this address.

        `key` is for all workers of the area, "" if each has it already.
        """
        now = await self.now()
        if key:
            await self.client.set(self.keys.web_key, key)
        await self.client.zremrangebyscore(self.keys.web, "-inf", ms(now))
        await self.client.zadd(self.keys.web, {url: ms(now + ADDRESS_KEPT)})

    async def drop_address(self, url: str) -> None:
        """Withdraw the announcement of this address."""
        await self.client.zrem(self.keys.web, url)

    async def web_key(self) -> str:
        """Read the key with which workers call `web`; "" if none is stored."""
        key = await self.client.get(self.keys.web_key)
        return key.decode() if key else ""

    async def address(self) -> WebAddress | None:
        """Read the address of `web`; None if it has not been announced lately."""
        now = await self.now()
        urls = await self.client.zrange(self.keys.web, f"({ms(now)}", "+inf", byscore=True)
        key = self._key or await self.web_key()
        return WebAddress(tuple(url.decode() for url in urls), key) if urls and key else None
