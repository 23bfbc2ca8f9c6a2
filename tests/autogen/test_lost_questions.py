"""What Redis lost of a question, its run finds out: it is given up, rebuilt, and asks again."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from countersign.domain.ids import RunId
from countersign.domain.requests import Request, Verb
from countersign.domain.runs import Status
from countersign.metrics import Repair
from countersign.store.record_codecs import RUNS
from countersign.usecases.requeued_runs import ask_for_forgotten
from tests.autogen.harness import House, Silent, fact
from tests.autogen.test_parked_runs import parked
from tests.metric_counts import repaired


async def lose(house: House, request: Request) -> None:
    """As a Redis does that comes back without the last second."""
    keys = house.store.keys
    await house.store.client.delete(keys.request(request.id))


@pytest.mark.parametrize("indexed", [False, True], ids=["gone", "gone but for its index"])
@pytest.mark.parametrize("at_rest", [False, True], ids=["in memory", "parked"])
async def test_run_with_a_lost_question_asks_again(
    at_rest: bool, indexed: bool, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R5: nobody could decide on it, and it would wait until the end of days."""
    monkeypatch.setattr("countersign.runs.decision_stream.READ_BACK", 0.05)
    monkeypatch.setattr("bot.api.worker_calls.HEARTBEAT", 0.05)
    house.park_after = timedelta(0) if at_rest else timedelta(hours=1)
    await house.start()
    async with house.worker() as worker:
        first = worker.advance()
        asked = await house.asked()
        if at_rest:
            await first
            assert await parked(house)
        web = Silent()
        with repaired(Repair.QUESTION_LOST, 1):
            await lose(house, asked)
            if not indexed:
                await house.store.client.zrem(house.store.keys.pending, asked.id)
            if at_rest:
                await ask_for_forgotten(house.store, web)
            await asyncio.wait_for(first, 60)
        assert [*web.asked, *worker.queue.asked] == [asked.run]
        second = worker.advance()

        async def again() -> Request | None:
            seen = await house.store.request(asked.id)
            return seen.value if seen else None

        found = await fact(again)
        assert found.question == asked.question
        await house.decide(found, Verb.APPROVE)
        if at_rest:
            await second
            worker.advance()
        assert (await house.over()).status is Status.FINISHED
    assert len(house.mails()) == 1


async def test_each_repair_examines_one_page_of_parked_runs(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many runs are parked, no repair takes longer, and each of them has its turn."""
    monkeypatch.setattr("countersign.store.indexes._AT_ONCE", 2)
    house.park_after = timedelta(0)
    await house.start()
    async with house.worker() as worker:
        await worker.advance()
        asked = await house.asked()
        seen = await house.store.run(asked.run)
        assert seen is not None
        score = await house.store.client.zscore(house.store.keys.parked, asked.run)
        # Runs that parked before it, three of them at the same moment; nothing is wrong with them.
        for n in range(6):
            earlier = replace(seen.value, id=RunId(f"rearlier{n}"), open={})
            await house.store.client.set(house.store.keys.run(earlier.id), RUNS.write(earlier, 1))
            await house.store.client.zadd(house.store.keys.parked, {earlier.id: score - max(n, 3)})
        await lose(house, asked)
    web, pages, page = Silent(), 0, 0
    with repaired(Repair.QUESTION_LOST, 1):
        while not web.asked:
            page = await ask_for_forgotten(house.store, web, page)
            pages += 1
            assert page or web.asked, "it is not found"
    assert pages > 2
    assert web.asked == [asked.run]
