"""A deadline of the team's own, in a run that is rebuilt: it waits for the answers that had come in time."""

import asyncio

import pytest

from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.runs.run_journal import RunJournal
from tests.autogen.harness import House
from tests.autogen.test_journal import claimed, journal_of

pytest_plugins = ["tests.redis_server"]

ANSWER, BESIDE, ABANDONED = "human/asker/0a/0", "model/writer/0b/0", "human/asker/0c/0"
BEGUN, CLOCK, INSIDE = "tool/asker/0d/0", "now//0e/0", "gate/asker/0f/0"


async def rebuilt(house: House, *keys: str) -> RunJournal:
    """The journal of a run that had these, in this order, in the process before."""
    await house.start()
    lease = await claimed(house)
    for place, key in enumerate(keys, 1):
        entry = Entry("done", place=place, left=key == ABANDONED, asked=(ANSWER,) if key == BESIDE else ())
        await RedisJournal(house.area).record(lease, key, entry.dump())
    return await journal_of(house, lease)


async def answer(journal: RunJournal) -> str:
    """What an agent asks, as people had answered it."""
    journal.begin_wait(ANSWER)
    await journal.record_answer(ANSWER, lambda: asyncio.sleep(0))
    return "answered"


async def within(journal: RunJournal, rung: asyncio.Event) -> str:
    """The answer, or that a deadline passed which begins to run when `rung` is set."""
    try:
        async with asyncio.timeout(None) as deadline:
            ringing = asyncio.create_task(rung.wait())
            ringing.add_done_callback(lambda _: deadline.reschedule(0))
            return await journal.shielded("asker", answer(journal))
    except TimeoutError:
        return "too late"


async def rounds() -> None:
    """Long enough for everything that goes on by itself."""
    for _ in range(500):
        await asyncio.sleep(0)


@pytest.mark.parametrize("name", ["asker", ANSWER])
async def test_recorded_answer_returns_before_a_later_cancellation(house: House, name: str) -> None:
    """R4: no clock decides; and what the agent waits for next is cancelled instead."""
    journal = await rebuilt(house, BESIDE, ANSWER)
    asking = asyncio.create_task(journal.shielded(name, answer(journal)))
    await rounds()
    asking.cancel()
    await rounds()
    assert not asking.done()
    await journal.replayed(BESIDE)
    assert await asking == "answered"
    assert asking.cancelling() == 1


async def test_timeout_after_a_recorded_answer_does_not_fire(house: House) -> None:
    """R4: the answer had come in time in the first life of the run."""
    journal, rung = await rebuilt(house, BESIDE, ANSWER), asyncio.Event()
    asking = asyncio.create_task(within(journal, rung))
    rung.set()
    await rounds()
    await journal.replayed(BESIDE)
    assert await asking == "answered"


async def test_unrecorded_work_is_cancelled_after_the_recorded(house: House) -> None:
    """R4: what is new is left after all that is recorded, as everything new."""
    journal = await rebuilt(house, BESIDE)
    asking = asyncio.create_task(journal.shielded(ANSWER, asyncio.sleep(3600, "answered")))
    await rounds()
    asking.cancel()
    await rounds()
    assert not asking.done()
    journal.begin_wait(ANSWER)
    await journal.replayed(BESIDE)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_wait_after_recorded_work_receives_the_cancellation(house: House) -> None:
    """A call that people had approved, and whose effect is new."""
    journal = await rebuilt(house, BESIDE, ANSWER)
    reached = asyncio.Event()

    async def call() -> str:
        await answer(journal)
        reached.set()
        return await asyncio.sleep(3600, "done")

    asking = asyncio.create_task(journal.shielded("asker", call()))
    await rounds()
    asking.cancel()
    await rounds()
    await journal.replayed(BESIDE)
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert reached.is_set()


async def test_deadline_waits_for_a_call_that_had_begun(house: House) -> None:
    """R4: the call was under way when the process was lost, so no event says that it was asked for."""
    await house.start()
    lease = await claimed(house)
    await RedisJournal(house.area).record(lease, BEGUN, Entry("started", attempt="1").dump())
    journal, judged = await journal_of(house, lease), asyncio.Event()

    async def call() -> str:
        await judged.wait()
        await journal.replayed(BEGUN)
        return await asyncio.sleep(3600, "done")

    asking = asyncio.create_task(journal.shielded("asker", call()))
    await rounds()
    asking.cancel()
    await rounds()
    assert not asking.done()
    judged.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert journal.order.unused() == []


async def test_abandoned_call_is_begun_before_it_is_abandoned(house: House) -> None:
    """R4: the deadline passes while the agent waits for something before it."""
    journal = await rebuilt(house, ABANDONED)
    before = asyncio.Event()

    async def call() -> None:
        await before.wait()
        await journal.wait_if_abandoned(ABANDONED)

    asking = asyncio.create_task(journal.shielded("asker", call()))
    await rounds()
    asking.cancel()
    await rounds()
    assert not asking.done()
    before.set()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert journal.order.wait(ABANDONED).passed


async def test_abandoned_event_names_no_key_inside_its_call(house: House) -> None:
    """R4: the next process leaves the call before its key, so the event would wait for that key for ever."""
    await house.start()
    lease = await claimed(house)
    left = Entry("started", place=1, left=True, asked=(BESIDE,))
    await RedisJournal(house.area).record(lease, (await journal_of(house, lease)).key("call", "asker"), left.dump())
    journal = await journal_of(house, lease)
    calling = asyncio.create_task(journal.call("asker", journal.replayed(INSIDE)))
    await rounds()
    assert await journal.replayed(BESIDE) is None
    journal.abandon(BESIDE)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await journal.late_writes.written()
    assert (entry := journal.lookup(BESIDE)) is not None
    assert (entry.place, entry.left, entry.asked) == (2, True, ())


async def test_question_about_the_run_waits_for_nothing_recorded(house: House) -> None:
    """The clock's key has no agent, and was taken for what such a question waits for."""
    journal = await rebuilt(house, CLOCK)
    asking = asyncio.create_task(journal.shielded("", asyncio.sleep(3600)))
    await rounds()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_abandoned_wait_is_abandoned_again(house: House) -> None:
    journal = await rebuilt(house, ABANDONED, ANSWER)
    asking = asyncio.create_task(journal.shielded(ABANDONED, journal.wait_if_abandoned(ABANDONED)))
    await rounds()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert await answer(journal) == "answered"


async def test_leaving_run_waits_for_nothing(house: House) -> None:
    journal = await rebuilt(house, BESIDE, ANSWER)
    asking = asyncio.create_task(journal.shielded("asker", answer(journal)))
    await rounds()
    asking.cancel()
    await rounds()
    journal.is_leaving = lambda: True
    journal.order.close()
    with pytest.raises(asyncio.CancelledError):
        await asking
