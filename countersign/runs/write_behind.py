"""Writes that are made while the agent already continues.

The note that a decision was delivered need not hold up the agent: the decision itself is kept in its request. But no
consequence of it may be stored before the note, so every later record, question or end of the run waits for it. If the
process is lost in between, the rebuilt run asks again, finds the same decision, and has recorded nothing after it (R5).
"""

import asyncio
from collections.abc import Awaitable, Callable

from countersign.usecases.store_outages import ended

Write = Callable[[], Awaitable[None]]


class WriteBehind:
    """The writes of one run that are under way, one after the other.

    `give_up` is called with the error of a failed write; nothing is written after it, and `written` raises the same
    error.
    """

    def __init__(self) -> None:
        self.give_up: Callable[[Exception], None] = _nobody
        self._last: asyncio.Task[None] | None = None

    def write(self, write: Write) -> None:
        """Begin the write as soon as the earlier writes are done."""
        self._last = asyncio.create_task(self._after(self._last, write), name="write behind")
        self._last.add_done_callback(_retrieve)

    async def written(self) -> None:
        """Wait until all writes are done."""
        while (last := self._last) is not None:
            await asyncio.shield(last)
            if self._last is last:
                self._last = None

    async def close(self) -> None:
        """Cancel unfinished writes, because the run is released and will repeat them."""
        if self._last is not None:
            await ended(self._last)

    async def _after(self, before: asyncio.Task[None] | None, write: Write) -> None:
        await asyncio.sleep(0)  # the agent continues first
        if before is not None:
            await before
        try:
            await write()
        except Exception as error:
            self.give_up(error)
            raise


def _retrieve(done: asyncio.Task[None]) -> None:
    """Retrieve the error, already passed to `give_up`, in case nobody awaits it."""
    if not done.cancelled():
        done.exception()


def _nobody(error: Exception) -> None:
    """Ignore an error that nobody waits for."""
