"""Call Slack's Web API, wait while it is away or limits the rate, and report what stays unclear.

What Slack never takes is `CannotPost`. A call that may have happened is not repeated here: whoever made it looks.

A method that Slack closes (429, Retry-After) is closed for all who call it. They wait in a line, and one at a time
tries whether it is open again; a 429 does not cost it its turn. The line is ordered by when a task began to draw, not
by when it made the call: a run with several messages is drawn to its end before the next one begins, and a task that
reads anew what it draws comes back to its old place. So a backlog costs each message one call that counts.
"""

import asyncio
import heapq
import itertools
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.errors import CountersignError

READS: Final = frozenset({"conversations.history", "conversations.replies"})
"""Slack takes no JSON for methods that read: it finds no arguments there. They may be repeated at will."""
PAUSE: Final = 0.5
"""Seconds after a failure, before anybody looks or tries again."""
_TRANSIENT: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "rate_limited"}
)
_LONGEST_PAUSE: Final = 30.0
_log = logging.getLogger(__name__)
_places: Final = itertools.count()


class CannotPost(CountersignError):
    """Slack will not take this message here, however often it is tried; the text is Slack's code."""


class Outdated(CountersignError):
    """The drawing may be older than what stands in Slack, or than what is stored: read again."""


@dataclass(slots=True)
class DrawingTask:
    """A task that draws from what it has read.

    `held_until`: when another process may draw, by the loop's clock. `has_news`: whether something happened since this
    task read. `place`: its place in every line.
    """

    held_until: Callable[[], float]
    has_news: Callable[[], bool] = lambda: False
    reread: bool = False
    place: int = field(default_factory=_places.__next__)


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
        content = {name: value for name, value in content.items() if value is not None}
        while True:
            try:
                return await self._in_turn(method, content)
            except SlackApiError as refused:
                if pause_after(refused) is None:
                    raise CannotPost(code(refused)) from refused
                _log.warning("%s failed (%s); looking whether it happened.", method, code(refused))
            except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
                _log.warning("Slack did not answer %s (%r); looking whether it happened.", method, wrong)
            if method not in READS:
                return None
            await asyncio.sleep(min(pause, _LONGEST_PAUSE))
            pause *= 2

    async def _in_turn(self, method: str, content: dict[str, Any]) -> dict[str, Any]:
        line = self._lines[method]
        if line.is_empty and (answer := await self._try(line, method, content)) is not None:
            return answer
        async with line.turn():
            while True:
                await line.opened()
                if method == "chat.update" and _to_reread():
                    raise Outdated(f"{method}: something happened while it waited in line; reading again.")
                if (answer := await self._try(line, method, content)) is not None:
                    return answer

    async def _try(self, line: "_Line", method: str, content: dict[str, Any]) -> dict[str, Any] | None:
        """Slack's answer; None if Slack closes the method."""
        if method == "chat.update":
            still_good(method)
        try:
            if method in READS:
                answer = await self._client.api_call(method, http_verb="GET", params=content)
            else:
                answer = await self._client.api_call(method, json=content)
        except SlackApiError as refused:
            if refused.response.status_code != 429:
                raise
            seconds = pause_after(refused) or 0.0
            _log.info("Slack asks to wait %.0f s before the next %s.", seconds, method)
            line.close(seconds)
            return None
        return dict(answer.data) if isinstance(answer.data, dict) else {}


class _Line:
    """Tasks that wait for a method that Slack closed. Whoever has the turn tries whether it is open again."""

    def __init__(self) -> None:
        self._open_at = 0.0
        self._taken = False
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []

    @property
    def is_empty(self) -> bool:
        """Whether nobody has to wait."""
        return not self._taken and self._open_at <= asyncio.get_running_loop().time()

    def close(self, seconds: float) -> None:
        """Let nobody call for so long."""
        self._open_at = max(self._open_at, asyncio.get_running_loop().time() + seconds)

    async def opened(self) -> None:
        """Wait until the method is open, as far as anybody knows."""
        while (left := self._open_at - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110
            await asyncio.sleep(left)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for the turn of this task, and pass it on at the end."""
        if self._taken:
            task, called = drawing_task.get(), next(_places)
            mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (task.place if task else called, called, mine))
            try:
                await mine
            except asyncio.CancelledError:
                if mine.done() and not mine.cancelled():
                    self._pass_on()
                raise
        self._taken = True
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            *_, following = heapq.heappop(self._waiting)
            if not following.done():
                following.set_result(None)
                return
        self._taken = False


def still_good(what: str) -> None:
    """Outdated if this process was frozen, or lost the store, for so long that another one may draw by now."""
    task = drawing_task.get()
    if task is not None and asyncio.get_running_loop().time() > task.held_until():
        raise Outdated(f"{what}: another process may draw by now; reading again.")


def _to_reread() -> bool:
    """Whether to read anew what waited in line. Once for each task: news may come faster than turns."""
    task = drawing_task.get()
    if task is None or task.reread or not task.has_news():
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
