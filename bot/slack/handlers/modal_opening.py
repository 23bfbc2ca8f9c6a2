"""Open windows in time, and fill them when their content is ready.

The trigger that opens a window lives 3 s and works once, while a look-up at Slack or the store may take longer.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, Final

from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.errors import CountersignError, StoreUnavailable

from ..views import confirmation_text
from ..views.modal_parts import View, loading, not_counted
from ..views.slack_markup import drawn
from .context import SLACK_ERRORS, AlreadyTold, Reply

OPEN_WITHIN: Final = 1.0
"""Seconds to make a window before a small one opens instead; the trigger lives three seconds."""
_log = logging.getLogger(__name__)


async def open_modal(client: AsyncWebClient, body: dict[str, Any], making: Coroutine[Any, Any, View | Reply]) -> Reply:
    """Open the window that is being made, or reply with the reason against it.

    If making takes longer than OPEN_WITHIN, a small window opens first, and is then replaced by the finished window or
    by the error. An error shown this way is raised as AlreadyTold, so that it is not shown twice.
    """
    view = asyncio.ensure_future(making)
    await asyncio.wait({view}, timeout=OPEN_WITHIN)
    if view.done():
        made = view.result()
        if isinstance(made, Reply):
            return made
        return await open_at_once(client, body, made)
    small = await _opened(client, body, loading())
    try:
        made = await view
    except CountersignError as wrong:
        away = isinstance(wrong, StoreUnavailable)
        action = "command" if "command" in body else "click"
        why = confirmation_text.store_away(action) if away else drawn(wrong.sentence)
        if not await _fill(client, small, not_counted(why)):
            raise
        if away:
            _log.error("%s", wrong)
            return Reply("", False)
        raise AlreadyTold(*wrong.sentence) from wrong
    filled = await _fill(client, small, not_counted(made.text) if isinstance(made, Reply) else made)
    return Reply("") if filled else made if isinstance(made, Reply) else Reply(confirmation_text.NOT_OPENED, False)


async def open_at_once(client: AsyncWebClient, body: dict[str, Any], view: View) -> Reply:
    """Open a finished window, or reply that Slack did not open it."""
    return Reply("") if await _opened(client, body, view) else Reply(confirmation_text.NOT_OPENED, False)


async def _opened(client: AsyncWebClient, body: dict[str, Any], view: View) -> str:
    """Open a window and return its id; "" if Slack did not open it.

    A click inside a window replaces that window.
    """
    clicked = body.get("view") or {}
    if clicked.get("type") == "modal":
        return clicked["id"] if await _fill(client, clicked["id"], view) else ""
    try:
        async with asyncio.timeout(2.5):
            return str((await client.views_open(trigger_id=body["trigger_id"], view=view))["view"]["id"])
    except SLACK_ERRORS as error:
        why = error.response.data if isinstance(error, SlackApiError) else repr(error)
        _log.error("Slack did not open a window: %s", why)
        return ""


async def _fill(client: AsyncWebClient, window: str, view: View) -> bool:
    """Replace an open window; False if it is gone or Slack refuses."""
    if not window:
        return False
    try:
        async with asyncio.timeout(10):
            await client.views_update(view_id=window, view=view)
    except SLACK_ERRORS as error:
        _log.error("A window was not filled: %r", error)
        return False
    return True
