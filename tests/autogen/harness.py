"""What the tests of the worker share: a store of their own, a worker in this process or another, and people."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Self, TypeVar

from autogen_core.models import ChatCompletionClient
from pydantic import SecretStr

from agents import registry
from countersign import usecases
from countersign.domain import api_keys, high_risk
from countersign.domain.channel_settings import Rules
from countersign.domain.decision_attempts import Attempt
from countersign.domain.ids import AttemptId, ChannelId, RequestId, RunId, UserId, WorkerId, WorkspaceId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Request, Verb
from countersign.domain.run_calls import R, Read, RunCall
from countersign.domain.runs import Run
from countersign.frameworks.autogen.models.demo import DemoModel
from countersign.frameworks.autogen.runner import Runner
from countersign.frameworks.autogen.team import Teams
from countersign.process_settings import WorkerSettings
from countersign.runs.area import Area
from countersign.runs.job_queue import Queue as JobQueue
from countersign.runs.journal_storage import RedisJournal
from countersign.runs.service import Service
from countersign.store.programs import ApiKeys
from countersign.store.record_codecs import EVENTS
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines
from countersign.usecases.ports import Announcement, Journal, Lease, Queue, TeamInfo
from countersign.usecases.requeued_runs import Unheld, ask_again
from countersign.usecases.store_outages import ended, patiently
from tests.forking import forked
from tests.longest_wait import PATIENCE
from tests.worker_service import Served, said, served

T = TypeVar("T")
WORKSPACE, CHANNEL, GENERAL = WorkspaceId("T1"), ChannelId("C1"), ChannelId("C0GENERAL")
ANN, BOB = UserId("U0ANN"), UserId("U0BOB")
RULES = Rules(ChannelId("CAPPROVALS"), Reviewers(frozenset({BOB})))
LEASE = timedelta(hours=1)
HERE = Path(__file__).parent


class Silent:
    """A queue that nobody works on: tests advance runs themselves."""

    def __init__(self) -> None:
        self.asked: list[RunId] = []

    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        self.asked.append(run)


@asynccontextmanager
async def housed(client: Any, url: str, namespace: str, folder: Path, rules: Rules = RULES) -> AsyncIterator["House"]:
    """A house on this Redis, with `web` at its API."""
    store = Store(client, namespace)
    await store.set_defaults(rules)
    await store.set_workspace(WORKSPACE)
    async with AsyncExitStack() as stack:
        wakeups = await stack.enter_async_context(Wakeups(store))
        web = await stack.enter_async_context(served(store, wakeups, WORKSPACE, CHANNEL, GENERAL))
        service = await stack.enter_async_context(web.service())
        area = Area(client, namespace)
        await stack.enter_async_context(said(area, web))
        yield House(url, namespace, store, area, wakeups, web, service, folder)


class Through:
    """`web` through something that may fail: a `Service` of which a test replaces a part."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def call(self, lease: Lease, call: RunCall[R]) -> R:
        return await self.service.call(lease, call)

    async def settled(self, request: RequestId) -> Request:
        return await self.service.settled(request)

    async def ended(self, run: RunId) -> None:
        await self.service.ended(run)

    async def any_settled(self, requests: Collection[RequestId]) -> bool:
        return await self.service.any_settled(requests)

    async def announce(self, worker: WorkerId, announcement: Announcement) -> None:
        await self.service.announce(worker, announcement)

    async def retire(self, worker: WorkerId) -> None:
        await self.service.retire(worker)


