"""Decisions that Redis could lose: a server that evicts, is away, or answers before its disk has them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis.asyncio

from countersign.domain.errors import StoreUnavailable, StoreUnsafe
from countersign.domain.executions import Begun
from countersign.domain.ids import RunId
from countersign.runs.area import Area
from countersign.runs.journal_storage import RedisJournal
from countersign.runs.run_journal import RunJournal
from countersign.runs.side_effects import effect
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.redis.connection import RedisClient, connect
from countersign.store.store import Store


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[EmbeddedRedis]:
    async with EmbeddedRedis(tmp_path / "redis", namespace="t") as server:
        yield server


async def configured(server: EmbeddedRedis, **settings: str) -> None:
    async with redis.asyncio.Redis.from_url(server.url) as admin:
        for name, value in settings.items():
            await admin.config_set(name, value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, ""),
        ({"appendfsync": "everysec"}, "appendfsync always"),
        ({"appendfsync": "no"}, "appendfsync always"),
        ({"appendonly": "no"}, "no append-only file"),
    ],
    ids=["always", "everysec", "no", "off"],
)
@pytest.mark.parametrize("user", ["web", "worker"])
async def test_start_logs_what_redis_may_lose(
    user: str, settings: dict[str, str], said: str, server: EmbeddedRedis, caplog: pytest.LogCaptureFixture
) -> None:
    """R4: as the users that are shipped, which may not read CONFIG."""
    await configured(server, **settings)
    async with connect(server.url_of(user)) as client:
        with caplog.at_level(logging.WARNING, "countersign.store.server_check"):
            await (Store(client, "t") if user == "web" else Area(client, "t")).check()
    assert (said in caplog.text) if said else not caplog.text


async def test_action_waits_until_its_approval_is_on_disk(server: EmbeddedRedis) -> None:
    """R4: with `appendfsync no` the disk has nothing until the system likes; nothing is done meanwhile."""
    done: list[str] = []

    async def act() -> str:
        done.append("sent")
        return "sent"

    async def wanted() -> Begun:
        return Begun.GRANTED

    async with connect(server.url) as client:
        area = Area(client, "t")
        lease = await area.leases.claim(RunId("r1"), "worker", timedelta(minutes=1))
        assert lease is not None
        await configured(server, appendfsync="no")
        kept = RedisJournal(area, timedelta(milliseconds=20))
        journal = await RunJournal.open(kept, lease)
        key = journal.key("tool", "writer", "send")
        acting = asyncio.create_task(effect(journal, key, "send", act, wanted))
        while key not in await kept.entries(lease.run):  # noqa: ASYNC110 -- Redis wakes nobody
            await asyncio.sleep(0.01)
        await area.now()
        assert not done and not acting.done()
        await configured(server, appendfsync="always")
        assert await acting == "sent"
    assert done == ["sent"]


async def test_redis_without_persistence_is_not_waited_for(server: EmbeddedRedis) -> None:
    """Both processes have said so at their start."""
    await configured(server, appendonly="no")
    async with connect(server.url) as client:
        area = Area(client, "t")
        lease = await area.leases.claim(RunId("r1"), "worker", timedelta(minutes=1))
        assert lease is not None
        journal = RedisJournal(area)
        for number in range(2):
            assert await journal.record(lease, f"tool {number}", b"started", on_disk=True) == b"started"


async def test_evicting_redis_is_refused(server: EmbeddedRedis) -> None:
    async with RedisClient.from_url(server.url) as client:
        await Store(client, "t").check()
        await client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(StoreUnsafe, match="noeviction"):
            await Store(client, "t").check()


async def test_unreachable_redis_is_reported_quickly() -> None:
    """R7: within the time that a person who clicked is waiting."""
    async with connect("redis://127.0.0.1:1/0") as client:
        with pytest.raises(StoreUnavailable, match="Nothing was changed"):
            await Store(client, "t").now()
