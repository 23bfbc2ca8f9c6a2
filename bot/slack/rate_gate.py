"""The gate before a method of Slack: who may call next, and when.

Slack takes so many calls of a method a minute, and about one post a second in a channel. What is drawn waits here for
its turn, the important before the rest, and the less important leave room for what is not there yet: a card that comes
in the middle of a hundred notes goes at once. Slack's published rates are kept unasked, because a 429 closes a method
for up to a minute for everybody. If one comes all the same, the channel of a post, or else the method, is closed for
all until Retry-After is over; then one at a time tries. Slack does not say whether a channel or the workspace had too
many posts: it was the workspace if the wait is longer than a channel ever needs, or if two channels are closed at once.
Whoever waits keeps its place.
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
"""A call takes a while to reach Slack, and not always the same."""
_order: Final = itertools.count()


SHARE: Final = {Importance.CARD: 1.0, Importance.SETTLED: 1.0, Importance.OUTCOME: 0.8, Importance.REST: 0.6}
"""The part of a rate that calls may fill up; what is left is for the more important."""
_AT_ONCE: Final = SHARE[Importance.REST]
"""The part of a rate that goes at once. The rest is spread, so that who comes next never waits for long."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many calls in so many seconds."""

    calls: int
    seconds: float


class Meter:
    """The calls of late, by the loop's clock."""

    def __init__(self, rate: Rate, pace: float) -> None:
        self._calls = rate.calls
        self._seconds = rate.seconds * MARGIN / pace
        self._taken: deque[float] = deque()

    def left(self, importance: Importance, now: float) -> float:
        """Seconds until a call of this importance fits."""
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
        """Count it from now, when Slack has answered: it may have reached Slack no sooner."""
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

    `waited`: it did not come at once. `used`: Slack counts the call.
    """

    waited: bool
    used: bool = True


class _Line:
    """Those who wait for one channel, or for a method that Slack counts as a whole."""

    def __init__(self, meter: Meter | None, at_once: int) -> None:
        self.meter = meter
        self.waiting: list[_Waiting] = []
        self.at_once = at_once
        self.under_way = 0
        self.open_at = -math.inf
        self.refused = False

    def first(self) -> _Waiting | None:
        """Whoever is next; those who gave up are forgotten."""
        while self.waiting and self.waiting[0].turn.done():
            heapq.heappop(self.waiting)
        return self.waiting[0] if self.waiting else None

    def left(self, importance: Importance, now: float) -> float:
        """Seconds until the line goes on; infinite if that is when a call ends."""
        if self.under_way >= (1 if self.refused else self.at_once):
            return math.inf
        return max(self.open_at - now, self.meter.left(importance, now) if self.meter else 0.0)


class RateGate:
    """Turns to call one method. `pace` is how many times its rates Slack takes."""

    def __init__(self, whole: Rate, channel: Rate | None, pace: float, at_once: int) -> None:
        """Take the limits of a method.

        `channel`: the rate of one channel, where Slack counts each for itself. `at_once`: calls of one line.
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

        Of two that matter as much the one with the lower place is first; without a place, as they come.
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
        """Slack said 429: nobody calls for so long, and then one at a time."""
        line, now = self._lines[name], asyncio.get_running_loop().time()
        another = any(other is not line and other.open_at > now for other in self._lines.values())
        if another or (self._channel and seconds > self._channel.seconds):
            self._open_at = max(self._open_at, now + seconds)
            self._refused = True
        line.open_at = max(line.open_at, now + seconds)
        line.refused = True

    def opened(self, name: str) -> None:
        """Slack took a call; those who wait still go one at a time."""
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
        """Seconds until a call of this importance may go in this line."""
        if self._refused and any(other.under_way for other in self._lines.values()):
            return math.inf
        return max(self._open_at - now, line.left(importance, now), self._whole.left(importance, now))

    def _serve(self) -> None:
        """Give turns to all that may have one now, and return for the next."""
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
