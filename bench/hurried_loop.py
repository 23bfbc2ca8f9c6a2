"""An event loop whose clock goes faster, so that minutes of waiting take seconds."""

import asyncio
import selectors
from typing import Any


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
