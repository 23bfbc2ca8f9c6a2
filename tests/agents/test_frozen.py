"""A worker that sleeps longer than its lease, as a real process: SIGSTOP, SIGCONT."""

import signal
from datetime import timedelta

from bot.core.requests import Verb
from bot.core.runs import Status
from bot.store.queue import Queue
from tests.agents.house import House, Process, fact


async def test_a_worker_that_slept_longer_than_its_lease_changes_nothing_when_it_wakes_up(house: House) -> None:
    """R4, R5: another one goes on meanwhile; the sleeper lets go, and takes new runs again."""
    await house.start()
    async with Queue(house.url, house.namespace) as queue, Process(house) as sleeper:
        await queue.advance((await house.run()).id)
        asked = await house.asked()
        sleeper.process.send_signal(signal.SIGSTOP)
        async with Process(house) as other:
            await house.decide(asked, Verb.RESPOND, "make it shorter", queue=queue)
            again = await house.asked(not_this=asked)
            sleeper.process.send_signal(signal.SIGCONT)
            await house.decide(again, Verb.APPROVE, queue=queue)
            run = await house.over()
            before = await house.events()
            await other.terminate()
        # The one that slept is well: it sees another run to its end, and has said no more about the first.
        await house.start("r2")
        await queue.advance((await house.run("r2")).id)
        second = await house.asked("r2")
        await house.decide(second, Verb.REJECT, queue=queue)
        await house.over("r2")
    assert run.status is Status.FINISHED
    assert len(house.mails()) == 1
    events = await house.events()
    assert events[: len(before)] == before
    types = [e["type"] for e in before]
    assert (types.count("request_asked"), types.count("decision_delivered"), types.count("run_finished")) == (2, 2, 1)
    said = [e["words"] for e in before if e["type"] == "run_progressed"]
    assert len(said) == len(set(said)) == 2
    assert (await house.run()) == run


async def test_a_run_of_a_worker_told_to_stop_goes_on_long_before_its_lease_would_end(house: House) -> None:
    """SIGTERM: its lease ends at once, and nobody waits for it to run out."""
    house.lease = timedelta(minutes=1)
    await house.start()
    async with Queue(house.url, house.namespace) as queue, Process(house) as first:
        await queue.advance((await house.run()).id)
        asked = await house.asked()
        async with Process(house):
            await fact(lambda: workers(house, 3))  # and the one that the house announces
            assert await first.terminate() == 0
            gone = await house.store.now()
            await house.decide(asked, Verb.APPROVE, queue=queue)
            run = await house.over()
    assert run.ended_at is not None
    assert run.ended_at - gone < house.lease / 4
    assert len(house.mails()) == 1


async def workers(house: House, count: int) -> bool | None:
    return True if await house.store.client.zcard(house.store.keys.workers) == count else None
