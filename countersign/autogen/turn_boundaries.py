"""Makes the ends of the turns of a team's agents events of the run's order (`countersign.replay.event_order`).

What an agent has said reaches the others right after it has given it to AutoGen. AutoGen has no door there, so the
method that it calls is wrapped on each agent, and on each team inside: on these objects alone, which the team's
`build` has just made for this run.
"""

import functools
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

from autogen_agentchat.base import ChatAgent, Response, TaskResult, Team
from autogen_agentchat.tools import AgentTool, TeamTool

from countersign.autogen.tools.bypass_check import held
from countersign.autogen.tools.gated_tools import JournaledTools
from countersign.replay.event_order import Order

_INSIDE: Final = (ChatAgent, Team, JournaledTools, AgentTool, TeamTool)


def in_order(team: Team, order: Order) -> None:
    """From now on what the team's agents say waits for its turn."""
    seen = {id(team)}
    rooms: list[tuple[object, str]] = [(team, "")]
    while rooms:
        room, path = rooms.pop()
        for thing in held(room):
            if isinstance(thing, _INSIDE) and id(thing) not in seen:
                seen.add(id(thing))
                rooms.append((thing, _wrapped(thing, path, order)))


def _wrapped(thing: object, path: str, order: Order) -> str:
    """What its own agents are called by in the order."""
    if not isinstance(thing, ChatAgent | Team):
        return path
    here = f"{path}/{thing.name}".lstrip("/")
    method = "on_messages_stream" if isinstance(thing, ChatAgent) else "run_stream"
    setattr(thing, method, _speaking(getattr(thing, method), here, order))
    return here


def _speaking(
    stream: Callable[..., AsyncGenerator[Any, None]], agent: str, order: Order
) -> Callable[..., AsyncIterator[Any]]:
    @functools.wraps(stream)
    async def in_turn(*args: Any, **more: Any) -> AsyncGenerator[Any, None]:
        with order.turn(agent):
            async with aclosing(stream(*args, **more)) as said:
                async for item in said:
                    if isinstance(item, Response | TaskResult):
                        await order.ended(agent)
                    yield item

    return in_turn
