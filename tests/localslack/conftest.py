"""Real clients of Slack against a local one: slack-sdk and Bolt run unchanged."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from slack_bolt.adapter.socket_mode.async_handler import AsyncSocketModeHandler
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack
from tests.localslack.slack_cases import Connect, client_of


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def client(slack: LocalSlack, session: aiohttp.ClientSession) -> AsyncWebClient:
    """A client that retries nothing, so that a test sees each reply."""
    return client_of(slack, session)


@pytest.fixture
def bolt(slack: LocalSlack, client: AsyncWebClient) -> AsyncApp:
    return AsyncApp(client=client, signing_secret=slack.signing_secret)


@pytest.fixture
async def connect(slack: LocalSlack) -> AsyncIterator[Connect]:
    """Connects Bolt apps by Socket Mode until the test is over."""
    handlers: list[AsyncSocketModeHandler] = []

    async def connected(app: AsyncApp) -> AsyncSocketModeHandler:
        handler = AsyncSocketModeHandler(app, slack.app_token, ping_interval=1)
        handlers.append(handler)
        before = len(slack.platform.socket.connections)
        await handler.connect_async()  # type: ignore[no-untyped-call]
        await slack.wait_connected(min(before + 1, 10))
        return handler

    yield connected
    for handler in handlers:
        tasks = [
            handler.client.message_processor,
            handler.client.message_receiver,
            handler.client.current_session_monitor,
        ]
        await handler.close_async()  # type: ignore[no-untyped-call]
        await asyncio.gather(*[task for task in tasks if task], return_exceptions=True)
