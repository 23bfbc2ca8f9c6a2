"""Bolt alone: one process with an empty listener for every button.

It stands behind Bolt's own adapter and our uvicorn. WAY is `socket`, `http`, `quiet` (HTTP, prints nothing) or
`replacing` (the same, and sends the clicked card back through the click's response URL). Prints `port <n> <pid>`, and
`entered <n> <monotonic ns>` for each click as its listener is entered.
"""

import asyncio
import os
import re
import signal
import time
from typing import Any

from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_sdk.webhook.async_client import AsyncWebhookClient

from bot.slack import http
from bot.slack.app import slack_clients, socket_mode
from countersign.python_gc import settle_memory


async def main(way: str, token: str, api_url: str, app_token: str, secret: str) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    entered = 0

    async def empty(ack: AsyncAck) -> None:
        await ack()

    async def printing(ack: AsyncAck) -> None:
        nonlocal entered
        at = time.monotonic_ns()
        await ack()
        print(f"entered {entered} {at}", flush=True)
        entered += 1

    async def replacing(ack: AsyncAck, body: dict[str, Any]) -> None:
        await ack()
        card = {"replace_original": True, "text": body["message"]["text"], "blocks": body["message"]["blocks"]}
        await AsyncWebhookClient(body["response_url"], session=clients.reads.session).send_dict(card)

    async with slack_clients(token, api_url) as clients:
        app = AsyncApp(client=clients.reads, signing_secret=secret)
        app.action(re.compile(r""))({"quiet": empty, "replacing": replacing}.get(way, printing))
        if way == "socket":
            async with socket_mode(app, app_token, clients.reads):
                print(f"port 0 {os.getpid()}", flush=True)
                await stop.wait()
        else:
            async with http.serving(AsyncSlackRequestHandler(app, path=http.EVENTS_PATH), "127.0.0.1", 0) as port:
                settle_memory()
                print(f"port {port} {os.getpid()}", flush=True)
                await stop.wait()


if __name__ == "__main__":
    names = ("WAY", "SLACK_BOT_TOKEN", "SLACK_API_URL", "SLACK_APP_TOKEN", "SLACK_SIGNING_SECRET")
    asyncio.run(main(*(os.environ[name] for name in names)))
