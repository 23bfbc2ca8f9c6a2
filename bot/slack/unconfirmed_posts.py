"""Look up the app's posts, once for all waiting tasks, and delete copies.

Slack allows about one look-up a second. After an outage a hundred messages may wait for theirs: one look-up answers all
tasks that asked before it began.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.usecases.ports import Message, Store

CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""Largest difference between Slack's clock and the store's; the search for a message starts this long before its
intent."""
EVENT_TYPE: Final = "countersign"
"""Type of the metadata in which our messages carry their names."""
_PAGE: Final = 200
_LONGEST_POST: Final = timedelta(hours=1)
"""Longest time before a message within which another process may have posted a copy; Slack makes busy senders wait."""
_log = logging.getLogger(__name__)
Place = tuple[str, str]
"""A channel, and a thread in it or ""."""
Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any] | None]]
"""Calls a method of Slack, as `ports.Calls.call` does."""


class PostedMessages:
    """Look-ups of our messages with their metadata.

    They raise what the call does, and wait as long as Slack is away.
    """

    def __init__(self, call: Call, ours: frozenset[str]) -> None:
        self._call = call
        self._ours = ours
        self._coming: dict[Place, _LookUp] = {}
        self._under_way: dict[Place, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def since(self, channel: str, thread: str, oldest: float) -> list[dict[str, Any]]:
        """Return all our messages since `oldest`, by Slack's clock.

        They are read at one moment after this call.
        """
        place = (channel, thread)
        coming = self._coming.get(place)
        if coming is None:
            coming = self._coming[place] = _LookUp(oldest)
            coming.task = asyncio.create_task(self._look(place, coming), name=f"look up {channel} {thread}")
        coming.oldest = min(coming.oldest, oldest)
        coming.waiting += 1
        assert coming.task is not None
        try:
            return await asyncio.shield(coming.task)
        finally:
            coming.waiting -= 1
            if not coming.waiting and not coming.task.done():
                self._begun(place, coming)
                coming.task.cancel()
                with suppress(asyncio.CancelledError):
                    await coming.task

    async def _look(self, place: Place, coming: "_LookUp") -> list[dict[str, Any]]:
        async with self._under_way[place]:
            self._begun(place, coming)
            return await self._pages(*place, coming.oldest)

    def _begun(self, place: Place, coming: "_LookUp") -> None:
        """Close a look-up to later callers, who wait for the next one."""
        if self._coming.get(place) is coming:
            del self._coming[place]

    async def _pages(self, channel: str, thread: str, oldest: float) -> list[dict[str, Any]]:
        asked: dict[str, Any] = {
            "channel": channel,
            "oldest": f"{oldest:.6f}",
            "include_all_metadata": True,
            "limit": _PAGE,
        }
        method = "conversations.history"
        if thread:
            method, asked["ts"] = "conversations.replies", thread
        messages: list[dict[str, Any]] = []
        while True:
            answer = await self._call(method, asked)
            if answer is None:
                continue
            # Anybody can put a file of the same name there, and other apps the same metadata.
            messages += [one for one in answer["messages"] if self._ours & {one.get("user"), one.get("bot_id")}]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return messages
            asked["cursor"] = cursor


class _LookUp:
    """A look-up that has not begun, and the number of tasks that wait for it."""

    def __init__(self, oldest: float) -> None:
        self.oldest = oldest
        self.waiting = 0
        self.task: asyncio.Task[list[dict[str, Any]]] | None = None


def name_of(message: dict[str, Any]) -> str | None:
    """Read our name for a Slack message; None if it is unnamed or a tombstone."""
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != EVENT_TYPE:
        return None
    return str((metadata.get("event_payload") or {}).get("name"))


class Copies:
    """Copies of our messages."""

    def __init__(
        self, store: Store, call: Callable[[str, dict[str, Any]], Awaitable[object]], lookups: PostedMessages
    ) -> None:
        self._store = store
        self._call = call
        self._lookups = lookups

    async def find(self, message: Message) -> tuple[str, str] | None:
        """Find the message in Slack, and delete its copies.

        The known message stays, or else the first. A response URL may have removed the known message's metadata.
        """
        since = await self._lookups.since(message.channel, message.thread, _oldest(message))
        copies = sorted((m["ts"] for m in since if name_of(m) == message.name), key=float)
        kept = message.ts or next(iter(copies), "")
        for copy in copies:
            if copy != kept:
                _log.warning("Deleting a second copy of %s.", message.name)
                await self._call("chat.delete", {"channel": message.channel, "ts": copy})
        return (message.channel, kept) if kept else None

    async def drop(self, name: str, mine: Message) -> None:
        """Delete our copy if another copy was recorded in the meantime."""
        seen = await self._store.message(name)
        if seen is not None and seen.value.ts and seen.value.ts != mine.ts:
            _log.warning("Deleting our second copy of %s.", name)
            await self._call("chat.delete", {"channel": mine.channel, "ts": mine.ts})

    async def look_again(self) -> None:
        """Delete what a frozen process posted before it was killed.

        Each message has one try: if the app may no longer read there, or the record is damaged, a second try would not
        help. After StoreUnavailable the remaining messages are checked later.
        """
        for name in await self._store.indexes.to_look_at():
            try:
                seen = await self._store.message(name)
                if seen is not None and seen.value.ts:
                    await self.find(seen.value)
            except StoreUnavailable:
                raise
            except CountersignError as wrong:
                _log.warning("A second copy of %s may stay, because the search for it failed: %s", name, wrong)
            except Exception:
                _log.exception("A second copy of %s may stay, because it could not be looked for.", name)
            await self._store.indexes.looked_at(name)


def _oldest(message: Message) -> float:
    """Return the earliest time, by Slack's clock, of a possible copy."""
    if message.posting_since is not None:
        return (message.posting_since - CLOCKS_DIFFER).timestamp()
    return float(message.ts) - _LONGEST_POST.total_seconds()
