"""What a worker puts into the indexes besides its own requests and runs keeps nobody waiting (R29, R4)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from tests.store.two_users import Sides, start

from countersign import usecases
from countersign.domain.ids import RunId
from countersign.domain.requests import Request, Status
from countersign.metrics import Repair
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines, unreported_outcomes
from countersign.usecases.ports import Change, Put, TeamInfo
from countersign.usecases.requeued_runs import ask_again, ask_for_forgotten
from tests.metric_counts import repaired
from tests.sample_requests import ALICE, attempt, question, request
from tests.store.test_unreadable import RUN, asked, break_request, break_run
from tests.store_fixtures import NoQueue

JUNK = 3000


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


async def fill(store: Store, index: str, score: float) -> None:
    """With what is no id at all, and with ids of requests and of runs that there are not."""
    names = ["junk{}\n", "qjunk{}", "rjunk{}"]
    await store.client.zadd(index, {names[number % 3].format(number): score for number in range(JUNK)})


async def no_junk(sides: Sides, index: str) -> None:
    """Returns when the index holds nothing that nobody knows."""
    while any(b"junk" in member for member in await sides.admin.zrange(index, 0, -1)):  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def scores_of(sides: Sides, index: str) -> dict[bytes, float]:
    found: Any = await sides.admin.zrange(index, 0, -1, withscores=True)
    return dict(found)


async def overdue(sides: Sides) -> Request:
    over = request(await sides.agents.now() - timedelta(hours=2), asked=question(asked=7))
    await sides.agents.commit(Change(requests=(Put(over, 0),)))
    return over


async def test_names_of_nothing_in_the_index_of_deadlines_are_removed_counted_and_logged(
    sides: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    """R29: a hundred thousand of them kept every deadline from being kept for more than a minute."""
    await start(sides)
    over, index = await overdue(sides), sides.web.keys.pending
    await fill(sides.agents, index, 0)
    with repaired(Repair.STRAY, times=JUNK):
        async with keeping(sides.web) as hints:
            assert (await hints.settled(over.id)).status is Status.EXPIRED
            await no_junk(sides, index)
    lines = [line for line in caplog.messages if "belong to nothing" in line]
    assert lines and not any("\n" in line for line in lines)


async def test_what_is_in_the_index_too_early_too_late_or_cannot_be_read_is_looked_at_when_it_is_time(
    sides: Sides, caplog: pytest.LogCaptureFixture
) -> None:
    """R29, R5: nothing of it is lost, and none of it is looked at each second."""
    await start(sides)
    early, broken, settled = [await asked(sides, number) for number in range(3)]
    await usecases.decide(sides.web, NoQueue(), settled.id, attempt(settled))
    await break_request(sides, broken)
    index = sides.web.keys.pending
    await sides.agents.client.zadd(index, {early.id: 1, broken.id: 1, settled.id: 1})
    over, before = await overdue(sides), await sides.web.now()
    async with keeping(sides.web) as hints:
        await hints.settled(over.id)
        while 1 in (scores := await scores_of(sides, index)).values():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert early.deadline is not None
    assert scores == {
        early.id.encode(): early.deadline.timestamp() * 1000 // 1,
        broken.id.encode(): pytest.approx((before + deadlines.UNREADABLE_AGAIN).timestamp() * 1000, abs=60_000),
    }
    assert sum("cannot be read" in line for line in caplog.messages) == 1


@pytest.mark.parametrize("wrong", ["pending", "undelivered", "settled", "asked"])
async def test_an_index_that_a_worker_made_something_else_of_is_begun_anew(sides: Sides, wrong: str) -> None:
    """R4: a commit does all that it does, or nothing; the store is not taken for one that is away."""
    await start(sides)
    made = await asked(sides)
    assert await usecases.decide(sides.web, NoQueue(), made.id, attempt(made, name="one", chosen=())) is not None
    other = await asked(sides, 1)
    await sides.web.commit(Change(requests=(Put(other, 1),)))
    keys = sides.web.keys
    key = {
        "pending": keys.pending,
        "undelivered": keys.undelivered,
        "settled": keys.settled(RUN),
        "asked": keys.asked(other.id),
    }[wrong]
    await sides.agents.client.delete(key)
    await sides.agents.client.lpush(key, "x")
    await sides.agents.client.pexpire(key, 60_000)
    decided = await usecases.decide(sides.web, NoQueue(), other.id, attempt(other))
    assert decided.status is Status.APPROVED
    assert await sides.web.request(other.id) is not None
    kinds = {"settled": b"set", "asked": b"list", "pending": b"none"}
    assert await sides.admin.type(key) == kinds.get(wrong, b"zset")


Look = Callable[[Sides], Any]
LOOKS: dict[str, tuple[Callable[[Store], str], Look]] = {
    "runs in a status": (lambda s: s.keys.active, lambda sides: sides.web.indexes.active_runs(5)),
    "parked runs in a status": (lambda s: s.keys.parked, lambda sides: sides.web.indexes.active_runs(5)),
    "a person's runs": (lambda s: s.keys.runs(ALICE), lambda sides: Overview(sides.web).runs(ALICE, 5)),
    "decisions to be told": (
        lambda s: s.keys.undelivered,
        lambda sides: sides.agents.indexes.undelivered(5, timedelta(0)),
    ),
    "runs in nobody's hands": (lambda s: s.keys.active, lambda sides: sides.agents.indexes.unheld(5, timedelta(0))),
}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("score", [1, 9e12], ids=["oldest", "newest"])
async def test_no_list_is_crowded_out_by_names_of_nothing(sides: Sides, look: str, score: float) -> None:
    """R29: each look finds what is there, and leaves fewer of them."""
    await start(sides)
    made = await asked(sides)
    await usecases.decide(sides.web, NoQueue(), made.id, attempt(made))
    index, found = LOOKS[look]
    await fill(sides.agents, index(sides.web), score)
    answer = await found(sides)
    assert str(RUN) in str(answer) or str(made.id) in str(answer), answer


async def test_names_of_no_worker_hide_no_team(sides: Sides) -> None:
    """R29: not all of them are asked for their teams, and the next worker that says its own removes them."""
    soon = (await sides.web.now()).timestamp() * 1000 + 5000
    await sides.agents.client.zadd(sides.agents.keys.workers, {f"junk{n}": soon for n in range(JUNK)})
    assert await sides.web.workers.teams() == []
    await sides.agents.workers.announce("worker", [TeamInfo("email", "writes a mail")], timedelta(minutes=1))
    assert [team.name for team in await sides.web.workers.teams()] == ["email"]


async def test_what_is_no_index_of_workers_is_begun_anew_by_the_next_that_says_its_teams(sides: Sides) -> None:
    """R4: no worker could say any more what it runs, and nothing could be started."""
    await sides.agents.client.delete(sides.agents.keys.workers)
    await sides.agents.client.set(sides.agents.keys.workers, "no index", px=60_000)
    await sides.agents.workers.announce("worker", [TeamInfo("email", "writes a mail")], timedelta(minutes=1))
    assert [team.name for team in await sides.web.workers.teams()] == ["email"]


POISONED: dict[str, Callable[[Store], str]] = {
    "pending": lambda s: s.keys.pending,
    "active": lambda s: s.keys.active,
    "parked": lambda s: s.keys.parked,
    "undelivered": lambda s: s.keys.undelivered,
    "unreported": lambda s: s.keys.unreported,
    "runs of a person": lambda s: s.keys.runs(ALICE),
    "ended by workers": lambda s: s.keys.ended("agents"),
    "ended by web": lambda s: s.keys.ended("web"),
    "workers": lambda s: s.keys.workers,
}
PASSES: dict[str, Look] = {
    "outcomes of programs": lambda sides: unreported_outcomes.end_all(sides.web),
    "lost jobs": lambda sides: ask_again(sides.agents, NoQueue(), frozenset(), timedelta(0), starting=True),
    "lost questions": lambda sides: every_page(sides.agents),
    "keys of ended runs, by web": lambda sides: sides.web.put_away(1000),
    "keys of ended runs, by a worker": lambda sides: sides.agents.put_away(1000),
    "runs without a worker": lambda sides: sides.web.indexes.unheld(1000, timedelta(0)),
    "newest runs": lambda sides: sides.web.indexes.active_runs(10),
    "what waits": lambda sides: sides.web.indexes.waiting(1000),
    "what is due": lambda sides: sides.web.indexes.due(100),
    "a person's runs": lambda sides: Overview(sides.web).runs(ALICE, 10),
    "teams": lambda sides: sides.web.workers.teams(),
}


async def every_page(store: Store) -> None:
    """The whole search for lost questions."""
    start = 0
    for _ in range(100):
        if not (start := await ask_for_forgotten(store, NoQueue(), start)):
            return
    raise AssertionError("It never comes to an end.")


@pytest.mark.parametrize("score", [float("-inf"), 0, 9e15, 1e300, float("inf")])
async def test_nothing_in_an_index_ends_what_looks_through_it(
    sides: Sides, score: float, subtests: pytest.Subtests
) -> None:
    """R4, R29: what such a look raises ends its process; records that nobody reads, and all that is no id."""
    await start(sides)
    broken = await asked(sides)
    await break_request(sides, broken)
    run = RunId("rbroken")
    await break_run(sides, run)
    many = [RunId(f"rbroken{number}") for number in range(1000)]
    for other in many:
        await break_run(sides, other)
    await sides.agents.client.zadd(sides.agents.keys.parked, dict.fromkeys(many, score))
    for index in POISONED.values():
        await fill(sides.agents, index(sides.agents), score)
        strange = [broken.id, run, "pbroken", b"\xff\xfe", "", "x" * 500]
        await sides.agents.client.zadd(index(sides.agents), dict.fromkeys(strange, score))
    for name, look in PASSES.items():
        with subtests.test(name):
            await look(sides)


async def test_names_of_nothing_hide_no_parked_run_whose_question_is_lost(sides: Sides) -> None:
    """R29, R5: as many as are looked at at once, of the same moment and before it in the index."""
    await start(sides)
    lease = await sides.agents.leases.claim(RUN, "worker", timedelta(minutes=1))
    assert lease is not None
    await usecases.begin(sides.agents, lease)
    lost = await usecases.ask(sides.agents, lease, question())
    assert await usecases.park(sides.agents, lease, frozenset({lost.id}))
    await sides.admin.delete(sides.web.keys.asked(lost.id))
    (score,) = (await scores_of(sides, sides.web.keys.parked)).values()
    await fill(sides.agents, sides.agents.keys.parked, score)
    found, _ = await sides.agents.indexes.forgotten(0)
    assert found == [RUN]
