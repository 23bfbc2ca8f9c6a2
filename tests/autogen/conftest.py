"""A house for each test: a real Valkey, a namespace of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from tests.autogen.harness import RULES, House


@pytest.fixture
async def house(redis_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[House]:
    async with connect(redis_url) as client:
        store = Store(client, namespace)
        await store.set_defaults(RULES)
        async with Wakeups(store) as wakeups:
            yield House(redis_url, namespace, store, wakeups, tmp_path)
