"""Keep acks within the size limit of Socket Mode.

In Socket Mode an ack is one frame. Slack closes a connection that sends a frame of over 20,480 bytes (1009), and loses
the ack and everything else in transit. So for a large window the ack carries a small one, which is then filled over
HTTP, where a view may have 250,000 bytes. A long text follows the ack as a message (R7).
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

from slack_bolt.async_app import AsyncAck
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError

from ..views import modal_parts
from .ack_deadline import tell
from .context import SLACK_ERRORS, Reply, Services

LARGEST: Final = 20_000
"""Bytes of an ack's content; its frame also carries the envelope's id."""
_LOOKS: Final = 20
_PAUSE: Final = 0.25
"""Seconds between checks whether Slack shows the small window; five checks in all."""
_log = logging.getLogger(__name__)


class Ack(AsyncAck):
    """Bolt's ack, bounded in size, with a future that is done once it was called."""

    def __init__(self, ack: AsyncAck, acked: "asyncio.Future[None]", services: Services, body: dict[str, Any]) -> None:
        self._ack = ack
        self._acked = acked
        self._services = services
        self._body = body

    async def __call__(self, **content: Any) -> BoltResponse:  # type: ignore[override]  # we pass names only
        follows: Callable[[], Awaitable[None]] | None = None
        if size_of(content) > LARGEST:
            content, follows = self._small(content)
        response = await self._ack(**content)
        if not self._acked.done():
            self._acked.set_result(None)
        if follows is not None:
            await follows()
        return response

    def _small(self, content: dict[str, Any]) -> tuple[dict[str, Any], Callable[[], Awaitable[None]] | None]:
        """Return the small content to ack, and the function that delivers the rest."""
        if (view := content.get("view")) is not None:
            name = secrets.token_hex(16)
            return {**content, "view": {**modal_parts.loading(), "external_id": name}}, partial(self._fill, name, view)
        if (errors := content.get("errors")) is not None:
            return {**content, "errors": _fitting(errors)}, None
        reply = Reply(content.get("text", ""), blocks=content.get("blocks"))
        return {}, partial(tell, self._services.client, self._body, reply)

    async def _fill(self, name: str, view: modal_parts.View) -> None:
        """Put the view into the small window.

        The window is found by its external id, which Slack knows once it has processed the ack.
        """
        for _ in range(_LOOKS):
            try:
                await self._services.client.views_update(external_id=name, view=view)
            except SlackApiError as refused:
                if refused.response.get("error") != "not_found":
                    _log.error("A window was not filled: %s", refused.response.data)
                    return
            except SLACK_ERRORS as lost:
                _log.error("A window was not filled: %r", lost)
                return
            else:
                return
            await asyncio.sleep(_PAUSE)
        _log.error("A window was not filled: Slack never showed the small window.")


def size_of(content: dict[str, Any]) -> int:
    """Return the bytes of an ack's content as slack-sdk writes it: in ASCII."""
    return len(json.dumps(content))


def _fitting(errors: dict[str, str]) -> dict[str, str]:
    """Return the first input errors of a window, as many as an ack holds.

    The others are shown when the window is sent again.
    """
    shown: dict[str, str] = {}
    for block, sentence in errors.items():
        longer = {**shown, block: sentence[:1000]}
        if size_of(longer) > LARGEST - 100:
            break
        shown = longer
    return shown
