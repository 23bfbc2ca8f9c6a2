"""A house for each test: a real Valkey, a namespace of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from countersign.store.redis.connection import connect
from tests.autogen.harness import House, housed


@pytest.fixture
async def house(redis_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[House]:
    async with connect(redis_url) as client, housed(client, redis_url, namespace, tmp_path) as house:
        yield house
