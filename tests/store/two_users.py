"""The two sides of one namespace, each as the user that it is in Redis."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
import redis.asyncio
import redis.exceptions

from countersign.store.record_codecs import Side
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.usecases.ports import TeamInfo
from tests.redis_server import url_of
from tests.sample_requests import rules
from tests.store_fixtures import start_run


@dataclass(frozen=True)
class Sides:
    """`admin` sees everything; it is the user of no process."""

    web: Store
    agents: Store
    admin: redis.asyncio.Redis
    namespace: str


@pytest.fixture
async def sides(redis_url: str, namespace: str) -> AsyncIterator[Sides]:
    urls = {side: url_of(user, redis_url, namespace) for side, user in ((Side.WEB, "web"), (Side.AGENTS, "worker"))}
    if redis_url in urls.values():
        pytest.skip("The Redis that TEST_REDIS_URL names has no users for web and worker.")
    async with connect(urls[Side.WEB]) as web, connect(urls[Side.AGENTS]) as agents, connect(redis_url) as admin:
        both = Sides(Store(web, namespace, side=Side.WEB), Store(agents, namespace, side=Side.AGENTS), admin, namespace)
        await both.web.set_defaults(rules())
        await both.agents.workers.announce("worker", [TeamInfo("email", "writes a mail")], timedelta(hours=1))
        yield both


async def start(sides: Sides) -> None:
    """A run of Alice's that web started, and that no worker has yet."""
    await start_run(sides.web)


async def denied(store: Store, *command: str | int | float) -> None:
    """AssertionError unless the server says that this user may not."""
    with pytest.raises(redis.exceptions.ResponseError) as refused:
        await store.client.execute_command(*command)
    assert isinstance(refused.value, redis.exceptions.NoPermissionError) or "ACL failure" in str(refused.value)
