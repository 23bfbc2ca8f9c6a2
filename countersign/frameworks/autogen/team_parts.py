"""The agents and teams inside of a team, and the order of their turns.

AutoGen tells nobody which agents and tools a team has, so what its objects hold is looked at; no code of the team's
runs meanwhile.

The ends of the turns are events of the run's order (`countersign.runs.replay_order`): what an agent has said reaches
the others right after it has given it to AutoGen. AutoGen has no hook there, so the method that it calls is wrapped on
each agent, and on each team inside: on these objects alone, which `build` has just made for this run.
"""

import asyncio
import functools
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from types import FunctionType
from typing import Any, Final

from autogen_agentchat.base import ChatAgent, Response, TaskResult, Team
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core.tools import Workbench

from countersign.runs.replay_order import Order

_INSIDE: Final = (ChatAgent, Team, Workbench, AgentTool, TeamTool)
_BOXES: Final = (dict, list, tuple, set, frozenset, deque)
"""Looking into these runs no code of the team's, and ends; a sequence of another class may be endless, or a query."""
_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes, FunctionType})
"""Most of what agents hold; none of it is a door, and asking each of AutoGen's protocols so takes longest here."""


def objects_in(room: object) -> Iterator[object]:
    """Yield what an object holds in its attributes, and in lists and dicts there."""
    waiting: list[object] = [getattr(room, "__dict__", {})]
    opened: set[int] = set()
    while waiting:
        value = waiting.pop()
        if type(value) in _PLAIN:
            continue
        if not isinstance(value, _BOXES):
            yield value
        elif id(value) not in opened:
            opened.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)


def wrap_turns(team: Team, order: Order, speaking: list[asyncio.Task[Any] | None]) -> None:
    """Make what the team's agents say wait for its turn.

    `speaking` holds the tasks in which they do so.
    """
    seen = {id(team)}
    holders: list[tuple[object, str]] = [(team, "")]
    while holders:
        holder, path = holders.pop()
        for part in objects_in(holder):
            if isinstance(part, _INSIDE) and id(part) not in seen:
                seen.add(id(part))
                holders.append((part, _wrapped(part, path, order, speaking)))


def _wrapped(part: object, path: str, order: Order, speaking: list[asyncio.Task[Any] | None]) -> str:
    """Wrap an agent or a team; return its path in the order."""
    if not isinstance(part, ChatAgent | Team):
        return path
    name = f"{path}/{part.name}".lstrip("/")
    method = "on_messages_stream" if isinstance(part, ChatAgent) else "run_stream"
    stream: Callable[..., AsyncGenerator[Any, None]] = getattr(part, method)

    @functools.wraps(stream)
    async def in_turn(*args: Any, **more: Any) -> AsyncGenerator[Any, None]:
        task = asyncio.current_task()
        speaking.append(task)
        try:
            with order.turn(name):
                async with aclosing(stream(*args, **more)) as items:
                    async for item in items:
                        if isinstance(item, Response | TaskResult):
                            await order.end_turn(name)
                        yield item
        finally:
            speaking.remove(task)

    setattr(part, method, in_turn)
    return name
