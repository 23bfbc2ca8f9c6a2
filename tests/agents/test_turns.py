"""The order in which results are handed on."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from agents.turns import QUIET_FOR, Turns
from tests.patience import PATIENCE


async def hand_on(turns: Turns, place: int, order: list[int]) -> None:
    with turns.at(place, alone=False):
        await turns.come(place)
        order.append(place)


async def test_results_come_in_their_order_and_new_ones_after_them() -> None:
    turns, order = Turns([1, 2, 3]), list[int]()
    new = turns.new()
    await asyncio.gather(*(hand_on(turns, place, order) for place in (new, 3, 2, 1)))
    assert order == [1, 2, 3, 4]


@pytest.mark.parametrize("busy", [False, True])
async def test_the_next_result_waits_until_what_the_last_one_sets_off_has_come_to_rest(busy: bool) -> None:
    """Also where other runs keep the process busy all the time."""
    turns, order = Turns([1, 2]), list[str]()

    async def said_at_length() -> None:
        await asyncio.sleep(0)
        with turns.at(1, alone=False):
            await turns.come(1)
        for _ in range(100):
            await asyncio.sleep(0)
        order.append("the first has reached the conversation")

    async def second() -> None:
        with turns.at(2, alone=False):
            await turns.come(2)
            order.append("the second is handed on")

    def others() -> None:
        if busy and len(order) < 2:
            asyncio.get_running_loop().call_soon(others)

    others()
    await asyncio.gather(second(), said_at_length())
    assert order == ["the first has reached the conversation", "the second is handed on"]


async def test_a_quiet_process_does_not_wait_longer_than_it_must() -> None:
    turns, rounds = Turns(range(1, 21)), 0

    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    select = selector.select

    def counted(timeout: float | None) -> Any:
        nonlocal rounds
        rounds += 1
        return select(timeout)

    selector.select = counted
    try:
        await asyncio.gather(*(hand_on(turns, place, []) for place in range(20, 0, -1)))
    finally:
        selector.select = select
    assert rounds < 20 * 2 * QUIET_FOR


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


async def test_one_that_is_late_because_the_store_is_slow_keeps_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise what an agent is asked next would begin with another conversation than before."""
    monkeypatch.setattr("agents.turns.MISSING_AFTER", timedelta(milliseconds=5))
    found, order = asyncio.Event(), list[int]()

    def waits() -> bool:
        found.set()
        return True

    async def late(place: int) -> None:
        async with asyncio.timeout(PATIENCE):
            await found.wait()
        await hand_on(turns, place, order)

    turns = Turns([1, 2, 3], waits)
    await asyncio.gather(hand_on(turns, 3, order), hand_on(turns, 2, order), late(1))
    assert order == [1, 2, 3]
