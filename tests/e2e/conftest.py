"""A town for each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from localslack import LocalSlack
from tests.processes import Town, town


@pytest.fixture
async def there(slack: LocalSlack, redis_url: str, namespace: str, tmp_path: Path) -> AsyncIterator[Town]:
    async with town(slack, redis_url, namespace, tmp_path, fork=True) as it:
        yield it
