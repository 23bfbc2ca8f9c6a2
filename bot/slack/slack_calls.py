"""Call Slack's Web API at its rates, and report what stays unclear.

What Slack never takes is `CannotPost`. A call that may have happened is not repeated here: whoever made it looks.

Calls go through the gate of their method, see `rate_gate`. A task has one place in every line, from when it began to
draw: a run with several messages is drawn to its end before the next one begins, and a task that reads anew what it
draws comes back to its old place. So a backlog costs each message one call that counts.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.pauses import doubling

from ..slack_errors import LATER, OF_THE_TOKEN
from .answer_check import AnswerCheck
from .ports import PAUSE, CannotPost, Importance, Outdated, code, drawing_task, pause_after
from .rate_gate import Rate, RateGate

READS: Final = frozenset({"conversations.history", "conversations.replies"})
"""Slack takes no JSON for methods that read: it finds no arguments there. They may be repeated at will."""
DRAWS: Final = frozenset({"chat.postMessage", "chat.update"})
RATES: Final = {
    "chat.appendStream": Rate(100, 60),
    "chat.postMessage": Rate(600, 60),
    "chat.startStream": Rate(20, 60),
    "chat.stopStream": Rate(20, 60),
    "views.publish": Rate(100, 60),
}
"""What Slack publishes (docs/slack.md), in the workspace: "several hundred" posts a minute are taken for 600;
`chat.appendStream` and `views.publish` are of tier 4, the other two of streams of tier 2."""
CHANNEL_RATES: Final = {"chat.postMessage": Rate(5, 5)}
"""What Slack publishes (docs/slack.md), in one channel: "short bursts" are taken for five at once."""
TIER_3: Final = Rate(50, 60)
"""That of all other methods that are called here."""
LATER_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds between tries after an error of `slack_errors.LATER`: two minutes, then the message goes elsewhere."""
AT_ONCE: Final = 5
"""Calls of a method that are under way together; posts to one channel go one by one."""
_LONGEST_PAUSE: Final = 30.0
_log = logging.getLogger(__name__)


class GatedCalls:
    """Calls over one client, at `pace` times the rates that Slack publishes."""

    def __init__(self, client: AsyncWebClient, pace: float = 1.0, check: AnswerCheck | None = None) -> None:
        """`check`: shared with other calls in the name of the same token."""
        self.client = client
        self._pace = pace
        self._check = check or AnswerCheck(client)
        self._gates: dict[str, RateGate] = {}

    async def call(
        self,
        method: str,
        content: dict[str, Any],
        importance: Importance = Importance.REST,
        *,
        before_call: Callable[[], Awaitable[None]] | None = None,
    ) -> dict[str, Any] | None:
        """Make the call in its turn; see `ports.Calls`."""
        pauses, later_pauses, begun = doubling(PAUSE, _LONGEST_PAUSE), iter(LATER_PAUSES), False

        async def begin() -> None:
            nonlocal begun
            if before_call is not None:
                await before_call()
            begun = True

        content = {name: value for name, value in content.items() if value is not None}
        while True:
            try:
                return await self._in_turn(method, content, importance, begin if before_call and not begun else None)
            except SlackApiError as refused:
                later = next(later_pauses, None) if code(refused) in LATER and method in DRAWS else None
                if later is not None:
                    _log.warning("%s failed (%s); trying again in %s s.", method, code(refused), later)
                    await asyncio.sleep(later)
                    if method == "chat.update" and _has_to_reread():
                        raise Outdated(f"{method}: something happened while it waited; reading again.") from refused
                    continue
                if pause_after(refused) is None:
                    raise CannotPost(code(refused)) from refused
                _log.warning("%s failed (%s); looking whether it happened.", method, code(refused))
            except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
                _log.warning("Slack did not answer %s (%r); looking whether it happened.", method, wrong)
            if method not in READS:
                return None
            await asyncio.sleep(next(pauses))

    async def until_answered(self) -> None:
        """Wait until Slack answers and accepts the token."""
        await self._check.until_answered()

    def is_open(self, method: str, channel: str, importance: Importance) -> bool:
        """Tell whether such a call would go at once."""
        return self.gate(method).is_open(_line(method, channel), importance)

    def gate(self, method: str) -> RateGate:
        """Return the gate of a method."""
        if method not in self._gates:
            channel = CHANNEL_RATES.get(method)
            at_once = 1 if channel else AT_ONCE
            self._gates[method] = RateGate(RATES.get(method, TIER_3), channel, self._pace, at_once)
        return self._gates[method]

    async def _in_turn(
        self,
        method: str,
        content: dict[str, Any],
        importance: Importance,
        before_call: Callable[[], Awaitable[None]] | None,
    ) -> dict[str, Any]:
        gate, line = self.gate(method), _line(method, str(content.get("channel")))
        task = drawing_task.get()
        while True:
            async with gate.turn(line, importance, task.place if task else None) as turn:
                turn.used = False
                if method in DRAWS:
                    check_may_draw(method)
                    if turn.waited and (before_call or method == "chat.update") and _has_to_reread():
                        raise Outdated(f"{method}: something happened while it waited in line; reading again.")
                if before_call is not None:
                    await before_call()
                    before_call = None
                turn.used = True
                try:
                    answer = await self._send(method, content)
                except (aiohttp.ClientError, TimeoutError, OSError):
                    if method not in READS:
                        await self._check.until_answered()
                    raise
                except SlackApiError as refused:
                    away = refused.response.status_code >= 500 and method not in READS
                    if away or code(refused) in OF_THE_TOKEN:
                        await self._check.until_answered()
                    if refused.response.status_code != 429:
                        raise
                    seconds = pause_after(refused) or 0.0
                    _log.info("Slack asks to wait %.0f s before the next %s.", seconds, method)
                    gate.closed(line, seconds)
                else:
                    gate.opened(line)
                    return answer

    async def _send(self, method: str, content: dict[str, Any]) -> dict[str, Any]:
        if method in READS:
            answer = await self.client.api_call(method, http_verb="GET", params=content)
        else:
            answer = await self.client.api_call(method, json=content)
        return dict(answer.data) if isinstance(answer.data, dict) else {}


def _line(method: str, channel: str) -> str:
    """Name the line in which a call waits: its channel's where Slack counts by it."""
    return channel if method in CHANNEL_RATES else ""


def check_may_draw(method: str) -> None:
    """Raise Outdated if another process may draw by now.

    This one was frozen then, or lost the store. It may still redraw what it drew over something newer.
    """
    task = drawing_task.get()
    if task is not None and task.overtaken and method == "chat.update":
        return
    if task is not None and asyncio.get_running_loop().time() > task.held_until():
        raise Outdated(f"{method}: another process may draw by now; reading again.")


def _has_to_reread() -> bool:
    """Tell whether to read anew what waited in line. Once for each task: news may come faster than turns."""
    task = drawing_task.get()
    if task is None or task.reread or not task.has_news():
        return False
    task.reread = True
    return True
