"""Identical actions of one run: people see one card at a time, and what they refused holds for all of them (R26).

A rebuilt run lets them through in the order in which they first went, whichever comes first now: else one would wait
for the result of another that waits for it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from typing import Final

from bot.core.requests import Request, Status

MISSING_AFTER: Final = timedelta(seconds=5)
"""One that went first before and does not come any more holds up the others for this long: the code has changed."""

_HELD: Final[ContextVar[frozenset["Twins"]]] = ContextVar("held", default=frozenset())


class Twins:
    """All actions of a run that bring about the same. `numbers` are those of the questions that were asked before."""

    def __init__(self, numbers: list[int]) -> None:
        self.settled: list[Request] = []
        """What people decided about them, in order."""
        self._here = {number: asyncio.Event() for number in numbers}
        self._done = {number: asyncio.Event() for number in numbers}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, number: int | None) -> AsyncIterator[None]:
        """The turn of the action whose question has this number, or of one that was not asked about yet."""
        if self in _HELD.get():  # an action that does the same inside itself would wait for its own end
            yield
            return
        if number in self._here:
            self._here[number].set()
        held = _HELD.set(_HELD.get() | {self})
        try:
            for earlier in sorted(n for n in self._here if number is None or n < number):
                await self._behind(earlier)
            async with self._lock:
                yield
        finally:
            _HELD.reset(held)
            if number in self._done:
                self._done[number].set()

    def refused(self, since: int) -> Request | None:
        """The decision that holds for the next one, too: a rejection, or that nobody answered while it waited.

        `since`: how many were settled when it came.
        """
        rejected = [request for request in self.settled if request.status is Status.REJECTED]
        expired = [r for r in self.settled[since:] if r.status in (Status.EXPIRED, Status.WITHDRAWN)]
        return next(reversed(expired + rejected), None)

    async def _behind(self, number: int) -> None:
        try:
            async with asyncio.timeout(MISSING_AFTER.total_seconds()):
                await self._here[number].wait()
        except TimeoutError:
            return
        await self._done[number].wait()
