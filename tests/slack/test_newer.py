"""While versions change: what a newer one wrote is left for it, and the others are drawn meanwhile (R4)."""

import asyncio
from datetime import timedelta

import pytest

from bot.slack.projector import drawing_queue, projector
from countersign import usecases
from countersign.metrics import Repair
from countersign.store.outbox import GROUP, Outbox
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack, text_of
from tests.longest_wait import PATIENCE
from tests.metric_counts import repaired
from tests.sample_requests import question
from tests.slack.test_projector import all_drawn, card_of, running_projector
from tests.store_fixtures import new_run

NEWER = b'{"type":"moon_rose","at":"2026-03-06T17:00:00Z","run":"rtest"}'


async def in_hand(store: Store) -> list[bytes]:
    found = await store.client.xpending_range(store.keys.events, GROUP, "-", "+", 10)
    return [entry["message_id"] for entry in found]


async def is_in_hand(store: Store, entries: list[bytes]) -> None:
    """Returns when these events are, and no others."""
    async with asyncio.timeout(PATIENCE):
        while await in_hand(store) != entries:  # noqa: ASYNC110 -- Redis wakes nobody
            await asyncio.sleep(0.02)


async def was_read(store: Store, times: int) -> None:
    """Returns when the first event in hand was handed out so often."""
    async with asyncio.timeout(PATIENCE):
        while True:
            (entry,) = await store.client.xpending_range(store.keys.events, GROUP, "-", "+", 1)
            if entry["times_delivered"] >= times:
                return
            await asyncio.sleep(0.02)


async def test_event_of_newer_version_is_left_for_its_projector(
    slack: LocalSlack, store: Store, lease: Lease, caplog: pytest.LogCaptureFixture
) -> None:
    """R6: nobody ticks it off, it ends no process, and it counts as no repair."""
    newer = await store.client.xadd(store.keys.events, {"event": NEWER})
    with repaired(Repair.EVENT_OVERLOOKED, times=0), repaired(Repair.PROJECTOR_STOPPED, times=0):
        for content, read in (("one", 2), ("two", 4)):
            async with running_projector(slack, store, overlooked=timedelta(seconds=0.1)):
                await usecases.ask(store, await new_run(store, f"r{content}"), question(content))
                await slack.wait_message("#approvals", lambda m: content in text_of(m))  # noqa: B023
                await is_in_hand(store, [newer])
                await was_read(store, read)
    assert sum("is left for a version" in line for line in caplog.messages) == 2, "once for each projector"
    assert not any("half drawn" in line for line in caplog.messages), "nor does it look like a projector that was ended"


async def test_events_of_a_newer_version_hide_no_lost_event(store: Store, lease: Lease) -> None:
    """R5: more of them than are looked at at once stand before it."""
    outbox = Outbox(store)
    await outbox.open()
    for _ in range(150):
        await store.client.xadd(store.keys.events, {"event": NEWER})
    asked = await usecases.ask(store, lease, question())
    handed_out = await store.client.xreadgroup(GROUP, "projector", {store.keys.events: ">"})
    assert handed_out, "and its reply was lost"
    found = [event.request for _, event in await outbox.overlooked(timedelta(0), 100)]
    found += [event.request for _, event in await outbox.overlooked(timedelta(0), 100)]
    assert asked.id in found


async def test_request_of_a_newer_version_is_drawn_once_readable(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6, R21: whoever could not draw it does not tick it off."""
    monkeypatch.setattr(drawing_queue, "TRY_AGAIN", timedelta(seconds=0.05))
    asked = await usecases.ask(store, lease, question("one"))
    key = store.keys.request(asked.id)
    readable = await store.client.get(key)
    assert readable is not None and readable.startswith(b"1 2\n")
    await store.client.set(key, readable.replace(b"1 2\n", b"1 99\n", 1), keepttl=True)
    await usecases.ask(store, await new_run(store, "rother"), question("two"))
    async with running_projector(slack, store):
        assert "two" in text_of(await card_of(slack))
        await store.client.set(key, readable, keepttl=True)
        await all_drawn(slack, store)
    assert ["one" in text_of(m) for m in slack.channel("#approvals").messages] == [False, True]


async def test_stopping_projector_does_not_wait_for_an_undrawable_message(
    slack: LocalSlack, store: Store, lease: Lease, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: the next one goes on at once, and finds it in hand."""
    monkeypatch.setattr(projector, "GRACE", int(PATIENCE))  # who waited would wait for minutes
    slack.faults.add("error", on="chat.postMessage", error="restricted_action", times=None)
    async with running_projector(slack, store):
        await slack.wait_for(lambda _: sum(c.method == "chat.postMessage" for c in slack.calls) > 1)
    assert await in_hand(store)
