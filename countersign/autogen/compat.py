"""An agent whose tool calls were cut off is cut off too: AutoGen's AssistantAgent would wait for them for ever.

AssistantAgent (AutoGen 0.7.5, `_process_model_result`) runs the calls in a task of their own, and that task says when
it is done; cancelled, it says nothing. A run that parks, stops or is taken over while a tool asks people would stay in
memory: an agent or a team as a tool, or any tool behind a gate.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

_CALLS: Final = "AssistantAgent._process_model_result.<locals>._execute_tool_calls"


def watch() -> None:
    """From now on, in the running loop; again is the same as once. Another task factory is kept and used."""
    loop = asyncio.get_running_loop()
    before = loop.get_task_factory()
    if getattr(before, "cuts_off", False):
        return

    def factory(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], **more: Any) -> asyncio.Future[T]:
        task = before(loop, coroutine, **more) if before else asyncio.Task(coroutine, loop=loop, **more)
        if getattr(coroutine, "__qualname__", "") == _CALLS and (agent := asyncio.current_task()) is not None:
            task.add_done_callback(lambda calls: agent.cancel() if calls.cancelled() else None)
        return task

    factory.cuts_off = True  # type: ignore[attr-defined]  # how the next call knows it
    loop.set_task_factory(factory)  # type: ignore[arg-type]  # typeshed knows it without the context of 3.11
