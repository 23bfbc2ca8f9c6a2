"""A house for each test: a real Valkey, a namespace of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from countersign.runs.area import Area
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from tests.autogen.harness import CHANNEL, RULES, WORKSPACE, House
from tests.worker_service import served


@pytest.fixture
async def house(redis_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[House]:
    async with connect(redis_url) as client:
        store = Store(client, namespace)
        await store.set_defaults(RULES)
        await store.set_workspace(WORKSPACE)
        async with Wakeups(store) as wakeups, served(store, wakeups, WORKSPACE, CHANNEL) as web:
            async with web.service() as service:
                yield House(redis_url, namespace, store, Area(client, namespace), wakeups, web, service, tmp_path)
