"""Check whether Slack answers and accepts our token, once for all waiting tasks.

A refused token is kept (R40): Slack also refuses a valid token while a workspace migrates, or from an address that is
not allowed.
"""

import asyncio
import logging
import math
from typing import Final

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign import metrics
from countersign.domain.pauses import doubling
from countersign.logs import OF_SLACK

from ..slack_errors import OF_THE_TOKEN, advice
from .ports import PAUSE, code

CHECK_EVERY: Final = 20.0
"""Seconds, so that health tells of a refused token within 30 s even if nothing is drawn (R46)."""
_LONGEST_SILENCE: Final = 10.0
"""Longest time in seconds until a recovered Slack is noticed."""
_LONGEST_REFUSAL: Final = 60.0
"""Longest time in seconds until it is noticed that Slack accepts the token again."""
_KEPT: Final = "Cards and notes wait; nothing is lost."
_log = logging.getLogger(__name__)


class AnswerCheck:
    """Checks with the token of one workspace.

    `refused`: Slack's error while it refuses the token.
    """

    def __init__(self, client: AsyncWebClient, workspace: str = "") -> None:
        self.refused = ""
        self._client = client
        self._workspace = workspace
        self._asking = asyncio.Lock()
        self._answered_at = -math.inf

    @property
    def problem(self) -> str:
        """Return a sentence about the refused token, "" if Slack accepts it."""
        if not self.refused:
            return ""
        refusal = f"Slack refuses the token of workspace {self._workspace} ({self.refused})."
        return f"{refusal} {advice(self.refused)} Nothing is drawn there until Slack accepts it; nothing is lost."

    async def keep(self) -> None:
        """Check regularly, until cancelled."""
        try:
            while True:
                await asyncio.sleep(CHECK_EVERY)
                await self.until_answered()
        finally:
            metrics.token_refused(self._workspace, "")

    async def until_answered(self) -> None:
        """Wait until Slack answers and accepts the token.

        One task asks, with growing pauses, and the others wait. So few messages get an unclear outcome, and waiting
        cards can take more rows.
        """
        since, pauses = asyncio.get_running_loop().time(), doubling(PAUSE, _LONGEST_REFUSAL)
        async with self._asking:
            while self._answered_at < since and not await self._answers():
                longest = _LONGEST_REFUSAL if self.refused else _LONGEST_SILENCE
                await asyncio.sleep(min(next(pauses), longest))

    async def _answers(self) -> bool:
        try:
            await self._client.api_call("auth.test")
        except (aiohttp.ClientError, TimeoutError, OSError) as away:
            _log.warning("Slack does not answer (%r). %s", away, _KEPT, extra=OF_SLACK)
            return False
        except SlackApiError as refused:
            if code(refused) in OF_THE_TOKEN:
                self._note(code(refused))
                return False
            if refused.response.status_code < 500:
                return True
            _log.warning("Slack answers with an error of its own (%s). %s", code(refused), _KEPT, extra=OF_SLACK)
            return False
        self._note("")
        self._answered_at = asyncio.get_running_loop().time()
        return True

    def _note(self, refused: str) -> None:
        if refused == self.refused:
            return
        self.refused = refused
        metrics.token_refused(self._workspace, refused)
        if refused:
            _log.error("%s", self.problem)
        else:
            _log.warning("Slack accepts the token of workspace %s again.", self._workspace)
