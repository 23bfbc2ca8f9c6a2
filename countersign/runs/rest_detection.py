"""Detection of rest: a run may leave this process while it only waits for people."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from countersign.domain.ids import RequestId

SETTLING: Final = timedelta(milliseconds=100)
"""A team is also idle for a moment between two agents; a run that is idle for this long is waiting."""


class Activity:
    """The work and the questions that are under way in one run.

    Work is models, tools and steps; questions are put to people.
    """

    def __init__(self) -> None:
        self._working = 0
        self._held = 0
        self._asking_how_to_go_on = 0
        self._asked: Counter[RequestId] = Counter()
        self._changed = asyncio.Event()
        self.cut_off = False
        """True if a call was cut off, neither made nor refused: what follows from that is not part of the run."""

    @property
    def asked(self) -> frozenset[RequestId]:
        """Return the awaited requests."""
        return frozenset(self._asked)

    @property
    def resting(self) -> bool:
        """Tell whether the run waits only for people."""
        return bool(self._asked) and not self._working and (not self._held or self._asking_how_to_go_on > 0)

    @contextmanager
    def holding(self, held: bool) -> Iterator[None]:
        """Enclose the wait for an earlier event in the run's order."""
        self._held += held
        self._changed.set()
        try:
            yield
        finally:
            self._held -= held
            self._changed.set()

    @contextmanager
    def asking_how_to_go_on(self) -> Iterator[None]:
        """Enclose a question whose answer decides about all held work."""
        self._asking_how_to_go_on += 1
        self._changed.set()
        try:
            yield
        finally:
            self._asking_how_to_go_on -= 1
            self._changed.set()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Enclose work that proceeds without people."""
        self._working += 1
        self._changed.set()
        try:
            yield
        finally:
            self._working -= 1
            self._changed.set()

    @contextmanager
    def asking(self, request: RequestId) -> Iterator[None]:
        """Enclose the wait for people."""
        self._asked[request] += 1
        self._changed.set()
        try:
            yield
        finally:
            self._asked -= Counter([request])
            self._changed.set()

    async def until_resting(self, span: timedelta) -> None:
        """Wait for a `span` in which only people were waited for, and nothing changed."""
        while True:
            self._changed.clear()
            if not self.resting:
                await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(max(span, SETTLING).total_seconds()):
                    await self._changed.wait()
            except TimeoutError:
                return
