"""Socket Mode: up to ten WebSockets, each payload to exactly one of them.

What broke without Slack's hearing of it is half open: it counts as a connection and gets its share of the payloads.
"""

import asyncio
import contextlib
import json
import secrets
from collections.abc import Callable
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from .change_feed import ChangeFeed
from .errors import Ack, Json

# A longer frame from the app closes its connection with 1009: revelrylabs/slax #614, slack-go/slack #1196
SOCKET_FRAME_BYTES = 20_480
# https://docs.slack.dev/apis/events-api/using-socket-mode#connections
SOCKET_CONNECTIONS = 10
# A connection whose end never reached Slack still gets payloads: slackapi/python-slack-sdk #1940
HALF_OPEN_SECONDS = 3600.0
# How long a closing connection waits for its other end, which may be a process that hangs.
CLOSE_SECONDS = 0.5


class SocketMode:
    """Give out tickets, hold the connections, and send envelopes to them in turn."""

    def __init__(
        self,
        app_id: str,
        ack_seconds: float,
        changes: ChangeFeed,
        problem: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        """`problem` is told what Slack would close a connection for."""
        self.connections: list[web.WebSocketResponse] = []
        self._app_id = app_id
        self._ack_seconds = ack_seconds
        self._changes = changes
        self._problem = problem
        self._clock = clock
        self._half_open: list[float] = []
        self._tickets: set[str] = set()
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self._turn = 0

    @property
    def half_open(self) -> int:
        """Connections that Slack still counts, and nobody reads."""
        now = self._clock()
        self._half_open = [until for until in self._half_open if until > now]
        return len(self._half_open)

    def ticket(self) -> str:
        """A secret that opens one connection."""
        ticket = secrets.token_urlsafe(16)
        self._tickets.add(ticket)
        return ticket

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """One connection from its hello to its end."""
        ticket = request.query.get("ticket", "")
        if ticket not in self._tickets:
            raise web.HTTPUnauthorized(text="invalid ticket")
        self._tickets.discard(ticket)
        # aiohttp refuses what is as long as its limit; Slack only what is longer.
        socket = web.WebSocketResponse(heartbeat=30, timeout=CLOSE_SECONDS, max_msg_size=SOCKET_FRAME_BYTES + 1)
        await socket.prepare(request)
        if len(self.connections) + self.half_open >= SOCKET_CONNECTIONS:
            await socket.send_json({"type": "disconnect", "reason": "too_many_websockets"})
            await socket.close()
            return socket
        self.connections.append(socket)
        self._changes.ring()
        try:
            await socket.send_json(self._hello())
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    self._acked(message.data)
                elif getattr(message.data, "code", None) == WSCloseCode.MESSAGE_TOO_BIG:
                    self._problem(
                        f"The app sent a frame of over {SOCKET_FRAME_BYTES:,} bytes and loses its connection."
                    )
        except ConnectionError:
            pass
        finally:
            self.connections.remove(socket)
            self._changes.ring()
        return socket

    async def send(
        self, kind: str, payload: Json, attempt: int = 0, reason: str = "", accepts_response: bool = True
    ) -> Ack:
        """One envelope to one connection.

        Kind is `interactive`, `slash_commands` or `events_api`.
        """
        registered = len(self.connections) + self.half_open
        if not registered:
            return Ack.failed("app_not_connected", "the app is not connected")
        envelope: Json = {
            "envelope_id": secrets.token_hex(16),
            "type": kind,
            "payload": payload,
            "accepts_response_payload": accepts_response,
        }
        if kind == "events_api":
            envelope |= {"retry_attempt": attempt, "retry_reason": reason}
        self._turn += 1
        chosen = self._turn % registered
        socket = self.connections[chosen] if chosen < len(self.connections) else None
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[envelope["envelope_id"]] = future
        try:
            async with asyncio.timeout(self._ack_seconds):
                with contextlib.suppress(ConnectionError):
                    if socket is not None:
                        await socket.send_json(envelope)
                return Ack(True, await future)
        except TimeoutError:
            return Ack.failed("operation_timeout", "timeout")
        finally:
            del self._waiting[envelope["envelope_id"]]

    async def ask_to_reconnect(self, reason: str = "refresh_requested", count: int | None = None) -> None:
        """Send `disconnect` frames, to the oldest connections first.

        The reason is warning, refresh_requested or link_disabled.
        """
        for socket in list(self.connections)[:count]:
            with contextlib.suppress(ConnectionError):
                await socket.send_json({"type": "disconnect", "reason": reason, "debug_info": {"host": "local"}})

    async def close(self) -> None:
        """Close every connection as a server does that goes away."""
        await asyncio.gather(*[socket.close(code=1001) for socket in self.connections])

    def cut(self, *, half_open: bool = False) -> int:
        """Break every connection without a closing frame, as a broken network does.

        With `half_open` Slack does not hear of it for an hour. Return how many.
        """
        cut = list(self.connections)
        if half_open:
            self._half_open += [self._clock() + HALF_OPEN_SECONDS] * len(cut)
        for socket in cut:
            transport = socket._req.transport if socket._req is not None else None
            if transport is not None:
                transport.abort() if hasattr(transport, "abort") else transport.close()
        return len(cut)

    def _hello(self) -> Json:
        return {
            "type": "hello",
            "num_connections": len(self.connections) + self.half_open,
            "debug_info": {"host": "local", "build_number": 1, "approximate_connection_time": 18060},
            "connection_info": {"app_id": self._app_id},
        }

    def _acked(self, text: str) -> None:
        try:
            ack = json.loads(text)
        except ValueError:
            return
        future = self._waiting.get(str(ack.get("envelope_id")))
        if future is not None and not future.done():
            future.set_result(ack.get("payload"))
