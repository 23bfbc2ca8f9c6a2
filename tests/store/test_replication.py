"""With `REDIS_WAIT` a decision counts when the replicas have it; what was acknowledged outlives the primary."""

import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from countersign import usecases
from countersign.domain.errors import NotReplicated, StoreUnavailable
from countersign.domain.ids import RunId
from countersign.domain.requests import Request, Status
from countersign.runs.area import Area
from countersign.runs.journal_storage import RedisJournal
from countersign.store.redis.connection import connect
from countersign.store.redis.durability import Replicas
from countersign.store.store import Store
from tests.forgetful_server import Forgetting
from tests.sample_requests import attempt, question, rules
from tests.servers import Server, primary_and_replica
from tests.store_fixtures import NoQueue, announce_worker, new_run

ONE = Replicas(1, timedelta(milliseconds=200))


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    async with primary_and_replica(tmp_path / "pair") as pair:
        yield pair


@pytest.fixture
async def safe(pair: tuple[Server, Server]) -> AsyncIterator[Store]:
    async with connect(pair[0].url) as client:
        store = Store(client, "acme", ONE)
        await store.set_defaults(rules())
        await announce_worker(store)
        yield store


async def many(store: Store, count: int) -> list[Request]:
    lease = await new_run(store)
    return [await usecases.ask(store, lease, question(f"mail {i}", agent=f"a{i}")) for i in range(count)]


async def test_unreplicated_decision_is_not_acknowledged_and_repeats_once(
    pair: tuple[Server, Server], safe: Store
) -> None:
    """R7, R8: the person is told, and the same click again is the same click."""
    [asked] = await many(safe, 1)
    pair[1].send(signal.SIGSTOP)
    for _ in range(2):
        with pytest.raises(NotReplicated, match="0 of 1 replicas"):
            await usecases.decide(safe, NoQueue(), asked.id, attempt(asked, name="click"))
    pair[1].send(signal.SIGCONT)
    decided = await usecases.decide(safe, NoQueue(), asked.id, attempt(asked, name="click"))
    assert decided.status is Status.APPROVED and decided.decision is not None
    assert decided.decision.attempt == "click"


async def test_action_waits_until_the_replicas_know_it_started(pair: tuple[Server, Server], safe: Store) -> None:
    """R4: a `started` that a failover could forget would let the action run twice."""
    area = Area(safe.client, "acme", ONE)
    lease, journal = await area.leases.claim(RunId("r1"), "worker", timedelta(minutes=1)), RedisJournal(area)
    assert lease is not None
    pair[1].send(signal.SIGSTOP)
    with pytest.raises(NotReplicated):
        await journal.record(lease, "step/mail", b"started")
    pair[1].send(signal.SIGCONT)
    assert await journal.record(lease, "step/mail", b"started") == b"started"


@pytest.mark.parametrize("wanted", [1, 0])
async def test_acknowledged_decisions_survive_the_loss_of_the_primary(pair: tuple[Server, Server], wanted: int) -> None:
    """R4: with one replica waited for nothing is lost; waiting for none, what was said last is."""
    async with connect(pair[0].url) as client:
        store = Store(client, "acme", Replicas(wanted, ONE.within))
        await store.set_defaults(rules())
        await announce_worker(store)
        asked = await many(store, 40)
        last = await store.request(asked[-1].id)
        assert last is not None
        await Store(client, "acme", Replicas(1, timedelta(seconds=2))).confirm(last)
        acknowledged = []
        for number, request in enumerate(asked):
            if number == 20:
                await pair[1].say("REPLICAOF", "127.0.0.1", 1)  # cut off, with what it has
            try:
                await usecases.decide(store, NoQueue(), request.id, attempt(request))
                acknowledged.append(request)
            except StoreUnavailable:
                break
    pair[0].send(signal.SIGKILL)
    await pair[1].say("REPLICAOF", "NO", "ONE")
    async with connect(pair[1].url) as client:
        after = await Store(client, "acme").requests([request.id for request in acknowledged])
    lost = [request for request in after if request is None or request.status is Status.PENDING]
    assert (len(acknowledged), len(lost)) == ((20, 0) if wanted else (40, 20))


async def test_claim_forgotten_by_a_failover_shares_no_fence(area: Area) -> None:
    """R4: two workers with one fence could both write the run."""
    run = RunId("r1")
    first = await area.leases.claim(run, "one", timedelta(seconds=5))
    claimed_at = await area.now()
    await area.client.delete(area.keys.lease(run))
    while await area.now() == claimed_at:
        pass
    second = await area.leases.claim(run, "two", timedelta(seconds=5))
    assert first is not None and second is not None
    assert second.fence > first.fence


async def test_forgotten_script_is_loaded_again(safe: Store) -> None:
    """R4: a restarted primary knows no scripts."""
    [asked] = await many(safe, 1)
    safe.client.connection_pool.connection_class = Forgetting
    await safe.client.connection_pool.disconnect()
    safe.client.connection_pool.reset()
    assert (await usecases.decide(safe, NoQueue(), asked.id, attempt(asked))).status is Status.APPROVED
