"""Blocks and views that several tests use."""

from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack

Json = dict[str, Any]
Connect = Callable[[AsyncApp], Awaitable[AsyncSocketModeHandler]]


def client_of(slack: LocalSlack, session: aiohttp.ClientSession) -> AsyncWebClient:
    """A client that retries nothing, so that a test sees each reply."""
    return AsyncWebClient(slack.bot_token, base_url=slack.api_url, session=session, retry_handlers=[])


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def section(text: str, **more: Any) -> Json:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}, **more}


def button(text: str, action_id: str, **more: Any) -> Json:
    return {"type": "button", "text": plain(text), "action_id": action_id, **more}


def actions(*elements: Json, **more: Any) -> Json:
    return {"type": "actions", "elements": list(elements), **more}


APPROVE = button("Approve", "approve", value="r-1", style="primary")
CARD = [section("may I?"), actions(APPROVE, button("Reject", "reject", value="r-1"), block_id="decide")]


def field(block_id: str, label: str, element: Json, **more: Any) -> Json:
    return {"type": "input", "block_id": block_id, "label": plain(label), "element": element, **more}


TEXT = {"type": "plain_text_input", "action_id": "text"}


def modal(*blocks: Json, **more: Any) -> Json:
    given = {"type": "modal", "callback_id": "reason", "title": plain("Why?"), "submit": plain("Send")}
    return {**given, "blocks": list(blocks), **more}


MODAL = modal(field("why", "Reason", TEXT))
