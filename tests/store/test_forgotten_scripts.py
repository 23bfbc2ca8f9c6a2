"""A server that forgets its scripts, as by a restart or a failover, costs no step: none reaches people as an outage."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import redis.asyncio

from countersign import usecases
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Status
from countersign.runs.area import Area
from countersign.runs.job_queue import Queue, work
from countersign.runs.journal_storage import RedisJournal
from countersign.store.audit_log import Ledger
from countersign.store.redis.connection import connect
from countersign.store.redis.scripts import Script, ScriptPipeline
from countersign.store.request_lists import Lists
from countersign.store.store import Store
from tests.audit.test_trimming import COUNT, happen, problems
from tests.forgetful_server import Forgetting
from tests.longest_wait import PATIENCE
from tests.sample_requests import attempt, question
from tests.store_fixtures import NoQueue, new_run

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with connect(redis_url) as client:
        client.connection_pool.connection_class = Forgetting
        yield client


async def test_every_script_survives_a_server_that_forgot_it(
    client: redis.asyncio.Redis, store: Store, namespace: str
) -> None:
    """R4: alone and beside others, for each script of the store; a call that was not known was not done."""
    forgetting, area = Store(client, namespace), Area(client, namespace)
    lease = await new_run(forgetting)
    asked = await asyncio.gather(*(usecases.ask(forgetting, lease, question(f"{n}", agent=f"a{n}")) for n in range(5)))
    journal = RedisJournal(area)
    held = await area.leases.claim(lease.run, "worker", MINUTE)
    assert held is not None
    written = (journal.record(held, f"step/{n}", b"once", on_disk=n % 2 == 0) for n in range(4))
    assert await asyncio.gather(*written) == [b"once"] * 4
    decided = await asyncio.gather(*(usecases.decide(forgetting, NoQueue(), r.id, attempt(r)) for r in asked))
    assert {request.status for request in decided} == {Status.APPROVED}
    await Lists(forgetting).keep(decided)
    assert await area.leases.renew(held, MINUTE)
    await area.leases.release(held)
    assert await forgetting.indexes.active(10) == [lease.run]
    nobodys = RequestId("q" + "0" * 24)
    assert await forgetting.indexes.gone([nobodys, asked[0].id]) == [nobodys]
    ledger = Ledger(forgetting)
    assert await ledger.lease.claim("web", MINUTE)
    assert await ledger.lease.renew("web", MINUTE)
    await happen(forgetting, COUNT)
    assert await ledger.trim_events() > 0
    assert await ledger.trim(5) == 5
    assert await problems(forgetting) == []
    await ledger.lease.release("web")


async def test_repeated_pipeline_runs_once_in_order(
    client: redis.asyncio.Redis, redis_url: str, namespace: str
) -> None:
    """R26: calls that travel together are repeated together; alone they would overtake each other."""
    push = Script(client, "redis.call('RPUSH', KEYS[1], ARGV[1]); return ARGV[1]")
    pipeline = ScriptPipeline(client, in_order=True)
    for _ in range(50):  # by chance alone they may keep their order
        answers = await asyncio.gather(*(pipeline.call(push, [namespace], [n]) for n in range(16)))
        assert answers == [b"%d" % n for n in range(16)]
        assert await client.lrange(namespace, 0, -1) == answers
        await client.delete(namespace)


async def test_job_survives_a_server_that_forgot_its_scripts(
    redis_url: str, namespace: str, client: redis.asyncio.Redis
) -> None:
    """R5: the scripts of the job engine go the same way."""
    stop = asyncio.Event()
    done: list[RunId] = []

    async def advance(run: RunId) -> None:
        done.append(run)
        stop.set()

    async with Queue(redis_url, namespace) as queue:
        async with queue._docket.redis() as engine:
            engine.connection_pool.connection_class = Forgetting
            await engine.connection_pool.disconnect()
            engine.connection_pool.reset()
        await queue.advance(RunId("r1"))
        async with asyncio.timeout(PATIENCE):
            await work(queue, advance, concurrency=1, redelivery=MINUTE, stop=stop)
    assert done == [RunId("r1")]
