"""The one port of `web`: `/healthz` and `/metrics`, and `/slack/events` where Slack calls us over signed HTTP."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import uvicorn
from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
from slack_bolt.adapter.asgi.http_request import AsgiHttpRequest
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.response import BoltResponse

from bot import metrics
from bot.core.errors import CountersignError, StoreFull, WrongSettings
from bot.core.ports import Store

_CLOCKS_APART: Final = timedelta(minutes=4)
EVENTS_PATH: Final = "/slack/events"

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


def http(
    app: AsyncApp | None,
    problem: Callable[[], Awaitable[str]],
    measured: Callable[[], Awaitable[bytes]] | None = None,
) -> Asgi:
    """`/healthz`, `/metrics` if there is something `measured`, and `/slack/events` if an app is given.

    `problem` says what is wrong, "" if nothing is; `measured` gives what Prometheus reads.
    """
    events = _Events(app, path=EVENTS_PATH) if app is not None else None

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz" and scope["method"] in ("GET", "HEAD"):
            wrong = await problem()
            await _plain(send, 503 if wrong else 200, wrong or "ok")
        elif measured is not None and scope["path"] == "/metrics" and scope["method"] in ("GET", "HEAD"):
            await _plain(send, 200, await measured(), metrics.CONTENT_TYPE)
        elif events is not None:
            await events(scope, receive, send)
        else:
            await _plain(send, 404, "Not Found")

    return answer


class _Events(AsyncSlackRequestHandler):
    """Bolt's adapter, which reads a form's payload eight times as fast: to undo its escapes was a sixth of a click."""

    async def dispatch(self, request: AsgiHttpRequest) -> BoltResponse:
        signed = await request.get_raw_body()
        found = AsyncBoltRequest(
            body=payload(signed) or signed, query=request.query_string, headers=request.get_headers()
        )
        found.raw_body = signed  # what Slack's signature is of; Bolt checks it next
        return await self.app.async_dispatch(found)


def payload(form: str) -> str | None:
    """The JSON in a form that has a payload and nothing else, as `parse_qsl` reads it; None for anything unusual."""
    name, _, value = form.partition("=")
    if name != "payload" or "&" in value or "\\" in value:
        return None
    try:
        escaped = value.replace("+", " ").encode("ascii").replace(b"%", rb"\x")
        found = escaped.decode("unicode_escape").encode("latin-1").decode()
    except UnicodeError:
        return None
    return found if found.startswith("{") else None


async def problem_of(store: Store, connected: Callable[[], Awaitable[bool]] | None) -> str:
    """What is wrong with this process, for `/healthz`; "" if nothing is. `connected`: of Socket Mode, None for HTTP."""
    try:
        async with asyncio.timeout(2):
            now = await store.takes()
    except StoreFull as full:
        return str(full)
    except (CountersignError, TimeoutError):
        return "The store (Redis) does not answer."
    if connected is None:
        return wrong_clock(now, datetime.now(UTC))
    return "" if await connected() else "There is no Socket Mode connection to Slack."


def wrong_clock(theirs: datetime, ours: datetime) -> str:
    """Why what Slack signs is refused: it is valid for five minutes by this machine's clock. "" if that is right."""
    apart = ours - theirs
    if abs(apart) < _CLOCKS_APART:
        return ""
    return (
        f"The clock of this machine is {round(abs(apart) / timedelta(minutes=1))} minutes "
        f"{'ahead of' if apart > timedelta(0) else 'behind'} that of Redis. Whatever Slack sends is refused as too old "
        "if this one is wrong. Set it right; nothing needs to be started again."
    )


async def measured(store: Store) -> bytes:
    """What Prometheus reads; without what waits if the store does not say."""
    try:
        async with asyncio.timeout(2):
            return metrics.exposition(await store.standing())
    except (CountersignError, TimeoutError):
        return metrics.exposition()


@asynccontextmanager
async def serving(asgi: Asgi, host: str, port: int) -> AsyncIterator[int]:
    """Serves until the block ends; yields the port, which is a free one for 0. WrongSettings if it is taken."""
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as wrong:
        raise WrongSettings([f"HOST, PORT: cannot listen on {host}:{port} ({wrong.strerror})."]) from None
    config = uvicorn.Config(asgi, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=5)
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]), name="http")
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listening.close()


class _Server(uvicorn.Server):
    """Leaves the signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _plain(send: Send, status: int, text: str | bytes, kind: str = "text/plain; charset=utf-8") -> None:
    body = text.encode() if isinstance(text, str) else text
    headers = [(b"content-type", kind.encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
