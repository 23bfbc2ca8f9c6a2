"""Names that stand in an index and should not, as after a loss or by hand, keep nobody waiting (R4)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from countersign import usecases
from countersign.domain.ids import RunId
from countersign.domain.requests import Request, Status
from countersign.metrics import Repair
from countersign.store import indexes
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines, unreported_outcomes
from countersign.usecases.ports import Change, Put
from tests.metric_counts import repaired
from tests.sample_requests import ALICE, attempt, question, request
from tests.store.test_unreadable import RUN, asked, break_request, break_run
from tests.store_fixtures import NoQueue, new_run, start_run

JUNK = 300
Look = Callable[[Store], Any]


@asynccontextmanager
async def keeping(store: Store) -> AsyncIterator[Wakeups]:
    """Somebody keeps the deadlines."""
    async with Wakeups(store) as wakeups:
        task = asyncio.create_task(deadlines.keep(store, NoQueue(), wakeups))
        try:
            yield wakeups
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def fill(store: Store, index: str, score: float, kind: str = "q") -> None:
    """With ids of requests or of runs that do not exist."""
    await store.client.zadd(index, {f"{kind}junk{number}": score for number in range(JUNK)})


async def no_junk(store: Store, index: str) -> None:
    """Returns when the index holds nothing that nobody knows."""
    while any(b"junk" in member for member in await store.client.zrange(index, 0, -1)):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def scores_of(store: Store, index: str) -> dict[bytes, float]:
    found: Any = await store.client.zrange(index, 0, -1, withscores=True)
    return dict(found)


async def overdue(store: Store) -> Request:
    over = request(await store.now() - timedelta(hours=2), asked=question(asked=7))
    await store.commit(Change(requests=(Put(over, 0),)))
    return over


async def test_stray_deadlines_are_removed(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """R29: a hundred thousand of them kept every deadline from being kept for more than a minute."""
    await start_run(store)
    over, index = await overdue(store), store.keys.pending
    await fill(store, index, 0)
    with repaired(Repair.STRAY, times=JUNK):
        async with keeping(store) as hints:
            assert (await hints.settled(over.id)).status is Status.EXPIRED
            await no_junk(store, index)
    lines = [line for line in caplog.messages if "belong to nothing" in line]
    assert lines and not any("\n" in line for line in lines)


async def test_misplaced_deadlines_are_moved_to_their_time(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    """R29, R5: nothing of it is lost, and none of it is looked at each second."""
    await start_run(store)
    early, broken, settled = [await asked(store, number) for number in range(3)]
    await usecases.decide(store, NoQueue(), settled.id, attempt(settled))
    await break_request(store, broken)
    index = store.keys.pending
    await store.client.zadd(index, {early.id: 1, broken.id: 1, settled.id: 1})
    over, before = await overdue(store), await store.now()
    async with keeping(store) as hints:
        await hints.settled(over.id)
        while 1 in (scores := await scores_of(store, index)).values():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert early.deadline is not None
    assert scores == {
        early.id.encode(): early.deadline.timestamp() * 1000 // 1,
        broken.id.encode(): pytest.approx((before + deadlines.UNREADABLE_AGAIN).timestamp() * 1000, abs=60_000),
    }
    assert sum("cannot be read" in line for line in caplog.messages) == 1


LOOKS: dict[str, tuple[Callable[[Store], str], Look]] = {
    "active runs": (lambda s: s.keys.active, lambda s: s.indexes.active_runs(1000)),
    "parked runs": (lambda s: s.keys.parked, lambda s: s.indexes.active_runs(1000)),
    "a person's runs": (lambda s: s.keys.runs(ALICE), lambda s: Overview(s).runs(ALICE, 1000)),
    "decisions to be told": (lambda s: s.keys.undelivered, lambda s: s.indexes.undelivered(1000, timedelta(0))),
    "lost questions": (lambda s: s.keys.parked, lambda s: s.indexes.forgotten(0)),
    "outcomes of programs": (lambda s: s.keys.unreported, unreported_outcomes.end_all),
}


@pytest.mark.parametrize("look", LOOKS)
async def test_stray_names_leave_an_index_that_is_read(store: Store, look: str) -> None:
    """R4: beside what is there, which stays; a damaged record stays too, for a program that reads it."""
    index, read = LOOKS[look]
    kind = "r" if "runs" in look or "questions" in look else "q"
    await start_run(store)
    made, broken = await asked(store), await asked(store, 1)
    await break_request(store, broken)
    await break_run(store, RunId("rbroken"))
    stays = {RUN, "rbroken"} if kind == "r" else {broken.id}
    await store.client.delete(index(store))
    await fill(store, index(store), 1, kind)
    await store.client.zadd(index(store), dict.fromkeys(stays, 2))
    with repaired(Repair.STRAY, times=JUNK):
        await read(store)
    assert {name.decode() for name in await store.client.zrange(index(store), 0, -1)} == stays
    assert await store.request(made.id) is not None


async def test_each_page_of_lost_questions_is_examined(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """R5: also runs that were parked in the same moment, more than a page has."""
    monkeypatch.setattr(indexes, "_AT_ONCE", 3)
    lost = []
    for number in range(7):
        lease = await new_run(store, f"r{number}")
        request = await usecases.ask(store, lease, question())
        assert await usecases.park(store, lease, frozenset({request.id}))
        await store.client.delete(store.keys.request(request.id))
        await store.client.zadd(store.keys.parked, {lease.run: 1000 + number // 3})
        lost.append(lease.run)
    found: set[RunId] = set()
    start, pages = 0, 0
    while pages == 0 or start:
        names, start = await store.indexes.forgotten(start)
        found |= {*names}
        pages += 1
        assert pages < 10
    assert found == {*lost}
