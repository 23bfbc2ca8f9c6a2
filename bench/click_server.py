"""The cost of a click alone: our listeners on the real store over signed HTTP, without projector and deadlines.

Prints `port <n> <pid>`.
"""

import asyncio
import logging
import os
import signal
from contextlib import AsyncExitStack

from bot.settings import WebSettings
from bot.slack import http
from bot.slack.app import build, identify, slack_clients
from bot.slack.handlers.context import Desk
from bot.slack.people.directory import Directory
from bot.slack.projector.home_publisher import Homes
from countersign.gc_tuning import settle_memory
from countersign.settings import read
from countersign.store.job_queue import Queue
from countersign.store.overview import Overview
from countersign.store.redis.connection import connect
from countersign.store.store import Store


async def main(settings: WebSettings) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    assert settings.slack_signing_secret is not None, "the benchmark sets it"
    url = settings.redis_url.get_secret_value()

    async def no_problem() -> str:
        return ""

    async with AsyncExitStack() as stack:
        client = connect(url)
        stack.push_async_callback(client.aclose)
        clients = await stack.enter_async_context(
            slack_clients(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
        )
        identity = await identify(clients.reads)
        directory = Directory(clients.reads, identity.workspace)
        stack.push_async_callback(directory.close)
        queue = await stack.enter_async_context(Queue(url, settings.namespace))
        store = Store(client, settings.namespace)
        homes = Homes(store, Overview(store), directory, clients.reads, identity.workspace, lambda message: "")
        desk = Desk(store, queue, directory, clients.reads, frozenset(), lambda message: "", homes)
        secret = settings.slack_signing_secret.get_secret_value()
        app = build(clients, identity, desk, secret)
        asgi = http.http(app, no_problem, secret=secret)
        port = await stack.enter_async_context(http.serving(asgi, "127.0.0.1", 0))
        stack.push_async_callback(desk.drain)
        settle_memory()
        print(f"port {port} {os.getpid()}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    asyncio.run(main(read(WebSettings)))
