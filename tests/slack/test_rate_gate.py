"""The gate before a method: the important first, within Slack's rates, and closed for everybody by a 429."""

import asyncio
from itertools import pairwise

import pytest

from bot.slack.ports import Importance
from bot.slack.rate_gate import MARGIN, Meter, Rate, RateGate
from tests.idle_clock import on_idle_clock


async def test_important_calls_go_first_and_find_room() -> None:
    """R35: notes fill three fifths of what a channel takes; a card that comes then goes at once."""
    gate, order = RateGate(Rate(1000, 60), Rate(5, 5), 100, 1), []

    async def call(name: str, importance: Importance) -> None:
        async with gate.turn("C0GENERAL", importance, None):
            order.append(name)
            await asyncio.sleep(0)

    notes = [asyncio.create_task(call("note", Importance.REST)) for _ in range(6)]
    await asyncio.sleep(0)
    others = [call("outcome", Importance.OUTCOME), call("settled", Importance.SETTLED), call("card", Importance.CARD)]
    await asyncio.gather(*notes, *others)
    assert order[:6] == ["note", "card", "settled", "outcome", "note", "note"] or order.index("card") < 4
    assert order.index("card") < order.index("settled") < order.index("outcome") < len(order) - 3


def test_calls_keep_slacks_rate_and_channels_stay_independent() -> None:
    """R35"""
    gate = RateGate(Rate(1000, 60), Rate(5, 5), 50, 1)
    at: dict[str, list[float]] = {"C0GENERAL": [], "C0APPROVALS": []}

    async def call(channel: str) -> None:
        async with gate.turn(channel, Importance.CARD, None):
            at[channel].append(asyncio.get_running_loop().time())

    async def calls() -> None:
        await asyncio.gather(*(call("C0GENERAL") for _ in range(15)), *(call("C0APPROVALS") for _ in range(5)))

    on_idle_clock(calls())
    assert max(at["C0APPROVALS"]) < at["C0GENERAL"][5]
    assert all(later - first >= 0.1 for first, later in zip(at["C0GENERAL"], at["C0GENERAL"][5:], strict=False))


def test_last_calls_of_a_rate_are_spread_out() -> None:
    """R35: three of five go at once; the others do not leave the next one waiting until the first is forgotten."""
    meter, sent = Meter(Rate(5, 5 / MARGIN), 1), [0.0]
    for _ in range(7):
        sent.append(sent[-1] + meter.left(Importance.CARD, sent[-1]))
        meter.take(sent[-1])
    assert sent[1:4] == [0, 0, 0]
    assert sent[4:6] == pytest.approx([5 / 3, 10 / 3])
    assert sent[6] == 5 < sent[7] < 6
    assert Meter(Rate(50, 60), 1).left(Importance.REST, 0) == 0


def test_reopened_method_lets_waiting_calls_in_singly() -> None:
    """R35: whoever waits is not let in at once."""
    gate, at = RateGate(Rate(1000, 60), None, 100, 5), list[float]()

    async def call() -> None:
        async with gate.turn("", Importance.REST, None):
            at.append(asyncio.get_running_loop().time())
            await asyncio.sleep(0.01)
            gate.opened("")

    async def calls() -> None:
        gate.closed("", 0.2)
        assert not gate.is_open("", Importance.CARD)
        await asyncio.gather(*(call() for _ in range(5)))
        assert gate.is_open("", Importance.REST)

    on_idle_clock(calls())
    assert at[0] >= 0.2
    assert all(later - before >= 0.01 for before, later in pairwise(at))


async def test_long_closed_channel_closes_the_whole_method() -> None:
    """R35: no channel has to wait so long, so the workspace had too many; a second refusal says the same."""
    gate = RateGate(Rate(1000, 60), Rate(5, 5), 1, 1)
    gate.closed("C0GENERAL", 3)
    assert not gate.is_open("C0GENERAL", Importance.CARD) and gate.is_open("C0APPROVALS", Importance.CARD)
    gate.closed("C0RANDOM", 3)
    assert not gate.is_open("C0APPROVALS", Importance.CARD)
    other = RateGate(Rate(1000, 60), Rate(5, 5), 1, 1)
    other.closed("C0GENERAL", 30)
    assert not other.is_open("C0APPROVALS", Importance.CARD)


async def test_turn_without_a_call_costs_no_rate() -> None:
    """R35: whoever had to read anew left its place in the rate to the next."""
    gate = RateGate(Rate(1000, 60), Rate(1, 3600), 1, 1)
    async with gate.turn("C0GENERAL", Importance.CARD, None) as turn:
        turn.used = False
    assert gate.is_open("C0GENERAL", Importance.CARD)
    async with gate.turn("C0GENERAL", Importance.CARD, None):
        pass
    assert not gate.is_open("C0GENERAL", Importance.CARD)
