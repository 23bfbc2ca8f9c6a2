"""What a team itself no longer waits for is recorded as left, and stays so when its run is rebuilt."""

import asyncio

from countersign.domain.requests import Status
from countersign.store.journal import RedisJournal
from tests.autogen.harness import House, fact
from tests.autogen.test_gated_tools import Shop, call, life

pytest_plugins = ["tests.redis_server"]


async def test_a_question_that_the_team_leaves_is_withdrawn_and_never_answered_again(house: House) -> None:
    """R5, R4: it was approved later, and the rebuilt run carried it out although the first life had gone on."""
    await house.start()
    shop = Shop()
    async with life(house) as run:
        asking = asyncio.create_task(call(run.tools("clerk", [shop.order], ask=True), item="pens"))
        asked = await house.asked()
        asking.cancel()
        await asyncio.wait({asking})

        async def settled() -> Status | None:
            seen = await house.store.request(asked.id)
            assert seen is not None
            return None if seen.value.status is Status.PENDING else seen.value.status

        assert await fact(settled) is Status.WITHDRAWN
        await run._journal.behind.written()
        assert not (await house.run()).open
    async with life(house, owner="w2") as run:
        again = asyncio.create_task(call(run.tools("clerk", [shop.order], ask=True), item="pens"))
        before = await RedisJournal(house.store).entries(run.run.id)
        for _ in range(20):  # whatever it would ask has reached the store by then
            await house.store.now()
        assert not again.done()
        assert not (await house.run()).open
        again.cancel()
        await asyncio.wait({again})
        assert await RedisJournal(house.store).entries(run.run.id) == before
    assert not shop.done
