"""Feed of changes, so that tests and pages wait for a fact and not for time.

Every change rings, and every waiter checks its fact again.
"""

# ruff: noqa: ASYNC109  (the timeout is asyncio.timeout; who waits says how long)

import asyncio
from collections.abc import Callable
from typing import Final, Literal, TypeVar

Fact = TypeVar("Fact")

PATIENCE: Final = 300.0
"""Longest time in seconds that a test waits for a fact; it costs nothing if the fact comes."""


class ChangeFeed:
    """A bell that rings at each change.

    A waiter checks its own fact each time, and never sleeps in between.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiting: set[asyncio.Future[None]] = set()

    def ring(self) -> None:
        self.count += 1
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    async def next(self) -> None:
        """Return at the next ring."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await future
        finally:
            self._waiting.discard(future)

    async def until(
        self, find: Callable[[], Fact | Literal[False] | None], timeout: float, describe: Callable[[], str]
    ) -> Fact:
        """The first truthy value of `find`, looked for now and after each change.

        `timeout` in seconds; raises TimeoutError with the sentence of `describe` when it is over.
        """
        try:
            async with asyncio.timeout(timeout):
                while not (fact := find()):
                    await self.next()
                return fact
        except TimeoutError:
            if fact := find():
                return fact
            raise TimeoutError(describe()) from None
