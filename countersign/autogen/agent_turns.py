"""The turns of AutoGen's agents, in the order of the run.

The ends of the turns are events of the run's order (`countersign.replay.replay_order`): what an agent has said reaches
the others right after it has given it to AutoGen. AutoGen has no hook there, so the method that it calls is wrapped on
each agent, and on each team inside: on these objects alone, which `build` has just made for this run.
"""

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, Final

from autogen_agentchat.base import ChatAgent, Response, TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.tools import AgentTool, TeamTool

from countersign.autogen.tools.gated_tools import JournaledTools
from countersign.autogen.tools.held_objects import held
from countersign.replay.replay_order import Order

_INSIDE: Final = (ChatAgent, AutoGenTeam, JournaledTools, AgentTool, TeamTool)


def wrap_turns(team: AutoGenTeam, order: Order, speaking: list[asyncio.Task[Any] | None]) -> None:
    """Make what the team's agents say wait for its turn.

    `speaking` holds the tasks in which they do so.
    """
    seen = {id(team)}
    holders: list[tuple[object, str]] = [(team, "")]
    while holders:
        holder, path = holders.pop()
        for part in held(holder):
            if isinstance(part, _INSIDE) and id(part) not in seen:
                seen.add(id(part))
                holders.append((part, _wrapped(part, path, order, speaking)))


def _wrapped(part: object, path: str, order: Order, speaking: list[asyncio.Task[Any] | None]) -> str:
    """Wrap an agent or a team; return its path in the order."""
    if not isinstance(part, ChatAgent | AutoGenTeam):
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
