"""Identical actions of one run, in the order in which they first went."""

import asyncio
from datetime import timedelta

import pytest

from agents.twins import Twins
from tests.patience import PATIENCE


async def go(twins: Twins, number: int | None, went: list[int | None]) -> None:
    async with twins.turn(number):
        went.append(number)
        await asyncio.sleep(0)


async def test_a_rebuilt_run_lets_them_go_as_they_went_first() -> None:
    """R4: the one whose result is recorded does not wait for one that waits for it."""
    twins, went = Twins([4, 2]), list[int | None]()
    await asyncio.wait_for(asyncio.gather(*(go(twins, number, went) for number in (None, 4, 2, None))), PATIENCE)
    assert went == [2, 4, None, None]


async def test_one_that_does_not_come_any_more_holds_up_the_others_only_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The code has changed, and nobody waits for ever."""
    monkeypatch.setattr("agents.twins.MISSING_AFTER", timedelta(milliseconds=20))
    twins, went = Twins([2, 4]), list[int | None]()
    await asyncio.wait_for(asyncio.gather(*(go(twins, number, went) for number in (None, 4))), PATIENCE)
    assert went == [4, None]
