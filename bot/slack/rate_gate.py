"""Schedule calls to one Slack method by importance and rate limit.

Slack limits each method to a number of calls a minute, and posts to about one a second in a channel. Calls wait here
for their turn, the most important first. Less important calls never use the whole rate, so a card that arrives in the
middle of a hundred notes is posted at once. The gate keeps to Slack's published rates in advance, because a 429 blocks
a method for everybody for up to a minute. After a 429 the channel, or else the whole method, stays closed until
Retry-After is over, and then calls go one at a time. Waiting calls keep their places.
"""

import asyncio
import heapq
import itertools
import math
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from .ports import Importance

MARGIN: Final = 1.02
"""Factor on the seconds of a rate, because the time that a call takes to reach Slack varies."""
_order: Final = itertools.count()


SHARE: Final = {Importance.CARD: 1.0, Importance.SETTLED: 1.0, Importance.OUTCOME: 0.8, Importance.REST: 0.6}
"""Share of a rate that calls of an importance may use; the rest is reserved for more important calls."""
_AT_ONCE: Final = SHARE[Importance.REST]
"""Share of a rate that may be used in a burst. The rest is spread out, so that the next call never waits long."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Number of calls allowed within a number of seconds."""

    calls: int
    seconds: float


class Meter:
    """Recent calls, by the loop's clock."""

    def __init__(self, rate: Rate, pace: float) -> None:
        self._calls = rate.calls
        self._seconds = rate.seconds * MARGIN / pace
        self._taken: deque[float] = deque()

    def left(self, importance: Importance, now: float) -> float:
        """Return the seconds until the rate has room for a call of this importance."""
        while self._taken and self._taken[0] <= now - self._seconds:
            self._taken.popleft()
        room, taken = max(1, int(self._calls * SHARE[importance])), len(self._taken)
        if taken >= room:
            return self._taken[taken - room] + self._seconds - now
        if taken < self._calls * _AT_ONCE:
            return 0.0
        first, last = self._taken[0], self._taken[-1]
        return max(0.0, last + (first + self._seconds - last) / (room - taken + 1) - now)

    def take(self, now: float) -> None:
        """Count a call that is sent now."""
        self._taken.append(now)

    def give_back(self, sent: float) -> None:
        """Forget a call that was not sent."""
        if sent in self._taken:
            self._taken.remove(sent)

    def took(self, sent: float, now: float) -> None:
        """Count the call from now: it may have reached Slack just before its answer."""
        if sent in self._taken:
            self._taken.remove(sent)
            self._taken.append(now)


@dataclass(order=True, slots=True)
class _Waiting:
    importance: Importance
    place: int
    called: int
    turn: asyncio.Future[float] = field(compare=False)


@dataclass(slots=True)
class Turn:
    """A turn to call.

    `waited`: the call had to wait for its turn. `used`: Slack counts the call.
    """

    waited: bool
    used: bool = True


class _Line:
    """Calls that wait for one channel, or for a method without rates by channel."""

    def __init__(self, meter: Meter | None, at_once: int) -> None:
        self.meter = meter
        self.waiting: list[_Waiting] = []
        self.at_once = at_once
        self.under_way = 0
        self.open_at = -math.inf
        self.refused = False

    def first(self) -> _Waiting | None:
        """Return the next waiting call, after dropping cancelled ones."""
        while self.waiting and self.waiting[0].turn.done():
            heapq.heappop(self.waiting)
        return self.waiting[0] if self.waiting else None

    def left(self, importance: Importance, now: float) -> float:
        """Return the seconds until a call may go; infinite if another must end first."""
        if self.under_way >= (1 if self.refused else self.at_once):
            return math.inf
        return max(self.open_at - now, self.meter.left(importance, now) if self.meter else 0.0)


class RateGate:
    """Turns to call one method; `pace` multiplies its rates."""

    def __init__(self, whole: Rate, channel: Rate | None, pace: float, at_once: int) -> None:
        """Take the limits of a method.

        `channel`: the rate within one channel, if Slack limits channels separately. `at_once`: concurrent calls in one
        line.
        """
        self._whole = Meter(whole, pace)
        self._channel = channel
        self._open_at = -math.inf
        self._refused = False
        self._lines: defaultdict[str, _Line] = defaultdict(
            lambda: _Line(Meter(channel, pace) if channel else None, at_once)
        )
        self._timer: asyncio.TimerHandle | None = None

    def is_open(self, name: str, importance: Importance) -> bool:
        """Tell whether a call in this line would go at once."""
        line, now = self._lines[name], asyncio.get_running_loop().time()
        return line.first() is None and self._left(line, importance, now) <= 0

    @asynccontextmanager
    async def turn(self, name: str, importance: Importance, place: int | None) -> AsyncIterator[Turn]:
        """Hold a turn in this line for the block.

        Of two calls of equal importance, the lower place goes first; without places, the earlier call.
        """
        line, called = self._lines[name], next(_order)
        mine: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        heapq.heappush(line.waiting, _Waiting(importance, called if place is None else place, called, mine))
        self._serve()
        waited = not mine.done()
        try:
            sent = await mine
        except asyncio.CancelledError:
            if mine.done() and not mine.cancelled():
                self._end(line, mine.result(), used=False)
            raise
        turn = Turn(waited)
        try:
            yield turn
        finally:
            self._end(line, sent, used=turn.used)

    def closed(self, name: str, seconds: float) -> None:
        """Close the line for this long after a 429; then calls go one at a time."""
        line, now = self._lines[name], asyncio.get_running_loop().time()
        # Slack does not say whether the channel or the workspace had too many posts. It was the workspace if the wait
        # is longer than a channel ever needs, or if two channels are closed at once.
        another = any(other is not line and other.open_at > now for other in self._lines.values())
        if another or (self._channel and seconds > self._channel.seconds):
            self._open_at = max(self._open_at, now + seconds)
            self._refused = True
        line.open_at = max(line.open_at, now + seconds)
        line.refused = True

    def opened(self, name: str) -> None:
        """Note that Slack took a call; waiting calls still go one at a time."""
        line = self._lines[name]
        line.refused = line.refused and line.first() is not None
        self._refused = False

    def _end(self, line: _Line, sent: float, *, used: bool) -> None:
        line.under_way -= 1
        now = asyncio.get_running_loop().time()
        for meter in filter(None, (self._whole, line.meter)):
            if used:
                meter.took(sent, now)
            else:
                meter.give_back(sent)
        self._serve()

    def _left(self, line: _Line, importance: Importance, now: float) -> float:
        """Return the seconds until a call of this importance may go in this line."""
        # After a 429 for the whole method, one call at a time tries.
        if self._refused and any(other.under_way for other in self._lines.values()):
            return math.inf
        return max(self._open_at - now, line.left(importance, now), self._whole.left(importance, now))

    def _serve(self) -> None:
        """Give a turn to every call that may go now, and set a timer for the next."""
        now = asyncio.get_running_loop().time()
        while True:
            soonest, best = math.inf, None
            for line in self._lines.values():
                if (first := line.first()) is None:
                    continue
                left = self._left(line, first.importance, now)
                if left > 0:
                    soonest = min(soonest, left)
                elif best is None or first < best[0]:
                    best = first, line
            if best is None:
                break
            _, line = best
            heapq.heappop(line.waiting).turn.set_result(now)
            line.under_way += 1
            self._whole.take(now)
            if line.meter:
                line.meter.take(now)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if soonest < math.inf:
            self._timer = asyncio.get_running_loop().call_later(soonest, self._serve)
