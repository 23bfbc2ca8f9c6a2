"""Parking on a real store: no decision falls between a run and its way out of memory, or back."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from countersign import usecases
from countersign.domain import runs
from countersign.domain.errors import LeaseLost, StoreUnavailable
from countersign.domain.ids import RequestId, RunId, WorkerId
from countersign.domain.requests import Request, Status, Verb
from countersign.domain.run_calls import Finish
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines, requeued_runs
from countersign.usecases.ports import Announcement, Change, Committed, Lease, TeamInfo
from countersign.usecases.requeued_runs import Unheld
from tests.longest_wait import PATIENCE
from tests.sample_requests import ALICE, BOB, CAROL, attempt, question, rules
from tests.store_fixtures import NoQueue, new_run, start_run

NOW = timedelta(0)


class Noting(NoQueue):
    """A queue that notes which signals it was given."""

    def __init__(self) -> None:
        self.asked: list[tuple[RunId, RequestId | None]] = []

    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        self.asked.append((run, signal))


class Broken(NoQueue):
    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        raise StoreUnavailable("the queue is full")


async def status(store: Store, lease: Lease) -> runs.Status:
    seen = await store.run(lease.run)
    assert seen is not None
    return seen.value.status


async def park(store: Store, lease: Lease, *asked: Request) -> bool:
    return await usecases.park(store, lease, frozenset(request.id for request in asked))


def parks(change: Change) -> bool:
    return any(put.value.status is runs.Status.PARKED for put in change.runs)


def later(lease: Lease) -> Lease:
    """The next worker's lease of the same run."""
    return Lease(lease.run, lease.fence + 2, "another")


async def undelivered(store: Store) -> list[RequestId]:
    return [request.id for request in await store.indexes.undelivered(10, NOW)]


async def test_parked_run_has_no_lease_for_its_last_holder(store: Store, lease: Lease) -> None:
    """A call with the lease of before is refused, and the run stays as it is."""
    asked = await usecases.ask(store, lease, question())
    assert await park(store, lease, asked)
    assert await status(store, lease) is runs.Status.PARKED
    with pytest.raises(LeaseLost):
        await usecases.note_progress(store, lease, "drafter", "one more word")
    with pytest.raises(LeaseLost):
        await usecases.note_delivery(store, lease, asked.id)
    with pytest.raises(LeaseLost):
        await usecases.begin(store, lease)
    assert (await usecases.begin(store, later(lease))).status is runs.Status.WAITING


async def test_decision_during_parking_keeps_the_run_in_memory(store: Store, lease: Lease) -> None:
    """R5: the step that parks finds it, however late it came."""
    asked = await usecases.ask(store, lease, question())
    queue = Noting()

    class Barging(Store):
        async def commit(self, change: Change) -> Committed:
            if parks(change):
                await usecases.decide(store, queue, asked.id, attempt(asked))
            return await super().commit(change)

    assert not await park(Barging(store.client, store.keys.prefix[1:-2]), lease, asked)
    assert await status(store, lease) is runs.Status.WAITING
    assert queue.asked == []
    assert await undelivered(store) == [asked.id]
    assert (await usecases.note_delivery(store, lease, asked.id)).status is runs.Status.RUNNING
    assert await undelivered(store) == []


async def test_undeciding_vote_does_not_prevent_parking(store: Store, lease: Lease) -> None:
    """The vote is stored while the run parks, and quorum is not reached."""
    await store.set_defaults(rules(quorum=2))
    asked = await usecases.ask(store, lease, question())
    votes: list[Request] = []

    class Barging(Store):
        async def commit(self, change: Change) -> Committed:
            if parks(change) and not votes:
                votes.append(await usecases.decide(store, NoQueue(), asked.id, attempt(asked)))
            return await super().commit(change)

    assert await park(Barging(store.client, store.keys.prefix[1:-2]), lease, asked)
    assert len(votes) == 1


async def test_run_without_an_open_question_is_not_parked(store: Store, lease: Lease) -> None:
    """R5: nor is a run that has an undelivered answer."""
    assert not await park(store, lease)
    first = await usecases.ask(store, lease, question())
    second = await usecases.ask(store, lease, question(asked=1))
    await usecases.decide(store, NoQueue(), first.id, attempt(first))
    assert not await park(store, lease, first, second)


async def test_unclaimed_old_decision_does_not_prevent_parking(store: Store, lease: Lease) -> None:
    """The code changed: the run asks how to go on, and an answer of before has nobody who waits for it yet."""
    old, new = [await usecases.ask(store, lease, question(asked=n)) for n in range(2)]
    await usecases.decide(store, NoQueue(), old.id, attempt(old))
    assert await park(store, lease, new)
    assert await undelivered(store) == []
    seen = await store.run(lease.run)
    assert seen is not None
    assert await usecases.rests(store, seen.value)
    again = later(lease)
    await usecases.begin(store, again)
    assert (await usecases.ask(store, again, question(asked=0))).status is Status.APPROVED


async def test_decision_signals_the_parked_run(store: Store, lease: Lease) -> None:
    """R5; and R8: the same click again asks again, because the first may have died before it could."""
    queue = Noting()
    asked = [await usecases.ask(store, lease, question(asked=n)) for n in range(2)]
    await park(store, lease, *asked)
    await usecases.decide(store, queue, asked[0].id, attempt(asked[0], verb=Verb.REJECT))
    await usecases.decide(store, queue, asked[0].id, attempt(asked[0], verb=Verb.REJECT))
    await usecases.decide(store, queue, asked[1].id, attempt(asked[1], CAROL))
    assert queue.asked == [(lease.run, asked[0].id)] * 2 + [(lease.run, asked[1].id)]


