"""The lists of what waits and was decided follow the events, before anybody is shown what these tell."""

import pytest

from countersign import usecases
from countersign.domain.requests import Status
from countersign.store.outbox import Outbox
from countersign.store.request_lists import Lists, Overview
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from tests.sample_requests import ALICE, BOB, GENERAL, attempt, question
from tests.store_fixtures import NoQueue


async def test_event_is_delivered_after_the_lists_know_it(store: Store, lease: Lease) -> None:
    """R6: whoever sees a card finds it in the lists; and what a dead process had in hand is listed by the next one."""
    outbox, overview = Outbox(store), Overview(store)
    await outbox.open()
    while await outbox.read(100):
        pass
    asked = await usecases.ask(store, lease, question())
    assert await store.client.zcard(store.keys.waits(BOB)) == 0, "whoever asks or clicks does not wait for the lists"
    await outbox.read(100)
    assert (await overview.waiting([BOB], BOB, lambda request: True, 9)).requests == (asked,)

    await store.client.delete(store.keys.waits(BOB))
    after_it = Outbox(store)
    await after_it.open()
    await after_it.read(100)
    assert (await overview.waiting([BOB], BOB, lambda request: True, 9)).requests == (asked,)


async def test_request_lists_updated_twice_or_late_are_equal(store: Store, lease: Lease) -> None:
    """R6: they are written from the request as it is, not from what the event says."""
    lists, overview = Lists(store), Overview(store)
    asked = await usecases.ask(store, lease, question())
    settled = await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    assert settled.status is Status.APPROVED
    for _ in range(2):
        await lists.keep([settled])
        assert (await overview.waiting([BOB], BOB, lambda request: True, 9)).requests == ()
        assert await overview.decided(ALICE, 9) == await overview.decided(GENERAL, 9) == [settled]


async def test_stale_list_entry_of_a_frozen_process_is_dropped(store: Store, lease: Lease) -> None:
    """R6"""
    lists, overview = Lists(store), Overview(store)
    asked = await usecases.ask(store, lease, question())
    settled = await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    await lists.keep([settled])
    await lists.keep([asked])
    assert (await overview.waiting([BOB], BOB, lambda request: True, 9)).total == 0
    assert await store.client.zcard(store.keys.waits(BOB)) == 0


@pytest.mark.parametrize("how", ["gone", "broken"])
async def test_missing_or_broken_request_is_left_out_of_lists(store: Store, lease: Lease, how: str) -> None:
    """What was kept long enough and dropped, and what is damaged."""
    outbox = Outbox(store)
    gone = await usecases.ask(store, lease, question("a"))
    here = await usecases.ask(store, lease, question("b", agent="other"))
    await store.client.delete(store.keys.request(gone.id))
    if how == "broken":
        await store.client.set(store.keys.request(gone.id), "1 2\n{}")
    await outbox.open()
    assert await outbox.read(100) == [], "nothing was in hand"
    await outbox.read(100)
    assert await store.client.zrange(store.keys.waits(BOB), 0, -1) == [here.id.encode()]
