"""Identical actions of one run: one card at a time, one refusal for all (R26).

A rebuilt run lets them through in the order in which they first went, whichever comes first now: else one would wait
for the result of another that waits for it. One that nobody asks for any more is missed like any other part of the
run's order (`countersign.runs.replay_order`).
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

from countersign.domain.requests import Request, Status
from countersign.runs.entries import Judged, Numbered
from countersign.runs.run_journal import RunJournal

_TURNS: Final[ContextVar[frozenset["EqualActions"]]] = ContextVar("turns", default=frozenset())
"""The actions whose turn it is, in this task."""


class NumberedActions:
    """The actions of a run that people are asked about, numbered as they come."""

    def __init__(self, journal: RunJournal) -> None:
        self._journal = journal
        self._next = 0
        self._recorded: defaultdict[str, dict[int, str]] = defaultdict(dict)
        self._equal: dict[str, EqualActions] = {}
        questions = {key: Numbered.load(entry.value) for key, entry in journal.of_kind(Numbered.KIND).items()}
        for key, entry in journal.of_kind(Judged.KIND).items():
            if entry.value and (question := Judged.load(entry.value).question) is not None:
                questions[key] = question
        for key, question in questions.items():
            self._next = max(self._next, question.number + 1)
            self._recorded[question.about][question.number] = key

    def number(self) -> int:
        """Return the number of the next one; to be recorded before people are asked."""
        self._next += 1
        return self._next - 1

    def equal_to(self, about: str) -> "EqualActions":
        """Return the run's actions with this digest and place."""
        return self._equal.setdefault(about, EqualActions(self._recorded[about], self._journal))


class EqualActions:
    """The equal actions of a run, which bring about the same.

    `recorded` are the numbers of those that earlier processes asked about, with the keys under which they are noted.
    """

    def __init__(self, recorded: Mapping[int, str], journal: RunJournal) -> None:
        self.settled: list[Request] = []
        """What people decided about them, in order."""
        self.last = -1
        """The number of the question asked last: theirs rise in the order in which they went."""
        self._recorded = dict(recorded)
        self._journal = journal
        self._here: set[int] = set()
        self._done = {number: asyncio.Event() for number in recorded}
        self._lock = asyncio.Lock()

    @asynccontextmanager
    async def turn(self, number: int | None, key: str) -> AsyncIterator[Request | None]:
        """Enclose the turn of the action whose question has this number.

        `number` is None if people were not asked about it yet. `key` is the gate's journal entry of the action; if its
        wait is cancelled, that is recorded there too. Yields the decision that holds for it as well, if any: a
        rejection, or a request that expired or was withdrawn while it waited.
        """
        settled_before = len(self.settled)
        if self in _TURNS.get():  # an action that does the same inside itself would wait for its own end
            yield self._refusal(settled_before)
            return
        if number is not None:
            self._here.add(number)
            self._journal.order.notify()
        turns = _TURNS.set(_TURNS.get() | {self})
        try:
            await self._come(number, key)
            self._journal.order.end_wait(key)
            try:
                yield self._refusal(settled_before)
            finally:
                self._lock.release()
        finally:
            _TURNS.reset(turns)
            if number in self._done:
                self._done[number].set()

    async def _come(self, number: int | None, key: str) -> None:
        try:
            for earlier in sorted(n for n in self._recorded if number is None or n < number):
                await self._after(earlier)
            await self._lock.acquire()
        except asyncio.CancelledError:
            self._journal.abandon(key)
            raise

    def _refusal(self, settled_before: int) -> Request | None:
        rejected = [request for request in self.settled if request.status is Status.REJECTED]
        later = self.settled[settled_before:]
        expired = [request for request in later if request.status in (Status.EXPIRED, Status.WITHDRAWN)]
        return next(reversed(expired + rejected), None)

    async def _after(self, number: int) -> None:
        key = self._recorded[number]
        await self._journal.order.wait_until(
            lambda: number in self._here or self._journal.order.wait(key).aside, missing=lambda: key
        )
        if number in self._here:
            await self._done[number].wait()
