"""A store of its own for each test, and a run in it that may ask."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from countersign import usecases
from countersign.domain.attempt_refusals import Sentence
from countersign.domain.channel_settings import ChannelSettings
from countersign.domain.ids import RequestId, RunId, UserId, WorkerId
from countersign.domain.people import Actor
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.policy.loosening import Configured, NeedsConfirmation
from countersign.runs.area import Area
from countersign.store.record_codecs import EVENTS
from countersign.store.redis.connection import connect
from countersign.store.request_lists import Lists
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases.ports import Announcement, Change, Lease, Message, Put, Queue, TeamInfo
from tests.sample_requests import ALICE, GENERAL, HERE, rules


class NoQueue:
    """A queue that loses every job: the store must not need it."""

    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        return


@pytest.fixture
async def store(redis_url: str, namespace: str) -> AsyncIterator[Store]:
    client = connect(redis_url)
    store = Store(client, namespace)
    await store.set_defaults(rules())
    await announce_worker(store)
    yield store
    await client.aclose()


@pytest.fixture
def area(store: Store) -> Area:
    """The workers' area beside the store."""
    return Area(store.client, store.keys.namespace)


@pytest.fixture
async def wakeups(store: Store) -> AsyncIterator[Wakeups]:
    async with Wakeups(store) as wakeups:
        await wakeups.listening()
        yield wakeups


async def announce_worker(store: Store) -> None:
    """A worker says that it runs the team `email`."""
    email = TeamInfo("email", "writes a mail")
    await store.workers.announce(WorkerId("worker"), Announcement((email,)), timedelta(hours=1))


async def update_lists(store: Store) -> None:
    """As the outbox has them do: the lists know of all that happened so far."""
    await Lists(store).follow(
        EVENTS.load(fields[b"event"]) for _, fields in await store.client.xrange(store.keys.events)
    )


async def configure(store: Store, **changes: Any) -> None:
    """Changes of the settings of #general."""
    seen = await store.settings(GENERAL)
    await store.commit(Change(settings={GENERAL: Put(replace(seen.value, **changes), seen.version)}))


async def change_settings(
    store: Store,
    actor: Actor,
    edit: Callable[[ChannelSettings], ChannelSettings],
    admins: frozenset[UserId] = frozenset(),
) -> Configured:
    """Change the settings of #general as an admin, who confirms what makes them milder."""

    async def none_wrong(_: object) -> list[Sentence]:
        return []

    try:
        return await usecases.configure(store, GENERAL, actor, admins, edit, none_wrong)
    except NeedsConfirmation as milder:
        proposal = milder.proposal
        return await usecases.configure(
            store, GENERAL, actor, admins, lambda _: proposal.wanted, none_wrong, confirms=proposal
        )


async def place_card(store: Store, asked: Request, since: datetime | None = None) -> None:
    """Its card is in its channel, since then or since it was asked; nobody draws it."""
    name, channel = f"card/{asked.id}", asked.rules.approvals_channel
    card = Message(asked.workspace, channel, name, "1.1", request=asked.id, stands_since=since or asked.created_at)
    seen = await store.message(name)
    await store.commit(Change(messages=(Put(card, seen.version if seen else 0),)))


async def card_is_there(card: Message) -> bool:
    """Slack says so."""
    return True


async def let_expire(store: Store, asked: Request) -> None:
    """All of its time passes at once, with its card in its channel."""
    seen = await store.request(asked.id)
    assert seen is not None
    await place_card(store, asked, seen.now - asked.rules.timeout)
    await store.commit(Change(requests=(Put(replace(seen.value, deadline=seen.now), seen.version),)))
    await usecases.catch_up(store, NoQueue(), asked.id, card_is_there)


async def start_run(
    store: Store,
    name: str = "rtest",
    *,
    queue: Queue | None = None,
    team: str = "email",
    task: str = "tell the vendor we need 10% off",
) -> Run:
    """A run of Alice's that no worker has yet."""
    return await usecases.start(
        store,
        queue or NoQueue(),
        run=RunId(name),
        workspace=HERE,
        channel=GENERAL,
        requester=ALICE,
        team=team,
        task=task,
    )


async def new_run(store: Store, name: str = "rtest") -> Lease:
    """A run that a worker has begun."""
    run = await start_run(store, name)
    lease = Lease(run.id, 1, "worker")
    await usecases.begin(store, lease)
    return lease


@pytest.fixture
async def lease(store: Store) -> Lease:
    return await new_run(store)
