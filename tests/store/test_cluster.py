"""On a Redis Cluster: every script, the subscription, the outbox, the journal and the job engine."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import pytest_asyncio
from redis.crc import key_slot

from countersign import usecases
from countersign.domain import decision_attempts
from countersign.domain.errors import NotReplicated, StoreUnavailable, StoreUnsafe
from countersign.domain.ids import RunId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Status
from countersign.runs.area import Area, AreaKeys
from countersign.runs.job_queue import Queue, work
from countersign.runs.journal_storage import RedisJournal
from countersign.store.outbox import Outbox
from countersign.store.redis.connection import connect
from countersign.store.redis.durability import Replicas
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines
from countersign.usecases.ports import Change, Committed, Put
from tests.forgetful_server import Forgetting
from tests.longest_wait import PATIENCE
from tests.sample_requests import BOB, CAROL, DAVE, attempt, question, rules
from tests.servers import SLOTS, Server, running_cluster
from tests.store_fixtures import NoQueue, announce_worker, new_run

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[list[Server]]:
    async with running_cluster(tmp_path_factory.mktemp("cluster")) as nodes:
        yield nodes


@pytest_asyncio.fixture(loop_scope="module", params=[0, 1, 2])
async def on_cluster(nodes: list[Server], request: pytest.FixtureRequest) -> AsyncIterator[tuple[Store, str]]:
    """A store in a namespace of its own, its keys on the node of that number; reached by way of the first node."""
    url = nodes[0].url.replace("redis://", "redis+cluster://").removesuffix("/0")
    async with connect(url) as client:
        store = Store(client, _namespace_on(request.param))
        await store.check()
        await store.set_defaults(rules(timeout=timedelta(minutes=5)))
        await announce_worker(store)
        yield store, url


def _namespace_on(node: int) -> str:
    while True:
        name = "t" + secrets.token_hex(4)
        if key_slot(name.encode()) * 3 // SLOTS == node:
            return name


async def test_request_is_decided_delivered_and_logged_on_a_cluster(
    on_cluster: tuple[Store, str],
) -> None:
    """R3: one script decides, wherever its keys are."""
    store, _ = on_cluster
    lease = await new_run(store)
    async with Wakeups(store) as wakeups:
        await wakeups.listening()
        asked = await usecases.ask(store, lease, question())
        waiting = asyncio.create_task(wakeups.settled(asked.id))
        await asyncio.gather(*(usecases.decide(store, NoQueue(), asked.id, attempt(asked, name="a")) for _ in range(5)))
        settled = await asyncio.wait_for(waiting, PATIENCE)
        assert settled.status is Status.APPROVED
        await usecases.note_delivery(store, lease, settled.id)
    area = Area(store.client, store.keys.namespace)
    held, journal = await area.leases.claim(lease.run, "worker", timedelta(minutes=1)), RedisJournal(area)
    assert held is not None
    assert await journal.record(held, "step/a", b"one") == b"one"
    assert await journal.record(held, "step/a", b"two") == b"one"
    assert await journal.entries(lease.run) == {"step/a": b"one"}
    outbox = Outbox(store)
    await outbox.open()
    assert await outbox.read(100) == []
    entries = await outbox.read(100)
    assert [event.type.value for _, event in entries] == [
        "run_queued",
        "run_started",
        "request_asked",
        "request_decided",
        "decision_delivered",
    ]
    for entry, _ in entries:
        await outbox.done(entry)
    assert await outbox.overlooked(timedelta(0), 10) == []
    assert [team.name for team in await store.workers.teams()] == ["email"]
    assert [run.id for run in await store.indexes.active_runs(10)] == [lease.run]


async def test_node_without_the_scripts_costs_no_step(on_cluster: tuple[Store, str]) -> None:
    """R4: a node that took over for another has never seen them."""
    store, _ = on_cluster
    await store.client.initialize()
    for node in store.client.get_nodes():
        node.connection_class = Forgetting
        await node.disconnect()
        node._connections.clear()
        node._free.clear()
    lease = await new_run(store)
    asked = await usecases.ask(store, lease, question())
    assert (await usecases.decide(store, NoQueue(), asked.id, attempt(asked))).status is Status.APPROVED
    area = Area(store.client, store.keys.namespace)
    held = await area.leases.claim(lease.run, "worker", timedelta(minutes=1))
    assert held is not None
    assert await RedisJournal(area).record(held, "step/a", b"one", on_disk=True) == b"one"


@pytest.mark.parametrize("on_cluster", [1], indirect=True)
async def test_deadlines_are_kept_on_a_cluster(on_cluster: tuple[Store, str]) -> None:
    """R20: by the clock of the node that holds the request."""
    store, _ = on_cluster
    await store.set_defaults(rules(timeout=timedelta(seconds=1)))
    lease = await new_run(store)
    async with Wakeups(store) as wakeups:
        keeping = asyncio.create_task(deadlines.keep(store, NoQueue(), wakeups))
        asked = await usecases.ask(store, lease, question())
        settled = await asyncio.wait_for(wakeups.settled(asked.id), PATIENCE)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    assert settled.status is Status.EXPIRED
    assert settled.decision is not None and asked.deadline is not None
    assert timedelta(0) <= settled.decision.at - asked.deadline < timedelta(seconds=1)


@pytest.mark.parametrize("on_cluster", [1], indirect=True)
async def test_job_engine_hands_runs_over_on_a_cluster(on_cluster: tuple[Store, str]) -> None:
    """R5: under the same key names as on one server."""
    store, url = on_cluster
    stop, advanced = asyncio.Event(), []

    async def advance(run: RunId) -> None:
        advanced.append(run)
        if len(advanced) == 2:
            stop.set()

    async with Queue(url, store.keys.prefix.strip("{}:")) as queue:
        await queue.advance(RunId("r1"))
        await queue.advance(RunId("r2"), after=timedelta(milliseconds=50))
        await work(queue, advance, concurrency=5, redelivery=timedelta(seconds=5), stop=stop)
    assert sorted(advanced) == ["r1", "r2"]
    assert await store.client.exists(f"{AreaKeys(store.keys.namespace).prefix}jobs:stream") == 1


@pytest.mark.parametrize("on_cluster", [0], indirect=True)
async def test_commit_is_whole_or_nothing_while_a_slot_moves(
    on_cluster: tuple[Store, str], nodes: list[Server]
) -> None:
    """R3: what is only added to goes by name, which no server checks before the script; it may have moved already."""
    web, _ = on_cluster
    await web.set_defaults(rules(quorum=3, reviewers=Reviewers(frozenset({BOB, CAROL, DAVE}))))
    lease = await new_run(web)
    asked = await usecases.ask(web, lease, question())
    await usecases.decide(web, NoQueue(), asked.id, attempt(asked, BOB))
    seen = await web.request(asked.id)
    assert seen is not None
    step = decision_attempts.decide(seen.value, attempt(asked, CAROL), seen.now)
    vote = Change(requests=(Put(step.request, seen.version),), events=step.events)
    slot, (here, there, _) = key_slot(web.keys.events.encode()), nodes
    await there.say("CLUSTER", "SETSLOT", slot, "IMPORTING", await here.say("CLUSTER", "MYID"))
    await here.say("CLUSTER", "SETSLOT", slot, "MIGRATING", await there.say("CLUSTER", "MYID"))
    try:
        await here.say("MIGRATE", "127.0.0.1", there.port, web.keys.events, 0, 5000)
        before = await here.say("STRLEN", web.keys.request(asked.id))
        with pytest.raises(StoreUnavailable, match="Nothing was changed"):
            await web.commit(vote)
        assert await here.say("STRLEN", web.keys.request(asked.id)) == before
    finally:
        await here.say("CLUSTER", "SETSLOT", slot, "STABLE")
        await there.say("MIGRATE", "127.0.0.1", here.port, web.keys.events, 0, 5000)
        await there.say("CLUSTER", "SETSLOT", slot, "STABLE")
    assert await web.commit(vote) is Committed.DONE


@pytest.mark.parametrize("on_cluster", [0], indirect=True)
async def test_cluster_with_an_evicting_primary_is_refused(on_cluster: tuple[Store, str], nodes: list[Server]) -> None:
    """R4: every primary is asked, because a failover may move the keys to any."""
    store, _ = on_cluster
    await nodes[2].say("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(StoreUnsafe, match="allkeys-lru"):
            await store.check()
    finally:
        await nodes[2].say("CONFIG", "SET", "maxmemory-policy", "noeviction")


async def test_unreachable_cluster_is_reported_as_unavailable() -> None:
    """R4: no node answers, and nothing was changed."""
    async with connect("redis+cluster://127.0.0.1:1") as client:
        with pytest.raises(StoreUnavailable, match="Nothing was changed"):
            await Store(client, "nobody").check()


async def test_decision_waits_for_replicas_of_its_own_node(on_cluster: tuple[Store, str]) -> None:
    """R4: these nodes have none, so nothing is acknowledged; and it is stored once."""
    store, _ = on_cluster
    asked = await usecases.ask(store, await new_run(store), question())
    wary = Store(store.client, store.keys.prefix.strip("{}:"), Replicas(1, timedelta(milliseconds=20)))
    for _ in range(2):
        with pytest.raises(NotReplicated, match="0 of 1"):
            await usecases.decide(wary, NoQueue(), asked.id, attempt(asked, name="click"))
    seen = await store.request(asked.id)
    assert seen is not None and seen.value.status is Status.APPROVED
