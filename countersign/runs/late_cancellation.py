"""Cancellation in a rebuilt run, which waits for the recorded events.

A deadline of the team's own is a clock. It starts again while the run is rebuilt, and may pass before an answer that
had come in time is replayed, because the store is away or a parallel branch is still at work.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from contextvars import ContextVar
from typing import Any, Final, Generic, TypeVar

from countersign.runs.replay_order import SETTLED, Order

T = TypeVar("T")


_EARLY: Final[ContextVar[tuple[asyncio.Task[Any], ...]]] = ContextVar("cancelled early", default=())
"""The current task and the tasks around it whose cancellation came before their wait might end."""


class Shelter(Generic[T]):
    """Work that is cancelled with its task, but not before it `may_end`.

    If the work is done by then, the next wait is cancelled instead. `keys` are the keys asked for in it, which
    `may_end` gets. `begun` names a begun effect without a place in the order, "" if there is none.
    """

    def __init__(
        self, order: Order, key: str, may_end: Callable[[Collection[str]], bool], begun: Callable[[], str]
    ) -> None:
        self.keys = {key}
        self._order = order
        self._may_end = may_end
        self._begun = begun
        self._around: tuple[Shelter[Any], ...] = _AROUND.get()
        self._cancelled = self._ended = False

    @property
    def is_held(self) -> bool:
        """Tell whether its cancellation has come and is still held back."""
        return self._cancelled and not self._ended

    async def wait(self, work: Awaitable[T]) -> T:
        """Wait for the work."""
        token = _AROUND.set((*self._around, self))
        try:
            return await self._cancelled_late(work)
        finally:
            _AROUND.reset(token)

    async def _cancelled_late(self, work: Awaitable[T]) -> T:
        early = _taken_early()
        # A call that was under way when its process was lost has no event, but must be asked for again.
        if not early and not self._order.replaying and not self._begun():
            return await work
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._order.notify())
        self._cancelled, begins = bool(early), bool(early)
        while not task.done():
            if self.is_held and not begins and self._may_end_now():
                self._ended = task.cancel()
            try:
                if begins:  # a task that is cancelled before its first round would record nothing
                    begins = False
                    await asyncio.sleep(0)
                elif self.is_held:
                    await self._order.wait_until(
                        lambda: task.done() or self._may_end_now(), busy=False, missing=self._begun
                    )
                    await _handed_on(task)
                else:
                    await asyncio.wait({task})
            except asyncio.CancelledError:
                self._cancelled, self._ended = True, False
        if self._cancelled and not task.cancelled() and (current := asyncio.current_task()) is not None:
            _EARLY.set((*early, current))
        return task.result()

    def _may_end_now(self) -> bool:
        return any(outer._ended for outer in self._around) or self._may_end(self.keys)


_AROUND: Final[ContextVar[tuple[Shelter[Any], ...]]] = ContextVar("shelters", default=())


def note_asked(key: str) -> None:
    """Note in the shelters around here that the key is asked for."""
    for shelter in _AROUND.get():
        shelter.keys.add(key)


def cancelled_early() -> bool:
    """Tell once whether the current code was cancelled too early.

    Once all recorded events have passed, it should begin nothing new.
    """
    return bool(_taken_early()) or any(shelter.is_held for shelter in _AROUND.get())


def _taken_early() -> tuple[asyncio.Task[Any], ...]:
    """Return, once, the tasks around here whose early cancellation is still due.

    A deadline that has ended since took its cancellation back (`asyncio.Task.uncancel`).
    """
    tasks = _EARLY.get()
    _EARLY.set(())
    return tuple(task for task in tasks if task.cancelling())


async def _handed_on(task: asyncio.Future[T]) -> None:
    """Wait some rounds of the event loop, until the last result has passed."""
    for _ in range(SETTLED):
        if task.done():
            return
        await asyncio.sleep(0)
