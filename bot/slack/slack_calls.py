"""Call Slack's Web API at its rates, and report unclear outcomes.

A refusal for good is `CannotPost`. A call that may have taken effect is not repeated here; the caller must check.

Calls go through the gate of their method, see `rate_gate`. A drawing task keeps one place in every line from its start:
a run with several messages is finished before the next run begins, and a task that reads its data again returns to its
old place. So even in a backlog each message costs one call.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.pauses import doubling
from countersign.logs import OF_SLACK

from ..slack_errors import LATER, OF_THE_TOKEN
from .answer_check import AnswerCheck
from .ports import PAUSE, CannotPost, Importance, Outdated, code, drawing_task, pause_after
from .rate_gate import Rate, RateGate

READS: Final = frozenset({"conversations.history", "conversations.replies"})
"""Methods that read: Slack ignores JSON arguments to them, and repeating them is safe."""
DRAWS: Final = frozenset({"chat.postMessage", "chat.update"})
RATES: Final = {
    "chat.appendStream": Rate(100, 60),
    "chat.postMessage": Rate(600, 60),
    "chat.startStream": Rate(20, 60),
    "chat.stopStream": Rate(20, 60),
    "views.publish": Rate(100, 60),
}
"""Slack's published rates for a workspace (docs/slack.md): "several hundred" posts a minute are read as 600;
`chat.appendStream` and `views.publish` are in tier 4, the other two stream methods in tier 2."""
CHANNEL_RATES: Final = {"chat.postMessage": Rate(5, 5)}
"""Slack's published rate for one channel (docs/slack.md): "short bursts" are read as five at once."""
TIER_3: Final = Rate(50, 60)
"""Rate of all other methods called here."""
LATER_PAUSES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Seconds between tries after an error in `slack_errors.LATER`: two minutes in all, then the message goes elsewhere."""
AT_ONCE: Final = 5
"""Concurrent calls of a method; posts to one channel go one at a time."""
_LONGEST_PAUSE: Final = 30.0
_log = logging.getLogger(__name__)


class GatedCalls:
    """Calls over one client, at `pace` times the rates that Slack publishes."""

    def __init__(self, client: AsyncWebClient, pace: float = 1.0, check: AnswerCheck | None = None) -> None:
        """`check`: shared by all calls with the same token."""
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
                    _log.warning("%s failed (%s); trying again in %s s.", method, code(refused), later, extra=OF_SLACK)
                    await asyncio.sleep(later)
                    if method == "chat.update" and _has_to_reread():
                        raise Outdated(f"{method}: something happened while it waited; reading again.") from refused
                    continue
                if pause_after(refused) is None:
                    raise CannotPost(code(refused)) from refused
                _log.warning("%s failed (%s); checking whether it took effect.", method, code(refused), extra=OF_SLACK)
            except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
                _log.warning(
                    "Slack did not answer %s (%r); checking whether it took effect.", method, wrong, extra=OF_SLACK
                )
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
    """Name the line in which a call waits: its channel if Slack limits channels."""
    return channel if method in CHANNEL_RATES else ""


def check_may_draw(method: str) -> None:
    """Raise Outdated if another process may draw by now.

    This process was frozen then, or lost the store. It may still repair a newer message that it has drawn over.
    """
    task = drawing_task.get()
    if task is not None and task.overtaken and method == "chat.update":
        return
    if task is not None and asyncio.get_running_loop().time() > task.held_until():
        raise Outdated(f"{method}: another process may draw by now; reading again.")


def _has_to_reread() -> bool:
    """Tell whether a task that waited in line must read its data again.

    At most once for each task: news may come faster than turns.
    """
    task = drawing_task.get()
    if task is None or task.reread or not task.has_news():
        return False
    task.reread = True
    return True