async def test_decision_of_a_run_in_memory_signals_nothing(store: Store, lease: Lease) -> None:
    asked, queue = await usecases.ask(store, lease, question()), Noting()
    await usecases.decide(store, queue, asked.id, attempt(asked))
    assert queue.asked == []


async def test_decision_counts_although_the_queue_is_away(store: Store, lease: Lease) -> None:
    """R5: what was decided and not delivered is found."""
    asked = await usecases.ask(store, lease, question())
    await park(store, lease, asked)
    assert (await usecases.decide(store, Broken(), asked.id, attempt(asked))).status is Status.APPROVED
    assert await undelivered(store) == [asked.id]
    assert await store.indexes.undelivered(10, timedelta(seconds=30)) == []


async def test_start_counts_although_the_queue_is_away(store: Store) -> None:
    """R5: nobody is told to try again, or the task would be done twice; the run that no worker holds is found."""
    run = await start_run(store, "rlost", queue=Broken())
    assert run.status is runs.Status.QUEUED
    assert run.id in await Unheld(store).since(NOW)


async def test_deadline_brings_a_parked_run_back(store: Store, lease: Lease, wakeups: Wakeups) -> None:
    """R5, R20."""
    await store.set_defaults(rules(timeout=timedelta(milliseconds=50)))
    asked, queue = await usecases.ask(store, lease, question()), Noting()
    await park(store, lease, asked)
    keeper = asyncio.create_task(deadlines.keep(store, queue, wakeups))
    assert (await wakeups.settled(asked.id)).status is Status.EXPIRED
    async with asyncio.timeout(PATIENCE):
        while not queue.asked:  # noqa: ASYNC110 -- a fact of another task
            await asyncio.sleep(0.005)
    assert queue.asked == [(lease.run, asked.id)]
    keeper.cancel()


async def test_awakened_run_waits_for_its_open_questions(store: Store, lease: Lease) -> None:
    """It may be parked again when the first answer is delivered."""
    asked = [await usecases.ask(store, lease, question(asked=n)) for n in range(2)]
    await park(store, lease, *asked)
    seen = await store.run(lease.run)
    assert seen is not None
    assert await usecases.rests(store, seen.value)
    await usecases.decide(store, NoQueue(), asked[0].id, attempt(asked[0]))
    assert not await usecases.rests(store, seen.value)
    again = later(lease)
    assert (await usecases.begin(store, again)).status is runs.Status.WAITING
    assert (await usecases.note_delivery(store, again, asked[0].id)).status is runs.Status.WAITING
    assert await park(store, again, asked[1])


@pytest.mark.parametrize("parked", [True, False])
async def test_run_that_ended_during_the_claim_is_not_begun(store: Store, lease: Lease, parked: bool) -> None:
    """R5: what a worker read before it had the lease is no reason to go on."""
    asked = await usecases.ask(store, lease, question())
    assert not parked or await park(store, lease, asked)
    other = later(lease)
    await usecases.begin(store, other)
    await usecases.finish(store, other, Finish(runs.Verb.FINISH, "Done."))
    with pytest.raises(LeaseLost):
        await usecases.begin(store, replace(other, fence=other.fence + 1))


async def test_parked_runs_are_listed_for_people_only(store: Store, lease: Lease) -> None:
    """R22: what is looked at now and then does not grow with the runs that are parked."""
    other = await new_run(store, "rother")
    await park(store, lease, await usecases.ask(store, lease, question()))
    assert {run.id for run in await store.indexes.active_runs(10)} == {lease.run, other.run}
    assert await Unheld(store).since(NOW) == [other.run]
    assert await Unheld(store).since(timedelta(minutes=1)) == []
    await usecases.begin(store, later(lease))
    assert set(await Unheld(store).since(NOW)) == {lease.run, other.run}


async def test_run_that_a_worker_announces_counts_as_held(store: Store, lease: Lease) -> None:
    """R5: it is asked for once nobody has announced it for the whole time, by the clock of the store."""
    worker, unheld = WorkerId("worker"), Unheld(store)
    holding = Announcement((TeamInfo("email", "writes a mail"),), (lease.run,))
    assert await unheld.since(NOW) == [lease.run]
    await store.workers.announce(worker, holding, timedelta(hours=1))
    assert await unheld.since(NOW) == []
    await store.workers.retire(worker)
    assert await unheld.since(timedelta(milliseconds=1)) == []  # it was seen without a worker just now
    assert await unheld.since(NOW) == [lease.run]
    queue = Noting()
    await requeued_runs.ask_again(store, queue, unheld, NOW)
    assert queue.asked == [(lease.run, None)]


@pytest.mark.parametrize("how", ["stopped", "finished", "asked again"])
async def test_decision_of_an_ended_wait_is_not_redelivered(store: Store, lease: Lease, how: str) -> None:
    """R5: the run has ended, or asked something else."""
    asked = await usecases.ask(store, lease, question())
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB))
    if how == "stopped":
        await usecases.stop(store, lease.run, attempt(asked, ALICE).actor, frozenset())
    elif how == "finished":
        await usecases.finish(store, lease, Finish(runs.Verb.FINISH, "Done."))
    else:
        await usecases.ask(store, lease, question("other words"))
    assert await undelivered(store) == []
