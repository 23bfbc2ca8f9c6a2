"""Events leave Redis when they are drawn and chained, and never before; the record goes on from an empty stream."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from bot.audit.auditor import Auditor, Retention
from countersign.domain.hash_chain import START
from countersign.store.audit_log import Ledger
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.outbox import GROUP, Outbox
from countersign.store.redis.connection import RedisClient
from countersign.store.store import Store
from tests.audit.test_auditor import record, stream, tell, whole
from tests.longest_wait import PATIENCE


@asynccontextmanager
async def auditing(store: Store, keep: Retention | None = None, name: str = "web") -> AsyncIterator[None]:
    """An auditor at work."""
    task = asyncio.create_task(Auditor(store, name, keep=keep).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def handed_out(outbox: Outbox) -> list[str]:
    """The ids of the next events, which somebody has in hand now."""
    while not (entries := await outbox.read(100)):
        pass
    return [entry for entry, _ in entries]


async def until(fact: Callable[[], Coroutine[None, None, bool]]) -> None:
    """Returns when it is so; TimeoutError after ten seconds."""
    async with asyncio.timeout(PATIENCE):
        while not await fact():  # noqa: ASYNC110 -- Redis wakes nobody
            await asyncio.sleep(0.02)


async def left(store: Store, events: list[str]) -> None:
    """Returns when these are the ids in the stream."""

    async def so() -> bool:
        return await stream(store) == events

    await until(so)


async def lag(store: Store) -> tuple[int, int | None]:
    """How many events are handed out and not drawn, and how many are not handed out."""
    (group,) = await store.client.xinfo_groups(store.keys.events)
    return group["pending"], group["lag"]


async def told(store: Store) -> list[str]:
    """The words in the record, which must be whole."""
    await whole(store)
    return [entry["data"]["tool"] for entry in await record(store)]


async def test_drawn_and_chained_events_leave_within_seconds(store: Store) -> None:
    """R25: by default, again and again, and without waiting for the minute at which old entries are looked for."""
    outbox = Outbox(store)
    await outbox.open()
    async with auditing(store):
        for turn in range(2):
            await tell(store, *"abc")
            entries = await handed_out(outbox)
            for entry in entries[:2]:
                await outbox.done(entry)
            await left(store, entries[2:])
            assert await lag(store) == (1, 0), f"turn {turn}: the last is not drawn"
            await outbox.done(entries[2])
            await left(store, [])
            assert await lag(store) == (0, 0)
    assert await told(store) == [*"abc"] * 2


async def test_events_within_their_retention_are_kept(store: Store) -> None:
    """R25: KEEP_EVENTS says for how long."""
    outbox = Outbox(store)
    await outbox.open()
    await tell(store, *"abc")
    for entry in await handed_out(outbox):
        await outbox.done(entry)

    async def chained() -> bool:
        return len(await record(store)) == 3

    for keep in (Retention(events=timedelta(days=30)), Retention(events=None)):
        async with auditing(store, keep):
            await until(chained)
        await Auditor(store, "web", keep=keep).trim()
        assert len(await stream(store)) == 3
    await Auditor(store, "web").trim()
    assert await stream(store) == []


async def test_drawn_but_unchained_events_stay(store: Store) -> None:
    """R25: the projector may be faster than who keeps the record."""
    outbox = Outbox(store)
    await outbox.open()
    await tell(store, "a")
    await Auditor(store, "web").catch_up()
    await tell(store, "b")
    entries = await handed_out(outbox)
    for entry in entries:
        await outbox.done(entry)
    await Auditor(store, "web").trim()
    assert await stream(store) == entries[1:]
    await Auditor(store, "web").catch_up()
    await Auditor(store, "web").trim()
    assert await stream(store) == []
    assert await told(store) == ["a", "b"]


async def test_finished_events_leave_despite_a_clock_set_back(store: Store) -> None:
    """R8: ids of a stream only grow, so events may be stored under an hour that has not come yet."""
    hour = int((await store.now() + timedelta(hours=1)).timestamp() * 1000)
    await tell(store, "a")
    (fields,) = [fields for _, fields in await store.client.xrange(store.keys.events)]
    await store.client.xadd(store.keys.events, fields, id=f"{hour}-0")
    await tell(store, "b")
    outbox = Outbox(store)
    await outbox.open()
    for entry in await handed_out(outbox):
        await outbox.done(entry)
    await Auditor(store, "web").catch_up()
    await Auditor(store, "web").trim()
    assert await stream(store) == []
    assert await told(store) == ["a", "a", "b"]


async def test_event_in_hand_is_kept_and_found_when_overlooked(store: Store) -> None:
    """R5: whatever is older and younger than it has left, so one that can never be drawn fills no memory."""
    outbox = Outbox(store)
    await outbox.open()
    await tell(store, *"abcde")
    entries = await handed_out(outbox)
    await Auditor(store, "web").catch_up()
    for entry in (*entries[:2], *entries[3:]):
        await outbox.done(entry)
    await Auditor(store, "web").trim()
    assert await stream(store) == [entries[2]]
    assert await lag(store) == (1, 0)
    reply = await store.client.xautoclaim(store.keys.events, GROUP, "projector", 0)
    assert [entry.decode() for entry, _ in reply[1]] == [entries[2]]
    assert reply[2] == [], "nothing was handed out that is gone"
    assert [entry for entry, _ in await Outbox(store).overlooked(timedelta(0), 100)] == [entries[2]]
    await outbox.done(entries[2])
    await Auditor(store, "web").trim()
    assert await stream(store) == []


async def test_undrawable_event_keeps_no_later_event(store: Store) -> None:
    """R4: a run whose card Slack refuses for weeks keeps its own events, and not all of everybody's."""
    outbox = Outbox(store)
    await outbox.open()
    await tell(store, "a")
    (fields,) = [fields for _, fields in await store.client.xrange(store.keys.events)]
    for _ in range(3):
        for _ in range(250):
            await store.client.xadd(store.keys.events, fields)
        await tell(store, "stuck")
    entries = [entry for _ in range(8) for entry in await handed_out(outbox)]
    stuck = entries[::251]
    for entry in set(entries) - {*stuck}:
        await outbox.done(entry)
    await Auditor(store, "web").catch_up()
    sizes = [await Ledger(store).trim_events() for _ in range(3)]
    assert sizes == [254, 4, 4] and await stream(store) == stuck
    assert await lag(store) == (4, 0)
    assert len(await record(store)) == 754
    for entry in stuck:
        await outbox.done(entry)
    assert await Ledger(store).trim_events() == 0


