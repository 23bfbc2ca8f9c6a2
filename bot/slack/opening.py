"""Opens modals: a trigger lives 3 s and works once, so nothing slow may come before this."""

import asyncio
import logging
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.answering import Said
from bot.slack.modals import View

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
