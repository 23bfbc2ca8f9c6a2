"""Run the process `web`: Slack app, projector and deadline keeper, until SIGTERM."""

import asyncio
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from countersign.domain.errors import CountersignError, StoreUnavailable, WrongSettings
from countersign.domain.ids import ChannelId, UserId
from countersign.gc_tuning import settle_memory
from countersign.policy import file
from countersign.policy.evaluation import Rulebook
from countersign.settings import read
from countersign.store.audit_log import Ledger
from countersign.store.job_queue import Queue
from countersign.store.outbox import Outbox
from countersign.store.overview import Overview
from countersign.store.ownership import Side
from countersign.store.redis.connection import connect
from countersign.store.redis.durability import Replicas
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.store.worker_reports import take_over
from countersign.usecases import deadlines

from .audit import receipts
from .audit.auditor import Auditor, Keep
from .audit.sql_copy import SqlSink
from .settings import WebSettings
from .slack import health, http
from .slack.app import build, identify, slack_clients, socket_mode
from .slack.handlers.context import Desk
from .slack.handlers.grants import allowing
from .slack.people import channel_membership
from .slack.people.directory import Directory
from .slack.projector import audit_checkpoint, unreachable_reviewers
from .slack.projector.home_publisher import Homes
from .slack.projector.message_sync import Poster
from .slack.projector.projector import Projector

_TRY_AGAIN: Final = 2.0
_log = logging.getLogger("bot")


async def serve(settings: WebSettings, stop: asyncio.Event, ready: Callable[[int], None] = lambda port: None) -> None:
    """Run the service until `stop` is set; calls `ready` with the port when it takes payloads."""
    url = settings.redis_url.get_secret_value()
    owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    app_token = settings.slack_app_token.get_secret_value() if settings.slack_app_token else None
    secret = settings.slack_signing_secret.get_secret_value() if settings.slack_signing_secret else None
    async with AsyncExitStack() as stack:
        client = connect(url)
        stack.push_async_callback(client.aclose)
        store = Store(
            client,
            settings.namespace,
            Replicas(settings.redis_wait, timedelta(milliseconds=settings.redis_wait_ms)),
            Side.WEB,
        )
        await _patiently(store.check)
        clients = await stack.enter_async_context(
            slack_clients(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
        )
        identity = await identify(clients.reads)
        directory = Directory(clients.reads, identity.workspace)
        stack.push_async_callback(directory.close)
        rules = settings.rules(await _channel("APPROVALS_CHANNEL", settings.approvals_channel, directory))
        await _patiently(lambda: store.set_defaults(rules))
        await _patiently(lambda: store.set_workspace(identity.workspace))
        book = Rulebook() if settings.policy is None else file.read(settings.policy)
        await _patiently(lambda: store.set_rulebook(book))
        if not rules.reviewers:
            _log.warning("REVIEWERS names nobody: runs start only in channels that name reviewers themselves.")

        queue = await stack.enter_async_context(Queue(url, settings.namespace))
        wakeups = await stack.enter_async_context(Wakeups(store))
        poster = Poster(clients.posts, store, identity.workspace, identity.home, identity.names)
        admins = frozenset(UserId(i) for i in settings.admins)
        homes = Homes(
            store,
            Overview(store),
            directory,
            clients.reads,
            identity.workspace,
            poster.link,
            public_key=partial(receipts.public_if_made, settings.audit_key),
        )
        desk = Desk(store, queue, directory, clients.reads, admins, poster.link, homes)
        app = build(clients, identity, desk, secret)
        projector = Projector(
            store, Outbox(store), poster, owner, drawn=homes.changed, allow=allowing(store, queue, directory)
        )
        await stack.enter_async_context(_at_work("homes", homes.run()))
        await stack.enter_async_context(_at_work("projector", projector.run()))
        await stack.enter_async_context(_at_work("reports", take_over(store)))
        await stack.enter_async_context(
            _at_work("deadlines", deadlines.keep(store, queue, wakeups, directory.still_there))
        )
        await channel_membership.note(store, directory)
        await stack.enter_async_context(_at_work("rooms", channel_membership.keep(store, directory)))
        await stack.enter_async_context(_at_work("deserted", unreachable_reviewers.keep(store, directory, poster)))
        await stack.enter_async_context(
            _at_work("auditor", (await _auditor(settings, store, poster, directory, owner)).run())
        )
        stack.push_async_callback(desk.drain)
        connected: Callable[[], Awaitable[bool]] | None = None
        if app_token:
            connected = await stack.enter_async_context(socket_mode(app, app_token, clients.reads))
        asgi = http.http(
            None if app_token else app,
            lambda: health.problem_of(store, connected),
            lambda: health.measured(store),
            secret=secret or "",
        )
        port = await stack.enter_async_context(http.serving(asgi, settings.host, settings.port))
        if not app_token and (wrong := health.wrong_clock(await store.now(), datetime.now(UTC))):
            _log.error("%s", wrong)
        way = "Socket Mode" if app_token else f"signed HTTP at {http.EVENTS_PATH}"
        _log.info("Workspace %s, %s, port %d.", identity.workspace, way, port)
        ready(port)
        settle_memory()
        await stop.wait()
        _log.info("Told to stop: finishing what is in hand.")


async def _auditor(settings: WebSettings, store: Store, poster: Poster, directory: Directory, owner: str) -> Auditor:
    """Keeps the record, copies it where AUDIT_SQL_URL says, and posts its head where AUDIT_CHANNEL says."""
    ledger, sink = Ledger(store), None
    beside: list[Callable[[], Coroutine[None, None, None]]] = []
    if settings.audit_sql_url is not None:
        sink = SqlSink(ledger, settings.audit_sql_url.get_secret_value())
        beside.append(sink.run)
    if settings.audit_channel is not None:
        channel = await _channel("AUDIT_CHANNEL", settings.audit_channel, directory)
        beside.append(lambda: audit_checkpoint.keep(ledger, store, poster, channel))
    return Auditor(store, owner, keep=Keep(settings.keep_events, settings.keep_audit), sink=sink, beside=beside)


async def _channel(setting: str, name: str, directory: Directory) -> ChannelId:
    """The id of the channel; WrongSettings if the app is in no such channel. Waits while Slack does not answer."""
    if not name.startswith("#"):
        return ChannelId(name)
    while (rooms := await directory.rooms()) is None:
        _log.warning("Slack does not say which channels the app is in; asking again in %s s.", _TRY_AGAIN)
        await asyncio.sleep(_TRY_AGAIN)
    found = rooms.get(name.removeprefix("#"))
    if found is None:
        raise WrongSettings([f"{setting}: the app is not in {name}. Make the channel and /invite the app there."])
    return found


async def _patiently(call: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await call()
        except StoreUnavailable as away:
            _log.warning("%s Trying again in %s s; REDIS_URL says where it should be.", away, _TRY_AGAIN)
            await asyncio.sleep(_TRY_AGAIN)


@asynccontextmanager
async def _at_work(name: str, work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """The work goes on beside the block; if it ends by itself that is a bug, and the process ends loudly."""
    task = asyncio.create_task(work, name=name)

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            _log.critical("%s ended by itself; this process stops.", name, exc_info=task.exception())
            os.kill(os.getpid(), signal.SIGTERM)

    task.add_done_callback(ended)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_told_to_stop(settings: WebSettings) -> None:
    stop, ready = asyncio.Event(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serving = asyncio.create_task(serve(settings, stop, lambda port: ready.set()))
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
        logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        asyncio.run(_until_told_to_stop(settings))
    except CountersignError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
