"""How long things stay in Redis."""

from datetime import timedelta

import pytest

from countersign import usecases
from countersign.domain.people import Actor
from countersign.domain.requests import Request
from countersign.domain.run_calls import Finish
from countersign.domain.runs import Verb as RunVerb
from countersign.store.keys import KEPT
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from tests.sample_requests import ALICE, HERE, attempt, question
from tests.store_fixtures import NoQueue, new_run

pytest_plugins = ["tests.redis_server", "tests.store_fixtures"]


async def left(store: Store, key: str) -> timedelta | None:
    """Until the key goes; None if it stays."""
    found = await store.client.pttl(key)
    assert found != -2, f"there is no {key}"
    return None if found == -1 else timedelta(milliseconds=found)


async def decided(store: Store, lease: Lease, words: str, asked: int = 0) -> Request:
    request = await usecases.ask(store, lease, question(words, asked=asked))
    await usecases.decide(store, NoQueue(), request.id, attempt(request, name=f"a{asked}{lease.run}"))
    await usecases.note_delivery(store, lease, request.id)
    return request


async def test_decided_request_is_kept_while_its_run_lasts(store: Store, lease: Lease) -> None:
    """R5: a run that then waits for months for somebody else is rebuilt without asking again."""
    first = await decided(store, lease, "the first")
    waiting = await usecases.ask(store, lease, question("the second", asked=1))
    assert await usecases.park(store, lease, frozenset({waiting.id}))
    for request in (first.id, waiting.id):
        assert await left(store, store.keys.request(request)) is None


@pytest.mark.parametrize("end", ["finish", "stop"])
async def test_requests_of_an_ended_run_expire_with_it(store: Store, lease: Lease, end: str) -> None:
    """Each key of the run and of its requests has a time to live."""
    requests = [await decided(store, lease, "the first"), await decided(store, lease, "the second", 1)]
    requests.append(await usecases.ask(store, lease, question("the third", asked=2)))
    if end == "finish":
        await usecases.finish(store, lease, Finish(RunVerb.FINISH, "done"))
    else:
        await usecases.stop(store, lease.run, Actor(HERE, ALICE), frozenset())
    for request in requests:
        kept = await left(store, store.keys.request(request.id))
        assert kept is not None
        assert KEPT - timedelta(minutes=1) < kept <= KEPT
    for key in (store.keys.settled(lease.run), store.keys.run(lease.run)):
        assert not await store.client.exists(key) or await left(store, key) is not None


async def test_ended_run_leaves_requests_of_other_runs(store: Store, lease: Lease) -> None:
    other = await new_run(store, "rother")
    stays = await decided(store, other, "of the other run")
    await decided(store, lease, "of the run that ends")
    await usecases.finish(store, lease, Finish(RunVerb.FINISH, "done"))
    assert await left(store, store.keys.request(stays.id)) is None