@dataclass
class House:
    """A store with its rules, and everything that works on it."""

    url: str
    namespace: str
    store: Store
    area: Area
    wakeups: Wakeups
    web: Served
    service: Service
    folder: Path
    smtp_url: str | None = None
    park_after: timedelta = timedelta(minutes=1)
    model_calls: int = 200
    lease: timedelta = LEASE

    def settings(self) -> WorkerSettings:
        """Of a worker whose lease nobody waits for: `lapse` ends it."""
        return WorkerSettings.model_construct(
            redis_url=SecretStr(self.url),
            namespace=self.namespace,
            log_level="INFO",
            model_config_file=None,
            smtp_url=SecretStr(self.smtp_url) if self.smtp_url else None,
            mail_from="countersign@example.com",
            data_dir=self.folder,
            lease=self.lease,
            park_after=self.park_after,
            concurrency=100,
            model_calls=self.model_calls,
        )

    async def start(
        self,
        run: str = "r1",
        team: str = "email",
        task: str = "tell the vendor we need 10% off",
        *,
        found: Teams | None = None,
        **options: str,
    ) -> Run:
        """A run in the store, queued and asked for by nobody; `found`: teams as the worker tells of them."""
        infos = (TeamInfo(team, ""),) if found is None else found.infos()
        await self.store.workers.announce(WorkerId("a-test"), Announcement(infos), timedelta(hours=1))
        return await usecases.start(
            self.store,
            Silent(),
            run=RunId(run),
            workspace=WORKSPACE,
            channel=CHANNEL,
            requester=ANN,
            team=team,
            task=task,
            options=options,
        )

    @asynccontextmanager
    async def worker(
        self,
        *,
        found: Teams | None = None,
        model: ChatCompletionClient | None = None,
        owner: str = "w1",
        journal: Journal | None = None,
        script: RunId | None = None,
    ) -> AsyncIterator["Worker"]:
        """A worker in this process, which lets its runs go at the end; or a script with that run."""
        stop = asyncio.Event()
        queue = Silent()
        runner = Runner(
            owner=owner,
            leases=self.area.leases,
            service=self.service,
            queue=queue,
            journal=journal or RedisJournal(self.area),
            teams=found or registry.find(),
            model=model or DemoModel(),
            settings=self.settings(),
            stop=stop,
            script=script,
        )
        worker = Worker(runner, queue, stop)
        try:
            yield worker
        finally:
            stop.set()
            await asyncio.gather(*worker.tasks)

    async def invite(self) -> None:
        """Ask workers for each run that none of them holds, as `web` does."""
        async with JobQueue(self.url, self.namespace) as queue:
            await ask_again(self.store, queue, Unheld(self.store), timedelta(0))

    async def lapse(self, name: str = "r1") -> None:
        """The time of whoever holds the run is over, as it is when they were gone for long."""
        run = RunId(name)
        held = await self.area.client.hmget(self.area.keys.lease(run), "fence", "owner")
        if all(held):
            await self.area.leases.renew(Lease(run, int(held[0]), held[1].decode()), timedelta(0))

    @asynccontextmanager
    async def deadlines_kept(self, queue: Queue | None = None) -> AsyncIterator[None]:
        """`web` keeps the deadlines for as long as the block lasts."""
        keeping = asyncio.create_task(deadlines.keep(self.store, queue or Silent(), self.wakeups))
        try:
            yield
        finally:
            await ended(keeping)

    async def program(self, name: str = "script", *channels: ChannelId) -> dict[str, str]:
        """The environment of a program with a key of its own."""
        issued = api_keys.issue(name, channels or (CHANNEL,), await self.store.now())
        await ApiKeys(self.store).put(issued.key)
        return {"COUNTERSIGN_URL": self.web.address.urls[0], "COUNTERSIGN_KEY": issued.token}

    async def web_says(self) -> Run:
        """The run as `web` answers for it, by HTTP."""
        return await self.service.call(Lease(RunId("r1"), 0, "a-test"), Read())

    async def rob(self, lease: Lease, ttl: timedelta = LEASE) -> Lease:
        """Another worker takes the run over, as if this one had been frozen until the end of its lease."""
        await self.area.leases.release(lease)
        taken = await self.area.leases.claim(lease.run, "another", ttl)
        assert taken is not None
        await usecases.begin(self.store, taken)
        return taken

    async def run(self, run: str = "r1") -> Run:
        seen = await self.store.run(RunId(run))
        assert seen is not None
        return seen.value

    async def asked(self, run: str = "r1", *, not_this: Request | None = None) -> Request:
        """The request that the run waits for, once there is one (and it is another than `not_this`)."""

        async def look() -> Request | None:
            for name in (await self.run(run)).open.values():
                seen = await self.store.request(name)
                if seen is not None and (not_this is None or name != not_this.id):
                    return seen.value
            return None

        return await fact(look)

    async def over(self, run: str = "r1") -> Run:
        """The run once it has ended."""

        async def look() -> Run | None:
            seen = await self.run(run)
            return seen if seen.over else None

        return await fact(look)

    async def decide(
        self,
        request: Request,
        verb: Verb,
        words: str = "",
        attempt: str = "a1",
        *,
        queue: Queue | None = None,
        arguments: str = "",
        content: str = "",
        chosen: tuple[str, ...] = (),
    ) -> Request:
        actor = self.requester() if request.rules.in_thread else Actor(WORKSPACE, BOB)
        name = AttemptId(f"{attempt}{request.id}")
        wanted = Attempt(name, actor, verb, request.digest, words, arguments, content, chosen)
        wanted = replace(wanted, opened_for=BOB, typed=high_risk.word(request))
        return await patiently(lambda: usecases.decide(self.store, queue or Silent(), request.id, wanted))

    def requester(self) -> Actor:
        """Who started the runs."""
        return Actor(WORKSPACE, ANN)

    async def events(self) -> list[dict[str, Any]]:
        """Everything that happened, as plain data."""
        raw = await self.store.client.xrange(self.store.keys.events)
        return [{"type": e.type, **e.data} for e in (EVENTS.load(fields[b"event"]) for _, fields in raw)]

    def mails(self) -> list[Path]:
        """The mails in the Maildir."""
        return sorted((self.folder / "mail" / "new").glob("*"))


@dataclass
class Worker:
    """A runner whose runs are tasks of the test."""

    runner: Runner
    queue: Silent
    stop: asyncio.Event

    def __post_init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []

    def advance(self, run: str = "r1") -> asyncio.Task[None]:
        task = asyncio.create_task(self.runner.advance(RunId(run)))
        self.tasks.append(task)
        return task


class Process:
    """A worker process of its own: `async with Process(house) as worker`; it is killed at the end if it still runs."""

    def __init__(self, house: House, folder: Path = registry.EXAMPLES) -> None:
        self._house = house
        self._folder = folder

    async def __aenter__(self) -> Self:
        house = self._house
        self.process = await forked(
            "tests.autogen.worker_process",
            house.url,
            house.namespace,
            str(house.folder),
            str(self._folder),
            house.smtp_url or "",
            str(house.park_after.total_seconds()),
            str(house.lease.total_seconds()),
            env=os.environ,
        )
        await house.invite()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def kill(self) -> None:
        """kill -9, and nobody waits for the end of its lease."""
        self.process.kill()
        await self.process.wait()
        await self._house.lapse()

    async def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return await self.process.wait()


async def fact(look: Callable[[], Awaitable[T | None]], within: float = PATIENCE) -> T:
    """What `look` finds, once it finds something."""
    async with asyncio.timeout(within):
        while True:
            # Tests that cut connections meet the dead ones in their own pool.
            if (found := await patiently(look)) is not None:
                return found
            await asyncio.sleep(0.01)