async def test_outdated_auditor_chains_nothing_twice_and_skips_nothing(
    store: Store,
) -> None:
    """R25: its place in the events is gone from the stream."""
    outbox, ledger, auditor = Outbox(store), Ledger(store), Auditor(store, "web")
    await outbox.open()
    await tell(store, "a", "b")
    before = await ledger.position()
    late = await auditor._made(before, await ledger.events(before.event, 20, timedelta(0)))
    await auditor.catch_up()
    for entry in await handed_out(outbox):
        await outbox.done(entry)
    await auditor.trim()
    assert await stream(store) == []
    assert await ledger.events(before.event, 20, timedelta(0)) == []
    assert await ledger.append(before, late) == "moved"
    here = await ledger.position()
    assert await ledger.append(replace(here, head=START), late) == "moved"
    assert await ledger.append(here, late) == "gap", "what has left is not chained again"
    await tell(store, "c", "d")
    made = await auditor._made(here, await ledger.events(here.event, 20, timedelta(0)))
    assert await ledger.append(here, made[1:]) == "gap", "nor is what follows skipped"
    assert await ledger.append(here, made) == "done"
    assert await told(store) == [*"abcd"]


@pytest.mark.slow
async def test_position_in_an_empty_stream_survives_a_restart(tmp_path: Path) -> None:
    """R4: new events come after those that have left, to the record and to the projector."""
    async with EmbeddedRedis(tmp_path) as server:
        client = RedisClient.from_url(server.url, retry=Retry(ConstantBackoff(0.02), 200))
        store = Store(client, "leaving")
        outbox, auditor = Outbox(store), Auditor(store, "web")
        await outbox.open()

        async def rewritten() -> bool:
            doing = await client.info("persistence")
            return not doing["aof_rewrite_in_progress"] and not doing["aof_rewrite_scheduled"]

        for turn in range(2):
            await tell(store, f"before {turn}")
            for entry in await handed_out(outbox):
                await outbox.done(entry)
            await auditor.catch_up()
            await auditor.trim()
            last = await client.xinfo_stream(store.keys.events)
            assert (last["length"], last["last-generated-id"].decode()) == (0, (await Ledger(store).position()).event)
            if turn == 1:
                await client.bgrewriteaof()
                await until(rewritten)
            os.kill((await client.info("server"))["process_id"], signal.SIGKILL)
            after = await client.xinfo_stream(store.keys.events)
            assert after["last-generated-id"] == last["last-generated-id"]
            await tell(store, f"after {turn}")
            assert [event.data["tool"] for _, event in await outbox.read(100)] == [f"after {turn}"]
            await auditor.catch_up()
            (entry,) = await stream(store)
            await outbox.done(entry)
        assert await told(store) == ["before 0", "after 0", "before 1", "after 1"]
        await client.aclose()
