"""Identical actions of one run: one card at a time, one refusal for all (R26).

A rebuilt run lets them through in the order in which they first went, whichever comes first now: else one would wait
for the result of another that waits for it. One that nobody asks for any more is missed like any other part of the
run's order (`countersign.replay.event_order`).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

from countersign.domain.requests import Request, Status
from countersign.replay.journal import RunJournal

_HELD: Final[ContextVar[frozenset["Twins"]]] = ContextVar("held", default=frozenset())


class Twins:
    """All actions of a run that bring about the same. `before` are the numbers of the questions that were asked before,
    with the keys under which they are noted."""

    def __init__(self, before: Mapping[int, str], journal: RunJournal) -> None:
        self.settled: list[Request] = []
        """What people decided about them, in order."""
        self._before = dict(before)
        self._journal = journal
        self._here: set[int] = set()
        self._done = {number: asyncio.Event() for number in before}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, number: int | None, key: str) -> AsyncIterator[None]:
        """The turn of the action whose question has this number, or of one that was not asked about yet. `key` is what
        the gate notes of it: also that the team did not wait for the turn."""
        if self in _HELD.get():  # an action that does the same inside itself would wait for its own end
            yield
            return
        if number is not None:
            self._here.add(number)
            self._journal.order.move()
        held = _HELD.set(_HELD.get() | {self})
        try:
            await self._come(number, key)
            self._journal.order.answered(key)
            try:
                yield
            finally:
                self._lock.release()
        finally:
            _HELD.reset(held)
            if number in self._done:
                self._done[number].set()

    async def _come(self, number: int | None, key: str) -> None:
        try:
            for earlier in sorted(n for n in self._before if number is None or n < number):
                await self._behind(earlier)
            await self._lock.acquire()
        except asyncio.CancelledError:
            self._journal.leave(key)
            raise

    def refused(self, since: int) -> Request | None:
        """The decision that holds for the next one, too: a rejection, or that nobody answered while it waited.

        `since`: how many were settled when it came.
        """
        rejected = [request for request in self.settled if request.status is Status.REJECTED]
        expired = [r for r in self.settled[since:] if r.status in (Status.EXPIRED, Status.WITHDRAWN)]
        return next(reversed(expired + rejected), None)

    async def _behind(self, number: int) -> None:
        key = self._before[number]
        await self._journal.order.until(
            lambda: number in self._here or self._journal.is_set_aside(key), missing=lambda: key
        )
        if number in self._here:
            await self._done[number].wait()
