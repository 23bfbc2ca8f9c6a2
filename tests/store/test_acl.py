"""What the server itself allows `web` and a worker: the users of countersign/store/users.acl, over a whole story."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from bot.audit.auditor import Auditor, Retention
from bot.worker_areas import WorkerAreas
from countersign import usecases
from countersign.domain.errors import StoreUnavailable
from countersign.domain.executions import Begun
from countersign.domain.ids import Digest, RunId, WorkerId
from countersign.domain.requests import Status
from countersign.domain.run_calls import Ask, Claim, Finish, Park
from countersign.domain.runs import Verb
from countersign.runs.area import Area
from countersign.runs.job_queue import Queue, work
from countersign.runs.journal_storage import RedisAnswers, RedisJournal
from countersign.runs.service import HttpService
from countersign.store.audit_log import Ledger
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.outbox import Outbox
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import requeued_runs
from countersign.usecases.ports import Announcement, TeamInfo
from tests.longest_wait import PATIENCE
from tests.sample_requests import GENERAL, HERE, attempt, begins, question, reporting, rules
from tests.store_fixtures import start_run
from tests.worker_service import served

NAMESPACE = "t"
MINUTE = timedelta(minutes=1)
RUN = RunId("rstory")
TEAMS = (TeamInfo("email", "writes a mail"),)
READS = {
    "string": ("GET",),
    "hash": ("HGETALL",),
    "set": ("SMEMBERS",),
    "zset": ("ZRANGE", "0", "-1"),
    "stream": ("XRANGE", "-", "+"),
    "list": ("LRANGE", "0", "-1"),
}


@dataclass(frozen=True)
class Users:
    """`web` and a worker, each as the user that it is in Redis; `admin` is the user of no process."""

    web: Store
    area: Area
    admin: Any
    server: EmbeddedRedis


@pytest.fixture
async def users(tmp_path: Path) -> AsyncIterator[Users]:
    """A server of its own, because the server keeps one log of refusals for all users."""
    async with (
        EmbeddedRedis(tmp_path / "redis", namespace=NAMESPACE) as server,
        connect(server.url_of("web")) as web,
        connect(server.url_of("worker")) as worker,
        connect(server.url) as admin,
    ):
        yield Users(Store(web, NAMESPACE), Area(worker, NAMESPACE), admin, server)


class Worker:
    """A worker that asks once in its run, leaves memory, and comes back with the decision."""

    def __init__(self, area: Area, service: HttpService) -> None:
        self._area = area
        self._service = service
        self._journal = RedisJournal(area)
        self.asked = asyncio.get_running_loop().create_future()
        self.done = asyncio.Event()

    async def advance(self, run: RunId) -> None:
        lease = await self._area.leases.claim(run, "one", MINUTE)
        assert lease is not None
        claimed = await self._service.call(lease, Claim(("email",)))  # type: ignore[arg-type]
        assert claimed.run is not None
        asked = await self._service.call(lease, Ask(question()))
        await self._journal.record(lease, "asked", asked.id.encode(), on_disk=True)
        if asked.status is Status.PENDING:
            assert await self._service.call(lease, Park(frozenset({asked.id})))
            self.asked.set_result(asked)
        else:
            settled = await self._service.settled(asked.id)
            assert settled.status is Status.APPROVED
            assert await self._service.call(lease, begins(settled)) is Begun.GRANTED
            await self._service.call(lease, reporting(settled, "It was sent."))
            assert await self._area.leases.renew(lease, MINUTE)
            await self._service.call(lease, Finish(Verb.FINISH, "Done."))
            await self._service.ended(run)
            await self._journal.drop(run)
            self.done.set()
        await self._area.leases.release(lease)


async def story(users: Users) -> None:
    """A run is started, claimed, asks, parks, is decided, comes back and ends; `web` keeps the record."""
    async with AsyncExitStack() as stack:
        web, area = users.web, users.area
        await web.check()
        await area.check()
        await web.set_defaults(rules())
        await web.set_workspace(HERE)
        wakeups = await stack.enter_async_context(Wakeups(web))
        served_at = await stack.enter_async_context(served(web, wakeups, HERE, GENERAL))
        areas = await stack.enter_async_context(WorkerAreas(users.server.url_of("web"), web))
        keeping = asyncio.create_task(areas.keep_address(served_at.address.urls[0]))
        async with asyncio.timeout(PATIENCE):
            while await area.address() is None:  # noqa: ASYNC110 -- Redis wakes nobody
                await asyncio.sleep(0.01)
        service = await stack.enter_async_context(HttpService(area.address))
        await service.announce(WorkerId("one"), Announcement(TEAMS))
        queue = await stack.enter_async_context(Queue(users.server.url_of("worker"), NAMESPACE))
        worker, stop = Worker(area, service), asyncio.Event()
        working = asyncio.create_task(work(queue, worker.advance, concurrency=5, redelivery=MINUTE, stop=stop))
        async with asyncio.timeout(PATIENCE):
            await start_run(web, RUN, queue=areas)
            asked = await worker.asked
            await requeued_runs.ask_again(web, areas, requeued_runs.Unheld(web))
            await usecases.decide(web, areas, asked.id, attempt(asked))
            await worker.done.wait()
            stop.set()
            await working
        answers = RedisAnswers(area)
        await answers.put(Digest("0" * 64), b"said", MINUTE)
        assert await answers.get(Digest("0" * 64)) == b"said"
        await service.retire(WorkerId("one"))
        await keep_record(web)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def keep_record(web: Store) -> None:
    """As the auditor does: it chains, reads, trims, and holds its lease."""
    ledger, outbox = Ledger(web), Outbox(web)
    await outbox.open()
    await outbox.read(100)
    assert await ledger.lease.claim("web", MINUTE)
    auditor = Auditor(web, "web", keep=Retention(timedelta(0), timedelta(0)))
    await auditor.catch_up()
    assert await ledger.trim(1) == 1
    await auditor.trim()
    await ledger.lease.release("web")


async def refusals(users: Users) -> list[object]:
    """What the server refused to anybody, as its log says."""
    return list(await users.admin.execute_command("ACL", "LOG"))


async def denied(client: redis.asyncio.Redis, *command: str) -> None:
    """AssertionError unless the server says that this user may not."""
    with pytest.raises(StoreUnavailable, match=r"may not do this|ACL failure"):
        await client.execute_command(*command)  # type: ignore[no-untyped-call]


async def test_redis_users_may_do_exactly_what_a_story_needs(users: Users) -> None:
    """Least privilege: nothing that they need is refused; a worker reaches no key of web's, nor hears its channels."""
    await story(users)
    assert await refusals(users) == []
    seen = await users.web.run(RUN)
    assert seen is not None and seen.value.over
    names = [name.decode() async for name in users.admin.scan_iter()]
    webs = [name for name in names if name.startswith(users.web.keys.prefix)]
    assert {*names} - {*webs} == {name for name in names if name.startswith(users.area.keys.prefix)} != set()
    worker = users.area.client
    for name in webs:
        kind = (await users.admin.type(name)).decode()
        read, *limits = READS[kind]
        await denied(worker, read, name, *limits)
        await denied(worker, "SET", name, "x")
        await denied(worker, "DEL", name)
        await denied(worker, "EVAL", "return redis.call('DEL', KEYS[1])", "1", name)
        await denied(worker, "EVAL", "return redis.call('DEL', ARGV[1])", "1", users.area.keys.web, name)
        await denied(worker, "RENAME", name, users.area.keys.confirmed)
    assert await refusals(users) != []
    await denied(worker, "SUBSCRIBE", users.web.keys.wake)
    await denied(worker, "PUBLISH", users.web.keys.wake, "due")
    async with worker.pubsub() as own:
        await own.psubscribe(f"{users.area.keys.prefix}jobs:cancel:*")
        assert (await own.get_message(timeout=None))["type"] == "psubscribe"


@pytest.mark.parametrize("user", ["web", "worker"])
async def test_redis_user_cannot_inspect_or_change_the_server(users: Users, user: str) -> None:
    """Names of keys hold the ids of people; hints of other namespaces carry decided requests."""
    async with connect(users.server.url_of(user)) as client:
        for command in (
            *("SCAN 0", "KEYS *", "RANDOMKEY", "DBSIZE", "PUBSUB CHANNELS", "CLIENT TRACKING ON BCAST", "MONITOR"),
            *("CONFIG SET appendonly no", "FLUSHALL", "SCRIPT FLUSH", "FUNCTION LIST", "ACL SETUSER worker ~*"),
            *("GET {other}:run:r1", "SET {other}:run:r1 x", "SUBSCRIBE {other}:wake", "PSUBSCRIBE *"),
        ):
            await denied(client, *command.split())
