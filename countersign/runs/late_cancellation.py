"""Cancellation in a rebuilt run, which waits for what is recorded.

A deadline of the team's own is a clock. It runs anew while the run is rebuilt, and may pass before an answer that had
come in time has come again: because the store is away, or a branch beside it is still at work.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from countersign.runs.replay_order import SETTLED, Order

T = TypeVar("T")


async def cancelled_late(order: Order, work: Awaitable[T], may_end: Callable[[], bool], begun: Callable[[], str]) -> T:
    """Wait for work, and cancel it with this task, but not before `may_end`.

    If the work is done by then, this task has not been cancelled. `begun` names what had begun and has no place in the
    order; empty if nothing.
    """
    # Of a call that was under way when its process was lost no event tells, and yet it must be asked for again.
    if not order.replaying and not begun():
        return await work
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda _: order.notify())
    cancellations, ended = 0, False
    while not task.done():
        if cancellations and may_end():
            ended = task.cancel()
        try:
            if cancellations and not ended:
                await order.wait_until(lambda: task.done() or may_end(), busy=False, missing=begun)
                await _handed_on(task)
            else:
                await asyncio.wait({task})
        except asyncio.CancelledError:
            cancellations += 1
    if not task.cancelled() and (current := asyncio.current_task()) is not None:
        for _ in range(cancellations):
            current.uncancel()
    return task.result()


async def _handed_on(task: asyncio.Future[T]) -> None:
    """Let what came last go its way through the work, which takes some rounds of the event loop."""
    for _ in range(SETTLED):
        if task.done():
            return
        await asyncio.sleep(0)
