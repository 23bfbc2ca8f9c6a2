"""A worker that sleeps longer than its lease, as a real process: SIGSTOP, SIGCONT."""

import signal
from contextlib import AsyncExitStack
from datetime import datetime

import pytest

from countersign.domain.requests import Verb
from countersign.domain.runs import Status
from countersign.runs.job_queue import Queue
from countersign.store.codec import from_ms
from tests.autogen.harness import House, Process, fact

pytestmark = pytest.mark.slow


async def test_frozen_worker_changes_nothing_when_it_wakes(house: House) -> None:
    """R4, R5: another one goes on meanwhile; the sleeper lets go, and takes new runs again."""
    await house.start()
    async with Queue(house.url, house.namespace) as queue, Process(house) as sleeper:
        await queue.advance((await house.run()).id)
        asked = await house.asked()
        sleeper.process.send_signal(signal.SIGSTOP)
        await house.lapse()
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


async def test_stopping_worker_hands_its_run_over_immediately(house: House) -> None:
    """R4, SIGTERM: its lease ends at once, and nobody waits for that to run out, for the look after lost jobs or for
    people: each of them would take an hour here.
    """
    await house.start()
    async with Queue(house.url, house.namespace) as queue, AsyncExitStack() as processes:
        holder = await processes.enter_async_context(Process(house))
        await queue.advance((await house.run()).id)
        asked = await house.asked()
        for _ in range(2):
            other = await processes.enter_async_context(Process(house))
            await fact(lambda: workers(house, 3))  # and the one that the house announces
            before = await claimed(house)
            assert await holder.terminate() == 0
            await fact(lambda: claimed(house, after=before))  # noqa: B023
            holder = other
        await house.decide(asked, Verb.APPROVE, queue=queue)
        assert (await house.over()).status is Status.FINISHED
    assert len(house.mails()) == 1


async def claimed(house: House, after: datetime | None = None) -> datetime | None:
    """When somebody claimed the run last: its fence is the server's clock."""
    fence = await house.area.client.hget(house.area.keys.lease((await house.run()).id), "fence")
    at = from_ms(int(fence or 0))
    return None if after is not None and at <= after else at


async def workers(house: House, count: int) -> bool | None:
    return True if await house.store.client.zcard(house.store.keys.workers) == count else None
