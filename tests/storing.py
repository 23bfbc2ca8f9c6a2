"""A store of its own for each test, and a run in it that may ask."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot import flows
from bot.core.ids import RequestId, RunId
from bot.core.ports import Lease, TeamInfo
from bot.store.connecting import connect
from bot.store.lists import Lists
from bot.store.reports import read_event
from bot.store.store import Store
from bot.store.wakeups import Wakeups
from tests.making import ALICE, GENERAL, HERE, rules


class NoQueue:
    """A queue that loses every job: the store must not need it."""

    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        return


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    client = connect(redis_url)
    store = Store(client, namespace)
    await store.set_defaults(rules())
    await store.announce("worker", [TeamInfo("email", "writes a mail")], timedelta(minutes=1))
    yield store
    await client.aclose()


@pytest.fixture
async def wakeups(store: Store) -> AsyncIterator[Wakeups]:
    async with Wakeups(store) as wakeups:
        await wakeups.listening()
        yield wakeups


async def lists_follow(store: Store) -> None:
    """As the outbox has them do: the lists know of all that happened so far."""
    told = [entry for key in (store.keys.events, store.keys.reports) for entry in await store.client.xrange(key)]
    await Lists(store).follow(read_event(fields, entry) for entry, fields in told)


async def new_run(store: Store, name: str = "rtest") -> Lease:
    """A run that a worker has begun."""
    await flows.start(
        store,
        NoQueue(),
        run=RunId(name),
        workspace=HERE,
        channel=GENERAL,
        requester=ALICE,
        team="email",
        task="tell the vendor we need 10% off",
    )
    lease = await store.claim(RunId(name), "worker", timedelta(seconds=30))
    assert lease is not None
    await flows.begin(store, lease)
    return lease


@pytest.fixture
async def lease(store: Store) -> Lease:
    return await new_run(store)
