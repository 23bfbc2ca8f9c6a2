"""Opens modals, whose trigger lives 3 s and works once, so that nothing slow may come before; and Homes."""

import asyncio
import logging
from typing import Any

import aiohttp
from slack_bolt.async_app import AsyncAck
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.ids import UserId

from ..views.modal_parts import View
from .responses import Desk, Said, workspace_of

_NOT_OPENED = "Slack did not open the window in time. Nothing was changed; please try again."
_log = logging.getLogger(__name__)


async def open_modal(client: AsyncWebClient, body: dict[str, Any], view: View) -> Said:
    """Says nothing if the modal is open, else why not."""
    try:
        async with asyncio.timeout(2.5):
            await client.views_open(trigger_id=body["trigger_id"], view=view)
    except SlackApiError as refused:
        _log.error("Slack did not open a window: %s", refused.response.data)
        return Said(_NOT_OPENED, False)
    except (aiohttp.ClientError, TimeoutError, OSError) as away:
        _log.error("Slack did not open a window: %s", away or type(away).__name__)
        return Said(_NOT_OPENED, False)
    return Said("")


async def on_home(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Somebody opened the app; its other tab holds their direct messages."""
    await ack()
    event = body["event"]
    if event.get("tab") == "home":
        await desk.homes.opened(UserId(event["user"]), workspace_of(body))
