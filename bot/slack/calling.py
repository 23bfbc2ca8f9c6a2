"""Calls of Slack's Web API that wait while Slack is away or asks to slow down, and say what is left open.

What Slack never takes is `CannotPost`. A call that may have happened is not repeated here: whoever made it looks.
"""

import asyncio
import logging
import math
from contextvars import ContextVar
from typing import Any, Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.core.errors import CountersignError

_TRANSIENT: Final = frozenset(
    {"internal_error", "fatal_error", "service_unavailable", "request_timeout", "team_added_to_org", "rate_limited"}
)
good_until: Final[ContextVar[float]] = ContextVar("good_until")
"""Until when what is drawn in this task may be taken for what the store holds, by the loop's clock; unset: for ever."""
_LONGEST_PAUSE: Final = 30.0
_log = logging.getLogger(__name__)


class CannotPost(CountersignError):
    """Slack will not take this message here, however often it is tried; the text is Slack's code."""


class Outdated(CountersignError):
    """What was to be drawn was read too long ago to be drawn over what stands there now."""


async def call(client: AsyncWebClient, method: str, content: dict[str, Any]) -> dict[str, Any] | None:
    """Slack's answer; None after a failure that leaves open whether it happened. CannotPost if it never will."""
    pause = 0.5
    while True:
        if method == "chat.update":
            still_good(method)
        try:
            answer = await client.api_call(method, json={k: v for k, v in content.items() if v is not None})
            return dict(answer.data) if isinstance(answer.data, dict) else {}
        except SlackApiError as refused:
            asked = pause_after(refused)
            if asked is None:
                raise CannotPost(code(refused)) from refused
            if refused.response.status_code == 429:
                _log.info("Slack asks to wait %.0f s before the next %s.", asked, method)
                await asyncio.sleep(asked)
                continue
            _log.warning("%s failed (%s); looking whether it happened.", method, code(refused))
        except (aiohttp.ClientError, TimeoutError, OSError) as wrong:
            _log.warning("Slack did not answer %s (%r); looking whether it happened.", method, wrong)
        await asyncio.sleep(min(pause, _LONGEST_PAUSE))
        if method not in ("conversations.history", "conversations.replies"):
            return None
        pause *= 2


def still_good(what: str) -> None:
    """Outdated if this process slept, or waited, so long that another one may have drawn something newer."""
    if asyncio.get_running_loop().time() > good_until.get(math.inf):
        raise Outdated(f"{what}: what it shows was read too long ago; reading again.")


def pause_after(refused: SlackApiError) -> float | None:
    """Seconds to wait before another try; None if no try will ever do."""
    if refused.response.status_code == 429:
        return float(refused.response.headers.get("Retry-After", 1))
    return 1.0 if refused.response.status_code >= 500 or code(refused) in _TRANSIENT else None


def code(refused: SlackApiError) -> str:
    """Slack's word for why it refused."""
    data = refused.response.data
    return str(data.get("error", "unknown")) if isinstance(data, dict) else f"http_{refused.response.status_code}"
