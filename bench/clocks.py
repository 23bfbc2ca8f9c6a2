"""Clocks that go faster, so that minutes of waiting take seconds."""

import asyncio
import selectors
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from countersign.store.store import Store


class _Selector(selectors.DefaultSelector):
    hurry = 1.0

    def select(self, timeout: float | None = None) -> Any:
        return super().select(timeout if timeout is None else timeout / self.hurry)


class HurriedLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock goes `hurry` times faster."""

    def __init__(self, hurry: float) -> None:
        selector = _Selector()
        self._hurry = selector.hurry = hurry
        super().__init__(selector)

    def time(self) -> float:
        """Seconds of the hurried clock."""
        return super().time() * self._hurry


class OnLoopClock(Store):
    """A store whose clock is the event loop's, as Slack's is here."""

    ahead = 0.0

    async def now(self) -> datetime:
        return self._moved(await super().now())

    async def values(self, *keys: str, messages: Sequence[str] = ()) -> tuple[list[bytes | None], datetime]:
        values, now = await super().values(*keys, messages=messages)
        return values, self._moved(now)

    def _moved(self, now: datetime) -> datetime:
        self.ahead = self.ahead or now.timestamp() - asyncio.get_running_loop().time()
        return datetime.fromtimestamp(self.ahead + asyncio.get_running_loop().time(), now.tzinfo)
