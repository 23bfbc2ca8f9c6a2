"""Run the process `web`: Slack app, projector and deadline keeper, until SIGTERM."""

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Final, cast

from slack_bolt.async_app import AsyncApp

from countersign import logs, ops_port
from countersign.domain.errors import CountersignError
from countersign.domain.pauses import doubling
from countersign.domain.slash_commands import NAMES
from countersign.http_port import Asgi
from countersign.process_settings import read
from countersign.python_gc import settle_memory
from countersign.store.redis.connection import connect
from countersign.usecases.store_outages import patient

from . import multi_workspace
from .api import endpoints as api
from .api.port import ApiPort
from .pages.site import Pages
from .settings import WebSettings
from .slack import health, http
from .slack.app import TokenRefused, slack_clients, socket_mode
from .worker_areas import url_of
from .workspace import Workspace, opened, store_of

_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
_log = logging.getLogger("bot")


async def serve(
    settings: WebSettings,
    stop: asyncio.Event,
    ready: Callable[[int], None] = lambda port: None,
    stop_now: asyncio.Event | None = None,
) -> None:
    """Run the service until `stop` is set; calls `ready` with its port.

    After `stop` it still accepts payloads for `STOP_DELAY`, unless `stop_now` is set too.
    """
    NAMES.agent = settings.agent_command
    NAMES.approvals = settings.approvals_command
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    app_token = settings.slack_app_token.get_secret_value() if settings.slack_app_token else None
    secret = settings.slack_signing_secret.get_secret_value() if settings.slack_signing_secret else None
    async with AsyncExitStack() as stack:
        state = health.Health()
        stack.push_async_callback(state.aclose)
        await stack.enter_async_context(ops_port.served(state, settings.host, settings.ops_port))
        client = connect(settings.redis_url.get_secret_value())
        stack.push_async_callback(client.aclose)
        state.store = store = store_of(settings, client, settings.namespace)
        await patient(store, hint="REDIS_URL says where it should be.").check()
        state.waits_for = "Slack"
        pages: dict[str, Asgi] = {}
        port = ApiPort()
        state.streams = lambda: port.streams
        number = await stack.enter_async_context(
            http.serving(port, settings.host, settings.api_port, api.CONNECTIONS, "API_PORT")
        )
        port.url = settings.api_url or url_of(settings.host, number)
        _log.info("Workers and programs call port %d.", number)
        reviewing = Pages.of(settings, store)
        if reviewing is not None:
            site = http.serving(reviewing, settings.host, settings.pages_port)
            number = await stack.enter_async_context(site)
            _log.info("People review at %s, port %d.", settings.public_url, number)
        if settings.slack_bot_token is None:
            installed = await stack.enter_async_context(
                multi_workspace.installed(settings, store, owner, port, reviewing)
            )
            app, clients, pages, who = (
                cast(AsyncApp, installed.registry),
                installed.clients,
                installed.pages,
                "By OAuth",
            )
            state.stores = lambda: tuple(installed.stores.values())
            state.opened, state.notes = installed.registry.all_opened, installed.registry.problems
        else:
            clients = await stack.enter_async_context(
                slack_clients(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
            )
            workspace = await _once_accepted(
                lambda: stack.enter_async_context(opened(settings, store, clients, owner, port, pages=reviewing))
            )
            state.stores = lambda: (store,)
            state.refused, state.notes = lambda: workspace.answers.problem, lambda: [workspace.app.limited]
            app, who = workspace.app, f"Workspace {workspace.identity.workspace}"
        if app_token:
            state.connected = await stack.enter_async_context(socket_mode(app, app_token, clients.reads))
        asgi = http.http(None if app_token else app, secret=secret or "", pages=pages)
        events_port = await stack.enter_async_context(http.serving(asgi, settings.host, settings.port))
        if not app_token and (wrong := health.wrong_clock(await store.now(), datetime.now(UTC))):
            _log.error("%s", wrong)
        way = "Socket Mode" if app_token else f"signed HTTP at {http.EVENTS_PATH}"
        _log.info("%s, %s, port %d.", who, way, events_port)
        settle_memory()
        state.waits_for = ""
        ready(events_port)
        await stop.wait()
        state.stopping = True
        await _pause(settings.stop_delay, stop_now or stop)
        _log.info("Stopping: finishing the running work.")
        port.stop()


async def _pause(span: timedelta, ended: asyncio.Event) -> None:
    """Wait for this long, or until the event."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(span.total_seconds()):
            await ended.wait()


async def _once_accepted(open_workspace: Callable[[], Awaitable[Workspace]]) -> Workspace:
    """Open the workspace, retrying while Slack refuses its token only for now (R40)."""
    pauses = doubling(_FIRST_PAUSE, _LONGEST_PAUSE)
    while True:
        try:
            return await open_workspace()
        except TokenRefused as refused:
            if refused.final:
                raise
            pause = next(pauses)
            _log.warning("%s Trying again in %.0f s.", refused.problems[0], pause)
        await asyncio.sleep(pause)


async def _until_told_to_stop(settings: WebSettings) -> None:
    stop, stop_now, ready = asyncio.Event(), asyncio.Event(), asyncio.Event()

    def hear(number: signal.Signals) -> None:
        if number is signal.SIGINT or stop.is_set():  # Ctrl-C, or told twice
            stop_now.set()
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, hear, number)
    serving = asyncio.create_task(serve(settings, stop, lambda port: ready.set(), stop_now))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not ready.is_set():
        # It still waits for Redis or Slack, and holds nothing that must be finished.
        serving.cancel()
    stopping.cancel()
    first, _ = await asyncio.gather(serving, stopping, return_exceptions=True)
    if isinstance(first, Exception):
        raise first


def main(arguments: Sequence[str] = ()) -> int:
    """The exit status: 0 when told to stop, 2 when there is something to fix first."""
    try:
        settings = read(WebSettings)
        logs.set_up(settings.log_level, settings.log_format)
        asyncio.run(_until_told_to_stop(settings))
    except CountersignError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
