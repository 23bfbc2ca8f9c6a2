"""Workers with a key and an area of their own, as users of a real Redis and over real HTTP."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis.asyncio

from bot.worker_areas import WorkerAreas
from countersign import usecases
from countersign.domain import api_keys
from countersign.domain.errors import InvalidInput, NotFound, StoreUnavailable
from countersign.domain.ids import RunId, WorkerId
from countersign.domain.requests import Kind, Question
from countersign.domain.run_calls import Ask, Claim, Claimed, Read
from countersign.runs.area import Area
from countersign.runs.service import HttpService
from countersign.store import acl
from countersign.store.programs import ApiKeys
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import program_keys
from countersign.usecases.ports import Announcement, Lease, TeamInfo
from tests.redis_server import name_of
from tests.sample_requests import ALICE, GENERAL, HERE
from tests.worker_service import served

PAY, MAIL = "pay", "mail"
SECRET = "of-this-test-alone"


@dataclass(frozen=True)
class Group:
    """Workers of one key: their area, and `web` as they call it."""

    area: Area
    service: HttpService


@dataclass(frozen=True)
class Groups:
    """Two groups of workers, and `web`'s own store and areas."""

    store: Store
    jobs: WorkerAreas
    pay: Group
    mail: Group


@pytest.fixture
async def groups(redis_url: str, namespace: str, store: Store, wakeups: Wakeups) -> AsyncIterator[Groups]:
    """Workers of the teams `pay` and `mail`, each group as a Redis user of its own."""
    parts = urlsplit(redis_url)
    async with AsyncExitStack() as stack:
        admin: Any = await stack.enter_async_context(redis.asyncio.Redis.from_url(redis_url))
        web = await stack.enter_async_context(served(store, wakeups, HERE, GENERAL))
        jobs = await stack.enter_async_context(WorkerAreas(redis_url, store))
        lines = acl.written_for(namespace, [PAY, MAIL]).splitlines()
        made = []
        for team in (PAY, MAIL):
            issued = api_keys.issue_worker(team, (team,), await store.now())
            await ApiKeys(store).put(issued.key)
            (rules,) = (line for line in lines if line.startswith(f"user worker-{team} "))
            user = name_of(f"worker-{team}", namespace)
            await admin.execute_command("ACL", "SETUSER", user, "reset", f">{SECRET}", "on", *rules.split()[4:])
            stack.push_async_callback(admin.acl_deluser, user)
            url = parts._replace(netloc=f"{user}:{SECRET}@{parts.hostname}:{parts.port}").geturl()
            client = await stack.enter_async_context(connect(url))
            area = Area(client, namespace, key=issued.token)
            await Area(store.client, namespace, area=issued.key.area).put_address(web.address.urls[0], "")
            service = await stack.enter_async_context(HttpService(area.address))
            announced = Announcement((TeamInfo(team, f"the team {team}"),))
            await service.announce(WorkerId("one"), announced)
            made.append(Group(area, service))
        yield Groups(store, jobs, *made)


async def started(groups: Groups, team: str, name: str = "rone") -> RunId:
    """A run of this team that no worker has yet."""
    run = RunId(name)
    await usecases.start(
        groups.store,
        groups.jobs,
        run=run,
        workspace=HERE,
        channel=GENERAL,
        requester=ALICE,
        team=team,
        task="do it",
    )
    return run


async def claimed(group: Group, run: RunId, team: str) -> tuple[Lease, Claimed]:
    """Claim the lease in the group's area, and the run at `web`."""
    lease = await group.area.leases.claim(run, "one", timedelta(minutes=1))
    assert lease is not None
    return lease, await group.service.call(lease, Claim((team,)))  # type: ignore[arg-type]


async def test_worker_advances_runs_of_its_own_teams(groups: Groups) -> None:
    run = await started(groups, PAY)
    lease, answer = await claimed(groups.pay, run, PAY)
    assert answer.run is not None and answer.run.area == groups.pay.area.area
    question = Question("clerk", 0, Kind.MESSAGE, "Pay?", "45 EUR")
    assert (await groups.pay.service.call(lease, Ask(question))).run == run


async def test_worker_of_another_key_finds_no_run(groups: Groups) -> None:
    """The run looks as if it did not exist: there is nothing to do, and no other call is answered."""
    run = await started(groups, PAY)
    lease, answer = await claimed(groups.mail, run, MAIL)
    assert answer == Claimed(None)
    with pytest.raises(NotFound):
        await groups.mail.service.call(lease, Read())


async def test_worker_announces_only_teams_of_its_key(groups: Groups) -> None:
    with pytest.raises(InvalidInput, match="can't run the teams pay"):
        await groups.mail.service.announce(WorkerId("one"), Announcement((TeamInfo(PAY, "mine now"),)))


async def test_worker_cannot_announce_foreign_runs_as_held(groups: Groups) -> None:
    """Else nobody would be asked for them when their own worker is lost."""
    run = await started(groups, PAY)
    await groups.mail.service.announce(WorkerId("one"), Announcement((TeamInfo(MAIL, ""),), (run,)))
    assert await groups.store.workers.held() == frozenset()


async def test_jobs_go_to_the_area_of_the_runs_team(groups: Groups) -> None:
    await started(groups, PAY)
    assert [await _jobs(groups.store, group) for group in (groups.pay, groups.mail)] == [1, 0]


async def test_redis_user_of_a_group_reaches_its_area_only(groups: Groups) -> None:
    """With real ACL users: each key there is, of web's and of the other group's area."""
    run = await started(groups, PAY)
    await claimed(groups.pay, run, PAY)
    own = groups.mail.area.keys.prefix
    keys = [key.decode() async for key in groups.store.client.scan_iter(f"*{groups.store.keys.namespace}*")]
    foreign = [key for key in keys if not key.startswith(own)]
    assert any(key.startswith(groups.pay.area.keys.prefix) for key in foreign)
    assert any(key.startswith(groups.store.keys.prefix) for key in foreign)
    for key in foreign:
        for command in (("TYPE", key), ("DEL", key), ("SET", key, "1"), ("RENAME", key, f"{own}x")):
            with pytest.raises(StoreUnavailable, match="may not do this"):
                await groups.mail.area.client.execute_command(*command)
    assert await groups.mail.area.client.set(f"{own}confirmed", "1", px=1000)


async def test_revoked_key_of_all_workers_stays_revoked(groups: Groups) -> None:
    """`web` makes a key for workers that have none, but opens none that an operator closed."""
    area, store = Area(groups.store.client, groups.store.keys.namespace), groups.store
    keeping = asyncio.create_task(groups.jobs.keep_address("http://127.0.0.1:1", timedelta(milliseconds=10)))
    try:
        while not await area.web_key():  # noqa: ASYNC110 -- Redis does not tell
            await asyncio.sleep(0.01)
        await program_keys.revoke(store, api_keys.id_of(api_keys.WORKERS), "operator")
        for _ in range(3):  # each rewrites the address
            await area.drop_address("http://127.0.0.1:1")
            while await area.address() is None:  # noqa: ASYNC110 -- Redis does not tell
                await asyncio.sleep(0.01)
        seen = await store.api_key(api_keys.id_of(api_keys.WORKERS))
        assert seen is not None and seen.value.revoked_at is not None
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


async def _jobs(store: Store, group: Group) -> int:
    stream = f"{group.area.keys.prefix}jobs:stream"
    return int(await store.client.xlen(stream))
