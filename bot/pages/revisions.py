"""Revisions: a text that changes with everything that a page shows.

Open pages ask for it, often while they are few, and read the page again only if it has changed.
"""

import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

_BELIEVED: Final = 1.0
"""Seconds for which one process caches a revision, so that all its open pages together cost one read."""
_FASTEST: Final = 2.0
_SLOWEST: Final = 120.0
_RATE: Final = 100.0
"""Questions a second that all open pages together may ask one process."""
_WINDOW: Final = 10.0


class Revision:
    """The revision of one workspace, read at most once a second."""

    def __init__(self, read: Callable[[], Awaitable[str]], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._known: tuple[float, str] | None = None

    async def now(self) -> str:
        """Return it as it was at most a second ago."""
        if self._known is None or self._clock() - self._known[0] >= _BELIEVED:
            self._known = (self._clock(), await self._read())
        return self._known[1]


class PollPace:
    """Pace of open pages: often while they are few, rarely while they are 10,000."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._since = clock()
        self._asked = 0
        self.seconds = _FASTEST

    def asked(self) -> int:
        """Count a question; return after how many seconds the page asks again."""
        now = self._clock()
        if now - self._since >= _WINDOW:
            pages = self._asked * self.seconds / (now - self._since)
            self.seconds = min(max(pages / _RATE, _FASTEST), _SLOWEST)
            self._since, self._asked = now, 0
        self._asked += 1
        return math.ceil(self.seconds)
