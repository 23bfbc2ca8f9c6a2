"""The order in which everything reaches a rebuilt team: recorded facts, and no clock."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from datetime import timedelta

import pytest

from countersign.runs.entries import Entry
from countersign.runs.replay_order import Order, OrderedEvent, PendingCalls
from countersign.runs.rest_detection import Activity

KEYS = {name: f"model/{name}/{'0' * 32}/0" for name in "abcd"}


def order_of(*entries: tuple[str, Entry]) -> Order:
    return Order({KEYS[name]: entry for name, entry in entries}, Activity())


def placed(place: int, *turns: str, after: int = 0, asked: str = "") -> Entry:
    return Entry("done", place=place, turns=turns, after=after, asked=tuple(KEYS[a] for a in asked))


class Passing:
    """What has passed, in order."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.passed: list[str] = []
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, name: str) -> asyncio.Task[None]:
        """The result under this key."""
        event = self.order.event_of(KEYS[name]) or self.order.append(KEYS[name])
        self.order.begin_wait(KEYS[name])
        return self._begin(name, lambda: self.order.await_turn(event))

    def ended(self, agent: str) -> asyncio.Task[None]:
        """A turn of this agent."""
        return self._begin(agent, lambda: self.order.end_turn(agent))

    def _begin(self, name: str, wait: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        async def passing() -> None:
            await wait()
            self.passed.append(name)

        self.tasks.append(asyncio.create_task(passing()))
        return self.tasks[-1]

    async def so_far(self) -> list[str]:
        """What has passed when nothing moves any more."""
        for _ in range(20):
            await asyncio.sleep(0)
        return self.passed


async def test_results_pass_in_recorded_order_before_new_ones() -> None:
    """R4: whatever order they come in."""
    passing = Passing(order_of(("a", placed(1)), ("b", placed(2)), ("c", placed(3))))
    for name in "dcba":
        passing.come(name)
    assert await passing.so_far() == ["a", "b", "c", "d"]


async def test_results_and_turns_wait_for_each_others_recorded_order() -> None:
    """R4: local work beside a model took its time, and takes it again, however long that is."""
    passing = Passing(order_of(("a", placed(1, "thinker")), ("b", placed(2, "writer", "legal", after=1))))
    for begin in (passing.come("a"), passing.come("b"), passing.ended("legal"), passing.ended("writer")):
        assert not begin.done()
    assert await passing.so_far() == []
    passing.ended("thinker")
    assert await passing.so_far() == ["thinker", "a", "writer", "legal", "b"]
    assert not passing.order.replaying


async def test_result_waits_until_its_recorded_questions_are_asked() -> None:
    """R4: what an agent does before it asks may be seen by the others."""
    passing = Passing(order_of(("a", placed(1, asked="bd")), ("b", placed(2))))
    passing.come("a")
    passing.order.begin_wait(KEYS["d"])
    assert await passing.so_far() == []
    passing.come("b")
    assert await passing.so_far() == ["a", "b"]


async def test_new_work_begins_after_all_recorded_results() -> None:
    """R4: the order of what is new comes after it; and a turn that nothing recorded is new."""
    passing = Passing(order_of(("a", placed(1)), ("b", placed(2))))
    passing.ended("writer")
    passing.come("b")
    begun = asyncio.create_task(passing.order.wait_until(lambda: not passing.order.replaying))
    assert await passing.so_far() == []
    assert not begun.done()
    passing.come("a")
    assert await passing.so_far() == ["a", "b", "writer"]
    await begun


async def test_entry_holds_turns_and_questions_since_the_last() -> None:
    """R4: what must have happened before its result may pass again."""
    order = order_of()
    order.begin_wait(KEYS["b"])
    with order.turn("legal"), order.turn("writer"), order.turn("writer/inner"):
        await order.end_turn("writer/inner")
        assert order.has_unrecorded_turns, "in another process the branches might go the other way"
    first = order.append(KEYS["a"])
    again = order.append(KEYS["c"])
    assert (first.after, first.turns, sorted(first.asked)) == (0, ("writer/inner",), [KEYS["b"]])
    assert (again.after, again.turns) == (0, ("writer/inner",)), (
        "the first may not be recorded when this process is lost"
    )
    order.mark_persisted(first)
    await order.await_turn(first)
    third = order.append(KEYS["d"])
    assert (third.after, third.turns, sorted(third.asked)) == (1, (), [])
    assert not any((order.has_unrecorded_turns,))


async def test_turn_of_an_abandoned_agent_keeps_no_place() -> None:
    """R4: nothing passed after the turn of an inner agent whose call was left meanwhile."""
    passing = Passing(order_of())
    first = passing.order.append(KEYS["a"])
    turn = passing.ended("inner")
    assert await passing.so_far() == []
    turn.cancel()
    passing.come("b")
    assert await passing.so_far() == []
    passing.order.remove(first)
    assert await passing.so_far() == ["b"]


async def test_nested_turn_is_not_a_branch() -> None:
    order = order_of()
    with order.turn("society"), order.turn("society/writer"):
        await order.end_turn("society/writer")
    assert not order.has_unrecorded_turns


async def test_turns_after_leaving_are_recorded_nowhere() -> None:
    """R4: an agent whose call was cut off speaks once more; the result of that call, which is real, comes later."""
    order = order_of()
    order.close()
    order.begin_wait(KEYS["b"])
    with pytest.raises(asyncio.CancelledError):
        await order.end_turn("clerk")
    event = order.append(KEYS["a"])
    assert (event.turns, event.asked) == ((), frozenset())


@pytest.mark.parametrize("missing", ["turn", "result", "question"])
async def test_missing_recorded_step_is_reported_and_blocks(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    """R4: never a silent guess; what is set aside holds up nobody."""
    monkeypatch.setattr("countersign.runs.replay_order.LAST_RESORT", timedelta(milliseconds=5))
    recorded = {
        "turn": (("b", placed(2, "clerk")),),
        "result": (("a", placed(1)), ("b", placed(2))),
        "question": (("b", placed(2, asked="c")),),
    }[missing]
    order, told = order_of(*recorded), asyncio.Queue[str]()
    order.stuck = told.put_nowait
    passing = Passing(order)
    task = passing.come("b")
    name = await told.get()
    assert name == {"turn": "clerk", "result": KEYS["a"], "question": KEYS["c"]}[missing]
    assert not task.done()
    order.set_aside(*order.missing_from({name}))
    await task


async def test_waits_are_cancelled_when_the_run_leaves() -> None:
    passing = Passing(order_of(("a", placed(1)), ("b", placed(2))))
    task = passing.come("b")
    await passing.so_far()
    passing.order.close()
    await asyncio.wait({task})
    assert task.cancelled()


async def in_which_order(
    order: Order, during: Callable[[str], AbstractContextManager[object]], *names: str
) -> list[str]:
    """Which of two effects at once reaches the others first, if the first one takes more rounds inside AutoGen."""
    passed = list[str]()

    async def act(name: str, event: OrderedEvent, rounds: int) -> None:
        with during(name):
            await asyncio.sleep(0)  # both have begun
            await order.await_turn(event)
            for _ in range(rounds):
                await asyncio.sleep(0)
            passed.append(name)

    events = [order.append(KEYS["a"]), order.append(KEYS["b"])]
    await asyncio.gather(*map(act, names, events, (50, 1)))
    return passed


async def test_branches_settle_before_the_next_replayed_event() -> None:
    """What the first sets off inside AutoGen has reached the others before the second comes."""
    order = order_of()
    assert await in_which_order(order, order.turn, "legal", "finance") == ["legal", "finance"]


async def test_simultaneous_calls_settle_before_the_next_replayed_event() -> None:
    """R4: a denial goes through more tasks than a result, which overtook it where the run was rebuilt."""
    order = order_of()
    pending = PendingCalls(order.notify)
    order.several_calls = pending.several
    passed = await in_which_order(order, lambda _: pending.calling("collector"), "denied", "done")
    assert passed == ["denied", "done"]
