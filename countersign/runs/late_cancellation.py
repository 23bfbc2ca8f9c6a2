"""Cancellation in a rebuilt run, which waits for what is recorded.

A deadline of the team's own is a clock. It runs anew while the run is rebuilt, and may pass before an answer that had
come in time has come again: because the store is away, or a branch beside it is still at work.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from countersign.runs.replay_order import SETTLED, Order

T = TypeVar("T")


_EARLY: Final[ContextVar[tuple[asyncio.Task[Any], ...]]] = ContextVar("cancelled early", default=())
"""The current task and the tasks around it whose cancellation came before their wait might end."""


def cancelled_early() -> tuple[asyncio.Task[Any], ...]:
    """Return, once, the tasks around here whose early cancellation is still due.

    A deadline that has ended since took its cancellation back (`asyncio.Task.uncancel`).
    """
    tasks = _EARLY.get()
    _EARLY.set(())
    return tuple(task for task in tasks if task.cancelling())


async def cancelled_late(order: Order, work: Awaitable[T], may_end: Callable[[], bool], begun: Callable[[], str]) -> T:
    """Wait for work, and cancel it with this task, but not before `may_end`.

    If the work is done by then, the next wait of this task is cancelled instead. `begun` names what had begun and has
    no place in the order; empty if nothing.
    """
    early = cancelled_early()
    # Of a call that was under way when its process was lost no event tells, and yet it must be asked for again.
    if not early and not order.replaying and not begun():
        return await work
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda _: order.notify())
    cancelled, begins, ended = bool(early), bool(early), False
    while not task.done():
        if cancelled and not begins and not ended and may_end():
            ended = task.cancel()
        try:
            if begins:  # a task that is cancelled before its first round would record nothing
                begins = False
                await asyncio.sleep(0)
            elif cancelled and not ended:
                await order.wait_until(lambda: task.done() or may_end(), busy=False, missing=begun)
                await _handed_on(task)
            else:
                await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled, ended = True, False
    if cancelled and not task.cancelled() and (current := asyncio.current_task()) is not None:
        _EARLY.set((*early, current))
    return task.result()


async def _handed_on(task: asyncio.Future[T]) -> None:
    """Let what came last go its way through the work, which takes some rounds of the event loop."""
    for _ in range(SETTLED):
        if task.done():
            return
        await asyncio.sleep(0)
