"""An event loop on whose clock work takes no time: minutes of waiting pass at once, on any machine.

The clock stands while anything can be done, and then goes to the next moment that somebody waits for. Sockets of this
process answer at once, so that only Redis could be at work when nothing is ready here: it answers `PING` after all that
it was asked before.
"""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, cast

import redis

from bench.slack_rates import Measured, Row, play


class _Selector(selectors.DefaultSelector):
    def __init__(self, redis_url: str | None) -> None:
        super().__init__()
        self.now = 0.0
        self._redis = redis.Redis.from_url(redis_url) if redis_url else None

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self._redis:
            for _ in range(2):  # the first answer may leave before those to others of the same turn
                self._redis.ping()
                if ready := super().select(0):
                    return ready
        if timeout is None:
            return super().select()
        self.now += timeout
        return ready

    def close(self) -> None:
        if self._redis:
            self._redis.close()
        super().close()


class IdleClockLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock goes on only where all wait for time."""

    def __init__(self, redis_url: str | None = None) -> None:
        super().__init__(_Selector(redis_url))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return cast(_Selector, self._selector).now  # type: ignore[attr-defined]


def on_idle_clock(work: Coroutine[Any, Any, None]) -> None:
    """Run what talks to nothing outside this process on such a clock."""
    with asyncio.Runner(loop_factory=IdleClockLoop) as runner:
        runner.run(work)


def played(redis_url: str, row: Row) -> Measured:
    """Play a load of Slack's rates on such a clock; nothing that waits for Redis gives up as time goes on."""
    return play(f"{redis_url}?socket_timeout=3600", row, lambda: IdleClockLoop(redis_url))
