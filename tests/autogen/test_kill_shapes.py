"""Every shape of team is killed, and told to stop, at every entry of its journal, and nobody can tell afterwards."""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final

import pytest
from redis.asyncio.connection import AbstractConnection

from countersign.frameworks.autogen.code.gated_executor import GatedExecutor
from countersign.frameworks.autogen.models.answer_recorder import JournaledModel
from countersign.frameworks.autogen.people.run_questions import RunQuestions
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.tools.gated_tools import JournaledTools
from countersign.runs.replay_order import Order, OrderedEvent
from countersign.store.redis.scripts import ScriptPipeline
from tests.autogen.harness import House
from tests.autogen.kill_counts import bad_kills
from tests.autogen.kill_shapes import KILL_SHAPES
from tests.autogen.rebuild_shapes import SHAPES
from tests.autogen.rebuild_teams import gated, magentic_one_code
from tests.autogen.test_rebuild import live
from tests.repetitions import longer, times

pytest_plugins = ["tests.redis_server"]

KILLED_TWICE: Final = ("left_early", "left_approved", "nested_human_once", "decided_in_parallel", "team_tool")
STOPPED: Final = ("as_they_come", "memory", "nested_call", "left_approved")
"""Shapes that `make test` stops too; `make test-all` stops every shape."""


@longer
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shape", KILL_SHAPES)
async def test_run_killed_at_any_entry_ends_the_same(house: House, shape: str) -> None:
    """R4: the same transcript, no model, tool or person asked twice, and nobody asked about changed code."""
    every = times(90 if shape == "forty_branches" else 9, 9 if shape == "forty_branches" else 1)
    bad, kills = await bad_kills(house, KILL_SHAPES[shape], every=every)
    assert (bad, kills > 0) == ([], True)


@longer
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "shape", [name if name in STOPPED else pytest.param(name, marks=pytest.mark.slow) for name in KILL_SHAPES]
)
async def test_run_stopped_at_any_entry_ends_the_same(house: House, shape: str) -> None:
    """R4: a worker told to stop lets go of the run, and the next one continues it."""
    every = times(90 if shape == "forty_branches" else 13, 9 if shape == "forty_branches" else 1)
    bad, stops = await bad_kills(house, KILL_SHAPES[shape], stops=True, every=every)
    assert (bad, stops > 0) == ([], True)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("again", [2, 3])
@pytest.mark.parametrize("shape", KILLED_TWICE)
async def test_run_killed_twice_ends_the_same(house: House, shape: str, again: int) -> None:
    """R4: a call left in doubt had no entry, so the third process asked how to go on with changed code."""
    bad, kills = await bad_kills(house, KILL_SHAPES[shape], again=again)
    assert (bad, kills > 0) == ([], True)


_PASSED: Final[ContextVar[list[str] | None]] = ContextVar("passed", default=None)
"""What happened since an agent came in by one of the ways into its run: events that passed, and uses of the store."""
WAYS_IN: Final = (
    (JournaledTools, "call_tool"),
    (JournaledModel, "create"),
    (GatedExecutor, "execute_code_blocks"),
    (RunQuestions, "put"),
    (Run, "now"),
    (Run, "step"),
)


@pytest.mark.parametrize("number", [0, 8, 13])
@pytest.mark.parametrize(
    "build",
    [
        *(KILL_SHAPES[name] for name in ("as_they_come", "decided_in_parallel", "team_tool", "left_call")),
        *(gated, magentic_one_code, SHAPES["refusals"]),
    ],
    ids=lambda build: str(getattr(build, "__name__", build)),
)
async def test_result_is_returned_without_waiting_after_its_turn(
    house: House, build: Callable[..., Any], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: the gate read the store after its verdict had passed, so that later results overtook it."""
    late: list[tuple[Order, str]] = []
    orders: dict[str, Order] = {}
    passes = Order._pass
    sends, calls = AbstractConnection.send_packed_command, ScriptPipeline.call

    def notes_pass(order: Order, event: OrderedEvent) -> None:
        if (seen := _PASSED.get()) is not None and event.place:
            seen.append(event.name)
            orders[event.name] = orders["last"] = order
        passes(order, event)

    def notes_store() -> None:
        task = asyncio.current_task()
        if (seen := _PASSED.get()) is None or task is None or task.get_name() == "write behind":
            return
        # A round of scripts goes in a task of its own, begun by whoever came first: it belongs to those who called.
        if getattr(task.get_coro(), "__name__", "") != "_send":
            seen.append("store")

    async def notes_send(connection: AbstractConnection, *args: Any, **more: Any) -> None:
        notes_store()
        await sends(connection, *args, **more)

    async def notes_call(pipeline: ScriptPipeline, *args: Any, **more: Any) -> Any:
        notes_store()
        return await calls(pipeline, *args, **more)

    def watched(way: str, enter: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(enter)
        async def entered(*args: Any, **more: Any) -> Any:
            around, seen = _PASSED.get(), list[str]()
            token = _PASSED.set(seen)
            try:
                return await enter(*args, **more)
            finally:
                _PASSED.reset(token)
                passed = [orders[what] for what in seen if what != "store"]
                if passed and seen[-1] == "store":
                    late.append((passed[-1], f"{way}: {seen}"))
                if around is not None:
                    around.extend(seen)

        return entered

    monkeypatch.setattr(Order, "_pass", notes_pass)
    monkeypatch.setattr(AbstractConnection, "send_packed_command", notes_send)
    monkeypatch.setattr(ScriptPipeline, "call", notes_call)
    for owner, name in WAYS_IN:
        monkeypatch.setattr(owner, name, watched(name, getattr(owner, name)))
    await live(house, build, "r1", number)
    # Of the life before, the last call was cut off by its death.
    assert [what for order, what in late if order is orders["last"]] == []
