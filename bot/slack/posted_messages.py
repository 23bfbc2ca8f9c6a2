"""Look up what the app has posted in a channel or thread, once for all who wait.

Slack lets an app look about once a second. After an outage a hundred messages may wait to be looked for: a look-up that
begins after they asked answers them all.
"""

import asyncio
from collections import defaultdict
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from .slack_calls import Calls

CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""Slack's and the store's, at most: so long before a message was meant it is looked for."""
EVENT_TYPE: Final = "countersign"
"""Of the metadata in which a message of ours carries its name."""
_PAGE: Final = 200
Place = tuple[str, str]
"""A channel, and a thread in it or ""."""


class Lookups:
    """Looks up messages with their metadata. Raises what `Calls.call` does; waits as long as Slack is away."""

    def __init__(self, calls: Calls, ours: frozenset[str]) -> None:
        self._calls = calls
        self._ours = ours
        self._coming: dict[Place, _LookUp] = {}
        self._under_way: dict[Place, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def since(self, channel: str, thread: str, oldest: float) -> list[dict[str, Any]]:
        """Return all of ours since `oldest`, by Slack's clock, as they stood at one moment after this was called."""
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
        """Whoever asks from now on waits for the next one."""
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
            answer = await self._calls.call(method, asked)
            if answer is None:
                continue
            # Anybody can put a file of the same name there, and other apps the same metadata.
            messages += [one for one in answer["messages"] if self._ours & {one.get("user"), one.get("bot_id")}]
            cursor = (answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return messages
            asked["cursor"] = cursor


class _LookUp:
    """A look-up that has not begun, and how many wait for it."""

    def __init__(self, oldest: float) -> None:
        self.oldest = oldest
        self.waiting = 0
        self.task: asyncio.Task[list[dict[str, Any]]] | None = None


def name_of(message: dict[str, Any]) -> str | None:
    """Read our name of a message as Slack shows it; None if it carries none, or is what a deleted one left."""
    metadata = message.get("metadata") or {}
    if metadata.get("event_type") != EVENT_TYPE:
        return None
    return str((metadata.get("event_payload") or {}).get("name"))
