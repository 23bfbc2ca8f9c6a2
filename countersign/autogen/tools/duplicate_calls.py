"""Identical actions of one run: one card at a time, one refusal for all (R26).

A rebuilt run lets them through in the order in which they first went, whichever comes first now: else one would wait
for the result of another that waits for it. One that nobody asks for any more is missed like any other part of the
run's order (`countersign.replay.replay_order`).
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

from countersign.domain.requests import Request, Status
from countersign.replay.run_journal import RunJournal

_HELD: Final[ContextVar[frozenset["EqualActions"]]] = ContextVar("held", default=frozenset())


class EqualActions:
    """The equal actions of a run, which bring about the same.

    `before` are the numbers of the questions asked before, with the keys under which they are noted.
    """

    def __init__(self, before: Mapping[int, str], journal: RunJournal) -> None:
        self.settled: list[Request] = []
        """What people decided about them, in order."""
        self.last = -1
        """The number of the question asked last: theirs rise in the order in which they went."""
        self._before = dict(before)
        self._journal = journal
        self._here: set[int] = set()
        self._done = {number: asyncio.Event() for number in before}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, number: int | None, key: str) -> AsyncIterator[None]:
        """Enclose the turn of the action whose question has this number.

        Without a number, of one that was not asked about yet. `key` is the gate's note of it, and of a team that did
        not wait.
        """
        if self in _HELD.get():  # an action that does the same inside itself would wait for its own end
            yield
            return
        if number is not None:
            self._here.add(number)
            self._journal.order.notify()
        held = _HELD.set(_HELD.get() | {self})
        try:
            await self._come(number, key)
            self._journal.order.end_wait(key)
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
                await self._after(earlier)
            await self._lock.acquire()
        except asyncio.CancelledError:
            self._journal.abandon(key)
            raise

    def refused(self, since: int) -> Request | None:
        """Return the decision that also holds for the next action, if any.

        That is a rejection, or a time-out while it waited. `since`: how many were settled when it came.
        """
        rejected = [request for request in self.settled if request.status is Status.REJECTED]
        expired = [r for r in self.settled[since:] if r.status in (Status.EXPIRED, Status.WITHDRAWN)]
        return next(reversed(expired + rejected), None)

    async def _after(self, number: int) -> None:
        key = self._before[number]
        await self._journal.order.wait_until(
            lambda: number in self._here or self._journal.is_set_aside(key), missing=lambda: key
        )
        if number in self._here:
            await self._done[number].wait()
