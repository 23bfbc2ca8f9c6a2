"""Detection of rest: a run may leave this process while it only waits for people."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from countersign.domain.ids import RequestId

SETTLING: Final = timedelta(milliseconds=100)
"""Between two of a team's agents nothing is under way for a moment either; a run that rests as long as this waits."""


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
        """A call was neither made nor refused here, but cut off: what comes of that is no part of the run."""

    @property
    def asked(self) -> frozenset[RequestId]:
        """The requests that are waited for."""
        return frozenset(self._asked)

    @property
    def resting(self) -> bool:
        """Say whether nothing but people is waited for."""
        return bool(self._asked) and not self._working and (not self._held or self._asking_how_to_go_on > 0)

    @contextmanager
    def holding(self, held: bool) -> Iterator[None]:
        """Enclose the wait for what comes first in the run's order."""
        self._held += held
        self._changed.set()
        try:
            yield
        finally:
            self._held -= held
            self._changed.set()

    @contextmanager
    def asking_how_to_go_on(self) -> Iterator[None]:
        """Enclose a question on whose answer everything that is held depends."""
        self._asking_how_to_go_on += 1
        self._changed.set()
        try:
            yield
        finally:
            self._asking_how_to_go_on -= 1
            self._changed.set()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Enclose anything that goes on by itself."""
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
