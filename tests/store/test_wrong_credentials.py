"""A Redis that refuses this process: the start ends at once with what to fix, and /readyz has the cause."""

from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bot.slack import health
from countersign.domain.errors import StoreUnavailable, StoreUnsafe, WrongSettings
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from tests.free_ports import free_port


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[str]:
    """The address of a server behind a password."""
    server = EmbeddedRedis(tmp_path, free_port())
    async with server:
        yield server.url


def at(url: str, credentials: str) -> str:
    parts = urlsplit(url)
    return f"redis://{credentials}{parts.hostname}:{parts.port}/0"


@pytest.mark.slow  # a server of its own
@pytest.mark.parametrize(
    ("credentials", "says"),
    [
        ("", "it wants a password, and REDIS_URL has none"),
        (":wrong@", "the password or the user in REDIS_URL is wrong"),
    ],
)
async def test_refused_password_ends_the_start_immediately(guarded: str, credentials: str, says: str) -> None:
    """R46: nothing waits for a password that nobody will correct meanwhile, and no text has it."""
    async with connect(at(guarded, credentials)) as client:
        store = Store(client, "t")
        with pytest.raises(WrongSettings) as wrong:
            await store.check()
        assert says in str(wrong.value) and "wrong@" not in str(wrong.value)
        assert says in (await health.problem_of(store))[0]


async def test_readyz_names_the_cause_without_an_address() -> None:
    """R46"""
    async with connect(f"redis://127.0.0.1:{free_port()}/0") as client:
        store = Store(client, "t")
        with pytest.raises(StoreUnavailable):
            await store.check()
        assert await health.problem_of(store) == ("The store (Redis) does not answer: Connection refused.", None)


async def test_wrong_eviction_policy_ends_the_start(store: Store) -> None:
    await store.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StoreUnsafe, match="Set `maxmemory-policy noeviction`"):
            await store.check()
    finally:
        await store.client.config_set("maxmemory-policy", "noeviction")
