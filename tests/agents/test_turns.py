"""The order in which results are handed on."""

import asyncio
from datetime import timedelta

import pytest

from agents.turns import Turns


async def hand_on(turns: Turns, place: int, order: list[int]) -> None:
    with turns.at(place, alone=False):
        await turns.come(place)
        order.append(place)


async def test_results_come_in_their_order_and_new_ones_after_them() -> None:
    turns, order = Turns([1, 2, 3]), list[int]()
    new = turns.new()
    await asyncio.gather(*(hand_on(turns, place, order) for place in (new, 3, 2, 1)))
    assert order == [1, 2, 3, 4]


async def test_one_that_is_no_longer_waited_for_holds_up_nobody() -> None:
    turns, order = Turns([1, 2, 3]), list[int]()
    second = asyncio.create_task(hand_on(turns, 2, order))
    third = asyncio.create_task(hand_on(turns, 3, order))
    await asyncio.sleep(0)
    second.cancel()
    await hand_on(turns, 1, order)
    await third
    assert order == [1, 3]


async def test_one_that_nobody_asks_for_any_more_holds_up_the_others_for_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The code has changed; what to do about it is for others to say."""
    monkeypatch.setattr("agents.turns.MISSING_AFTER", timedelta(milliseconds=20))
    turns, order = Turns([1, 2, 5, 7]), list[int]()
    await asyncio.gather(*(hand_on(turns, place, order) for place in (7, 2, 5)))
    assert order == [2, 5, 7]
