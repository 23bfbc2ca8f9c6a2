"""Cache Slack look-ups in this process, and share them with all `web` processes.

Slack is asked again after `FRESH`. The previous reply counts while Slack is being asked. If Slack does not answer, the
reply counts until it is `KEPT` old, or as old as the look-up allows; after that nothing is known. So a removed person
is still recognised for at most that time, and only while Slack does not answer (R9). A new reply replaces the old one
at once. No caller waits longer than `PATIENCE`, because a click must be answered within 3 s; a later reply is
remembered for the next click.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, Protocol, TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError

from countersign.domain.errors import CountersignError

from ... import slack_errors
from .users_and_groups import FRESH, KEPT, SHARED, Fact

PATIENCE: Final = 1.5
"""Longest time in seconds that one look-up may keep a person waiting."""
HURRY: Final = 0.4
"""The same if an older reply is known."""
_log = logging.getLogger(__name__)

T = TypeVar("T")


class SlackFacts(Protocol):
    """Store of facts shared by all `web` processes, as bytes."""

    async def get(self, fact: Fact) -> tuple[bytes, timedelta] | None:
        """Return the reply and its age."""

    async def put(self, fact: Fact, reply: bytes, age: timedelta, left: timedelta) -> None:
        """Keep a reply of this age for the rest of its lifetime."""


class LookupCache:
    """Slack's replies by fact; `store` shares them. Call `close` at the end."""

    def __init__(
        self,
        store: SlackFacts | None = None,
        *,
        patience: float = PATIENCE,
        longest: timedelta = KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`longest`: how long replies are remembered, for look-ups that accept replies older than `KEPT`."""
        self.patience = patience
        self._longest = max(KEPT, longest)
        self._store = store
        self._shared = SHARED if store is not None else {}
        self._clock = clock
        self._replies: dict[Fact, tuple[float, Any]] = {}
        self._asked: dict[Fact, asyncio.Task[Any]] = {}

    async def close(self) -> None:
        """End the look-ups that nobody waits for any more."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def forget(self, *facts: Fact) -> None:
        """Forget these replies, or all replies if none is named."""
        for fact in facts or tuple(self._replies):
            self._replies.pop(fact, None)

    async def find(
        self, fact: Fact, ask: Callable[[], Awaitable[T]], *, kept: timedelta = KEPT, fresh: timedelta = FRESH
    ) -> T | None:
        """Return Slack's reply, or an older one as described above; None if unknown."""
        if (reply := self._known(fact, fresh)) is not None:
            return reply[0]  # type: ignore[no-any-return]
        if fact not in self._asked:
            self._asked[fact] = asyncio.create_task(self._look_up(fact, ask, fresh), name=f"look up {fact}")
        task: asyncio.Task[tuple[T] | None] = self._asked[fact]
        older = self._known(fact, kept)
        await asyncio.wait({task}, timeout=self.patience if older is None else min(HURRY, self.patience))
        if task.done() and not task.cancelled() and (latest := task.result()) is not None:
            return latest[0]
        if (reply := self._known(fact, kept)) is None:
            _log.warning("Slack did not answer in time: %s", fact)
        return None if reply is None else reply[0]

    def age(self, *facts: Fact, most: timedelta) -> timedelta:
        """Return the age of the oldest of these replies that is younger than `most`."""
        known = [self._replies[fact][0] for fact in facts if self._known(fact, most) is not None]
        return timedelta(seconds=self._clock() - min(known)) if known else timedelta(0)

    def _known(self, fact: Fact, most: timedelta) -> tuple[Any] | None:
        """Return the reply if it is younger than this."""
        reply = self._replies.get(fact)
        return (reply[1],) if reply is not None and self._clock() - reply[0] < most.total_seconds() else None

    async def _look_up(self, fact: Fact, ask: Callable[[], Awaitable[T]], fresh: timedelta) -> tuple[T] | None:
        """Return a fresh reply from another `web` or from Slack; None without one."""
        try:
            await self._take_over(fact)
            if (known := self._known(fact, fresh)) is not None:
                return known
            since = self._clock()
            reply = await ask()
            self._remember(fact, since, reply)
            await self._share(fact, since, reply)
            return (reply,)
        except SlackApiError as refused:
            _log.warning("Slack did not answer (%s): %s", slack_errors.code(refused), fact)
        except (aiohttp.ClientError, TimeoutError, OSError) as away:
            _log.warning("Slack cannot be reached (%r): %s", away, fact)
        finally:
            self._asked.pop(fact, None)
        return None

    def _remember(self, fact: Fact, since: float, reply: Any) -> None:
        oldest = self._clock() - self._longest.total_seconds()
        self._replies = {k: v for k, v in self._replies.items() if v[0] > oldest}
        self._replies[fact] = (since, reply)

    async def _take_over(self, fact: Fact) -> None:
        """Use a newer reply stored by another `web`; ignore an unreadable one."""
        stored_as = self._shared.get(fact[0])
        if stored_as is None or self._store is None:
            return
        try:
            if (stored := await self._store.get(fact)) is None:
                return
            since, reply = self._clock() - stored[1].total_seconds(), stored_as.validate_json(stored[0])
        except (CountersignError, ValueError) as wrong:
            _log.warning("The shared reply about %s could not be read: %s", fact, wrong)
            return
        if fact not in self._replies or self._replies[fact][0] < since:
            self._remember(fact, since, reply)

    async def _share(self, fact: Fact, since: float, reply: Any) -> None:
        stored_as = self._shared.get(fact[0])
        if stored_as is None or self._store is None:
            return
        age = timedelta(seconds=self._clock() - since)
        if age >= self._longest:
            return
        try:
            await self._store.put(fact, stored_as.dump_json(reply, exclude_defaults=True), age, self._longest - age)
        except CountersignError as wrong:
            _log.warning("%s Other processes must look up %s themselves.", wrong, fact)
