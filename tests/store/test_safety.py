"""A Redis that could forget decisions is not used."""

from pathlib import Path

import pytest
import redis.asyncio

from countersign.domain.errors import StoreUnavailable, StoreUnsafe
from countersign.store.redis.connection import connect
from countersign.store.redis.embedded_server import EmbeddedRedis
from countersign.store.store import Store


async def test_a_redis_that_evicts_is_refused(tmp_path: Path) -> None:
    async with EmbeddedRedis(tmp_path / "redis") as server, redis.asyncio.Redis.from_url(server.url) as client:
        store = Store(client, "t")
        await store.check()
        await client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(StoreUnsafe, match="noeviction"):
            await store.check()


async def test_a_redis_that_is_not_there_is_said_to_be_away_soon() -> None:
    """R7: within the time that a person who clicked is waiting."""
    async with connect("redis://127.0.0.1:1/0") as client:
        with pytest.raises(StoreUnavailable, match="Nothing was changed"):
            await Store(client, "t").now()
