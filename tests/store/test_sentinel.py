"""A primary that is lost, and a replica that the Sentinel puts in its place: everything goes on there."""

import asyncio
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from countersign import usecases
from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import RunId
from countersign.domain.requests import Status
from countersign.runs.job_queue import Queue, work
from countersign.store.redis.connection import connect
from countersign.store.redis.durability import Replicas
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases.store_outages import patiently
from tests.longest_wait import PATIENCE
from tests.sample_requests import attempt, question, rules
from tests.servers import SentinelSetup, sentinel_setup
from tests.store_fixtures import NoQueue, announce_worker, new_run


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[SentinelSetup]:
    async with sentinel_setup(tmp_path / "site") as site:
        yield site


@pytest.fixture
async def there(site: SentinelSetup) -> AsyncIterator[Store]:
    async with connect(site.url) as client:
        store = Store(client, "acme", Replicas(1))
        await store.check()
        await store.set_defaults(rules())
        await announce_worker(store)
        yield store


async def test_failover_keeps_deciding_and_waking_waits(site: SentinelSetup, there: Store) -> None:
    """R5: the subscription is made anew there, and the state read back."""
    lease = await new_run(there)
    async with Wakeups(there) as wakeups:
        await wakeups.listening()
        asked = await usecases.ask(there, lease, question())
        second = await usecases.ask(there, lease, question("another mail", agent="other"))
        waiting = [asyncio.create_task(wakeups.settled(name.id)) for name in (asked, second)]
        site.primary.send(signal.SIGKILL)
        with pytest.raises(StoreUnavailable):
            await there.now()
        await site.failed_over()
        there = Store(there.client, "acme")  # there is no replica any more that could confirm
        for name in (asked, second):
            await patiently(partial(usecases.decide, there, NoQueue(), name.id, attempt(name)))
        settled = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE)
    assert {request.status for request in settled} == {Status.APPROVED}


async def test_failover_keeps_the_job_engine_working(site: SentinelSetup, there: Store) -> None:
    """R5: jobs asked for there are done, by the worker that was connected to the lost one."""
    stop, advanced = asyncio.Event(), asyncio.Queue[RunId]()

    async def advance(run: RunId) -> None:
        advanced.put_nowait(run)

    async with Queue(site.url, "acme") as queue:
        working = asyncio.create_task(
            work(queue, advance, concurrency=5, redelivery=timedelta(seconds=5), stop=stop), name="work"
        )
        await queue.advance(RunId("r1"))
        assert await advanced.get() == "r1"
        site.primary.send(signal.SIGKILL)
        await site.failed_over()
        await patiently(lambda: queue.advance(RunId("r2")))
        async with asyncio.timeout(PATIENCE):
            while await advanced.get() != "r2":
                pass
        stop.set()
        await working
