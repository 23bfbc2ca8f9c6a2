"""A deployment for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from localslack import LocalSlack
from tests.processes import Deployment, deployment


@pytest.fixture
async def there(slack: LocalSlack, redis_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Deployment]:
    """Both processes are users of their own in Redis: whatever a test has them do, Redis refuses none of it."""
    async with deployment(slack, redis_url, namespace, tmp_path, fork=True) as it:
        yield it
    async with redis.asyncio.Redis.from_url(redis_url, decode_responses=True) as admin:
        assert [entry for entry in await admin.acl_log() if namespace in str(entry["object"])] == []
