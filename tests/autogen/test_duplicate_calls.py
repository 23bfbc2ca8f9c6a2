"""Identical actions of one run, in the order in which they first went."""

import asyncio
from datetime import timedelta

import pytest

from countersign.frameworks.autogen.tools.duplicate_calls import EqualActions
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.runs.run_journal import RunJournal
from tests.autogen.harness import House
from tests.autogen.test_journal import claimed, journal_of
from tests.longest_wait import PATIENCE

pytest_plugins = ["tests.redis_server"]
BEFORE = {4: "gate/b/0/0", 2: "gate/a/0/0"}


async def noted(house: House) -> RunJournal:
    await house.start()
    lease = await claimed(house)
    for key in BEFORE.values():
        await RedisJournal(house.area).record(lease, key, Entry("done").dump())
    return await journal_of(house, lease)


async def go(equal: EqualActions, number: int | None, went: list[int | None]) -> None:
    async with equal.turn(number, f"gate/{number}/0/0"):
        went.append(number)
        await asyncio.sleep(0)


async def test_rebuilt_run_repeats_identical_actions_in_their_first_order(house: House) -> None:
    """R4: the one whose result is recorded does not wait for one that waits for it."""
    equal, went = EqualActions(BEFORE, await noted(house)), list[int | None]()
    await asyncio.wait_for(asyncio.gather(*(go(equal, number, went) for number in (None, 4, 2, None))), PATIENCE)
    assert went == [2, 4, None, None]


async def test_missing_identical_action_blocks_others_until_people_continue(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: the code has changed; that is for people to say, and no clock says it for them."""
    monkeypatch.setattr("countersign.runs.replay_order.LAST_RESORT", timedelta(milliseconds=20))
    journal, missed = await noted(house), asyncio.Queue[str]()
    journal.order.stuck = missed.put_nowait
    equal, went = EqualActions(BEFORE, journal), list[int | None]()
    going = asyncio.gather(*(go(equal, number, went) for number in (None, 4)))
    missing = await missed.get()
    assert (missing, went) == (BEFORE[2], [])
    journal.order.set_aside([missing], [])
    await asyncio.wait_for(going, PATIENCE)
    assert went == [4, None]
