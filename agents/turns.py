"""Results reach a rebuilt team in the order in which they first came.

Branches that go on at once write into one conversation, and the next agent is asked about that conversation: in another
order it would be another question, and what was recorded would be asked again. So every result has a place, and is
handed on after those before it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

log = logging.getLogger(__name__)

SETTLED_AFTER: Final = 300
"""Rounds of the event loop until what a result sets off inside AutoGen has reached the conversation, in a busy process;
AutoGen waits for nothing outside meanwhile, so …"""
QUIET_FOR: Final = 10
"""… after so many rounds in a row in which nothing else was to be done, it has."""
MISSING_AFTER: Final = timedelta(seconds=5)
"""A recorded result that nobody asks for any more holds up the others for this long; then order is given up."""


class Turns:
    """The places of one run's results. `places` are those recorded, from 1; while `waits` no result is missing, it is
    late.

    `settling`: what was handed on last has not yet set off inside AutoGen all that it will.
    """

    def __init__(self, places: Iterable[int], waits: Callable[[], bool] = lambda: False) -> None:
        self._waits = waits
        self._left = deque(sorted(places))
        self._last = self._left[-1] if self._left else 0
        self._here: set[int] = set()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        self.settling = False

    def skip(self, places: Iterable[int]) -> None:
        """Nobody waits for these any more."""
        gone = set(places) - self._here
        self._left = deque(place for place in self._left if place not in gone)
        self._next()

    def new(self) -> int:
        """The place of a result that has just come: behind all others."""
        self._last += 1
        self._left.append(self._last)
        return self._last

    @contextmanager
    def at(self, place: int, *, alone: bool) -> Iterator[None]:
        """Holds the place until the result is handed on, at the end of the block; `come` belongs into it.

        Not `alone`: the next one waits until what this one sets off has settled.
        """
        self._here.add(place)
        try:
            yield
        finally:
            self._here.discard(place)
            if place in self._left:
                self._left.remove(place)
            if alone:
                self._next()
            else:
                self.settling = True
                self._settle(SETTLED_AFTER, QUIET_FOR)

    async def come(self, place: int) -> None:
        """Returns when all earlier results were handed on."""
        while place in self._left and (self._left[0] != place or self.settling):
            turn = self._waiting[place] = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(MISSING_AFTER.total_seconds()):
                    await turn
            except TimeoutError:
                if self._left[0] not in self._here and not self._waits():
                    log.warning("A recorded result is not asked for any more; going on without the recorded order.")
                    self._left = deque(p for p in self._left if p in self._here)
                    self._next()
            finally:
                self._waiting.pop(place, None)

    def _settle(self, rounds: int, quiet: int) -> None:
        loop = asyncio.get_running_loop()
        # asyncio's own loops have it; with another one all rounds are waited for.
        others = getattr(loop, "_ready", True)
        if rounds and quiet:
            loop.call_soon(self._settle, rounds - 1, QUIET_FOR if others else quiet - 1)
        else:
            self.settling = False
            self._next()

    def _next(self) -> None:
        if self._left and not self.settling and (turn := self._waiting.get(self._left[0])) and not turn.done():
            turn.set_result(None)
