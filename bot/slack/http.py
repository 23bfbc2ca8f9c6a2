"""The one port of `web`: `/healthz` and `/metrics`, and `/slack/events` where Slack calls us over signed HTTP.

Whoever reaches the port may send anything. So a connection that begins no request in time is closed, there are only so
many of them, and of a body no more is read than Slack sends, in so much time; nothing of it is looked into before its
signature was found right.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any, Final

from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
from slack_bolt.adapter.asgi.http_request import AsgiHttpRequest
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.signature import SignatureVerifier

from countersign import metrics

from . import connection_limits
from .connection_limits import Asgi, Receive, Scope, Send
from .connection_limits import serving as serving

EVENTS_PATH: Final = "/slack/events"
LARGEST: Final = 4 * 2**20
"""Bytes of a body: a view has at most 250,000 characters, and what people wrote into it less, of eight bytes each."""
ROOM: Final = 64 * 2**20
"""Bytes of all bodies that are being read."""
_SIGNATURE: Final = re.compile(r"v0=[0-9a-f]{64}")
_TIMESTAMP: Final = re.compile(r"[0-9]{1,12}")
_CLOSING: Final = (b"connection", b"close")
_log = logging.getLogger(__name__)


def http(
    app: AsyncApp | None,
    problem: Callable[[], Awaitable[str]],
    measured: Callable[[], Awaitable[bytes]] | None = None,
    *,
    secret: str = "",
) -> Asgi:
    """`/healthz`, `/metrics` if there is something `measured`, and `/slack/events` if an app is given.

    `secret` is what Slack signs for the app with. `problem` says what is wrong, "" if nothing is; `measured` gives what
    Prometheus reads.
    """
    events = None if app is None else _Signed(app, SignatureVerifier(secret))

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/healthz" and scope["method"] in ("GET", "HEAD"):
            wrong = await problem()
            await _plain(send, 503 if wrong else 200, wrong or "ok")
        elif measured is not None and scope["path"] == "/metrics" and scope["method"] in ("GET", "HEAD"):
            await _plain(send, 200, await measured(), metrics.CONTENT_TYPE)
        elif events is not None and scope["path"] == EVENTS_PATH:
            await events(scope, receive, send)
        else:
            await _plain(send, 404, "Not Found")

    return answer


class _Signed:
    """Takes what Slack signed, and hands it to Bolt."""

    def __init__(self, app: AsyncApp, verifier: SignatureVerifier) -> None:
        self._events = _Events(app, path=EVENTS_PATH)
        self._verifier = verifier
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._signed(scope, receive)
        except _Refused as refused:
            await _plain(send, refused.status, str(refused), more=(_CLOSING,))
            return
        if body is None:
            return
        if _asks_for_our_certificate(body):
            await _plain(send, 200, "")
            return

        async def whole() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        try:
            await self._events(scope, whole, send)
        except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as wrong:  # from Bolt
            _log.warning("Slack signed what is no payload (%s); it was refused.", type(wrong).__name__)
            await _plain(send, 400, "This is no payload that Slack sends.")

    async def _signed(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, whose signature is right; None if whoever sends it is gone. _Refused for anything else."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        signature = headers.get(b"x-slack-signature", "")
        timestamp = headers.get(b"x-slack-request-timestamp", "")
        length = headers.get(b"content-length", "0")
        if scope["method"] != "POST":
            raise _Refused(405, "Slack sends POST.")
        if not length.isdecimal() or int(length[:20]) > LARGEST:
            raise _Refused(413, f"At most {LARGEST:,} bytes.")
        plausible = _SIGNATURE.fullmatch(signature) and _TIMESTAMP.fullmatch(timestamp)
        try:
            async with asyncio.timeout(connection_limits.WITHIN):
                body = await self._body(receive)
        except TimeoutError:
            raise _Refused(408, "The body took too long.") from None
        if body is None or _asks_for_our_certificate(body):
            return body
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise _Refused(400, "This is no text.") from None
        if not plausible or not self._verifier.is_valid(text, timestamp, signature):
            raise _Refused(401, "This is not signed by Slack, or long ago.")
        return body

    async def _body(self, receive: Receive) -> bytes | None:
        found = bytearray()
        held = 0
        try:
            while True:
                message = await receive()
                if message["type"] != "http.request":
                    return None
                part = message.get("body", b"")
                found += part
                held += len(part)
                self._held += len(part)
                if len(found) > LARGEST:
                    raise _Refused(413, f"At most {LARGEST:,} bytes.")
                if self._held > ROOM:
                    raise _Refused(503, "Too much is being sent here; please try again.")
                if not message.get("more_body", False):
                    return bytes(found)
        finally:
            self._held -= held


class _Refused(Exception):
    """A request that goes no further; its text is for whoever sent it."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        super().__init__(words)


def _asks_for_our_certificate(body: bytes) -> bool:
    """Slack looks at it now and then, without a signature; nothing is done about it."""
    return len(body) < 1000 and b"ssl_check=1" in body.split(b"&")


class _Events(AsyncSlackRequestHandler):
    """Bolt's adapter, which reads a form's payload eight times as fast: to undo its escapes was a sixth of a click."""

    async def dispatch(self, request: AsgiHttpRequest) -> BoltResponse:
        signed = await request.get_raw_body()
        found = AsyncBoltRequest(
            body=payload(signed) or signed, query=request.query_string, headers=request.get_headers()
        )
        found.raw_body = signed  # what Slack's signature is of; Bolt checks it again
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


async def _plain(
    send: Send,
    status: int,
    text: str | bytes,
    kind: str = "text/plain; charset=utf-8",
    more: Sequence[tuple[bytes, bytes]] = (),
) -> None:
    body = text.encode() if isinstance(text, str) else text
    headers = [(b"content-type", kind.encode()), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
