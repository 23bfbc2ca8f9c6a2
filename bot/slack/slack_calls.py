"""Calls of Slack's Web API that wait while Slack is away or asks to slow down, and say what is left open.

What Slack never takes is `CannotPost`. A call that may have happened is not repeated here: whoever made it looks.
A method that Slack closes (429, Retry-After) is closed for all who call it: they go on in line, one at a time.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.errors import CountersignError

READS: Final = frozenset({"conversations.history", "conversations.replies"})
"""Slack takes no JSON for methods that read: it finds no arguments there. They may be repeated at will."""
_TRANSIENT: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "rate_limited"}
)
FRESH: Final = timedelta(seconds=3)
"""A drawing that waited longer for its turn is read anew, once: it may have been overtaken by what came meanwhile."""
PAUSE: Final = 0.5
"""Seconds after a failure, before anybody looks or tries again."""
_LONGEST_PAUSE: Final = 30.0
_KEPT_PLACE: Final = 1.0
"""Seconds in which whoever was next, and has to read anew what it draws, comes back to its place in the line."""
_log = logging.getLogger(__name__)


class CannotPost(CountersignError):
    """Slack will not take this message here, however often it is tried; the text is Slack's code."""


class Outdated(CountersignError):
    """What was to be drawn was read too long ago to be drawn over what stands there now."""


@dataclass(slots=True)
class DrawingTask:
    """What a task that draws knows of itself: until when nobody else may draw, by the loop's clock; whether it has read
    anew what it draws."""

    held_until: Callable[[], float]
    reread: bool = False


drawing_task: Final[ContextVar[DrawingTask | None]] = ContextVar("drawing_task", default=None)
"""Set in tasks that draw from what they have read; others send whatever they have."""


class Calls:
    """Calls over one client."""

    def __init__(self, client: AsyncWebClient) -> None:
        self._client = client
        self._lines: dict[str, _Line] = defaultdict(_Line)

    async def call(self, method: str, content: dict[str, Any]) -> dict[str, Any] | None:
        """Slack's answer; None after a failure that leaves open whether it happened. CannotPost if it never will."""
        pause = PAUSE
        while True:
            try:
                return await self._in_turn(method, {k: v for k, v in content.items() if v is not None})
            except SlackApiError as refused:
                asked = pause_after(refused)
                if asked is None:
                    raise CannotPost(code(refused)) from refused
                if refused.response.status_code == 429:
                    continue
                _log.warning("%s failed (%s); looking whether it happened.", method, code(refused))
            except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
                _log.warning("Slack did not answer %s (%r); looking whether it happened.", method, wrong)
            if method not in READS:
                return None
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
            pause *= 2

    async def _in_turn(self, method: str, content: dict[str, Any]) -> dict[str, Any]:
        line = self._lines[method]
        if not line.stands:
            return await self._send(line, method, content)
        joined = asyncio.get_running_loop().time()
        await line.turn()
        try:
            if method == "chat.update" and _to_reread(asyncio.get_running_loop().time() - joined):
                line.keep_place()
                raise Outdated(f"{method}: what it shows was read too long ago; reading again.")
            return await self._send(line, method, content)
        finally:
            line.next()

    async def _send(self, line: "_Line", method: str, content: dict[str, Any]) -> dict[str, Any]:
        if method == "chat.update":
            still_good(method)
        try:
            if method in READS:
                answer = await self._client.api_call(method, http_verb="GET", params=content)
            else:
                answer = await self._client.api_call(method, json=content)
        except SlackApiError as refused:
            if refused.response.status_code == 429:
                seconds = pause_after(refused) or 0.0
                line.close(seconds)
                _log.info("Slack asks to wait %.0f s before the next %s.", seconds, method)
            raise
        return dict(answer.data) if isinstance(answer.data, dict) else {}


class _Line:
    """Those who wait for a method that Slack closed. Whoever is first tries whether it is open again."""

    def __init__(self) -> None:
        self._busy = asyncio.Lock()
        self._open_at = 0.0
        self._place_of: asyncio.Task[Any] | None = None
        self._gives_up: asyncio.TimerHandle | None = None

    @property
    def stands(self) -> bool:
        """Whether there is a line to stand in."""
        return self._busy.locked() or self._open_at > asyncio.get_running_loop().time()

    def close(self, seconds: float) -> None:
        """Slack said so."""
        self._open_at = max(self._open_at, asyncio.get_running_loop().time() + seconds)

    async def turn(self) -> None:
        """Returns when it is this task's turn, and the method is open as far as anybody knows."""
        if self._gives_up is not None and self._place_of is asyncio.current_task():
            self._gives_up.cancel()
            self._gives_up = None
        else:
            await self._busy.acquire()
        self._place_of = None
        try:
            while (left := self._open_at - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110
                await asyncio.sleep(left)
        except BaseException:
            self.next()
            raise

    def keep_place(self) -> None:
        """This task comes back at once with what it reads anew: else all who waited would be outdated in turn."""
        self._place_of = asyncio.current_task()

    def next(self) -> None:
        """Let the next one go, or the same one again."""
        if self._place_of is None:
            self._busy.release()
        else:
            self._gives_up = asyncio.get_running_loop().call_later(_KEPT_PLACE, self._pass_on)

    def _pass_on(self) -> None:
        self._place_of = self._gives_up = None
        self._busy.release()


def still_good(what: str) -> None:
    """Outdated if this process was frozen, or lost the store, for so long that another one may draw by now."""
    task = drawing_task.get()
    if task is not None and asyncio.get_running_loop().time() > task.held_until():
        raise Outdated(f"{what}: another process may draw by now; reading again.")


def _to_reread(waited: float) -> bool:
    """Whether to read anew what has waited so many seconds. Once: in a long line all are late."""
    task = drawing_task.get()
    if task is None or task.reread or waited <= FRESH.total_seconds():
        return False
    task.reread = True
    return True


def pause_after(refused: SlackApiError) -> float | None:
    """Seconds to wait before another try; None if no try will ever do."""
    if refused.response.status_code == 429:
        return float(refused.response.headers.get("Retry-After", 1))
    return 1.0 if refused.response.status_code >= 500 or code(refused) in _TRANSIENT else None


def code(refused: SlackApiError) -> str:
    """Slack's word for why it refused."""
    data = refused.response.data
    return str(data.get("error", "unknown")) if isinstance(data, dict) else f"http_{refused.response.status_code}"
