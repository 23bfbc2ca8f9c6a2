"""Serve HTTP on a port, with limits on its connections: number and idle time."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from countersign.domain.errors import WrongSettings

CONNECTIONS: Final = 512
"""Connections at once: Slack opens one for each thing that somebody does, and has its answer in milliseconds."""
WITHIN: Final = 10.0
"""Seconds for the head of a request, and as many for its body. Slack gives up after three."""
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Asgi = Callable[[Scope, Receive, Send], Awaitable[None]]


@asynccontextmanager
async def serving(
    asgi: Asgi, host: str, port: int, connections: int | None = None, setting: str = "PORT"
) -> AsyncIterator[int]:
    """Serve until the block ends; yields the port, a free one for 0.

    At most that many connections at once, else `CONNECTIONS`. WrongSettings if the port is taken, with the name of its
    setting.
    """
    try:
        listening = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as wrong:
        raise WrongSettings([f"HOST, {setting}: cannot listen on {host}:{port} ({wrong.strerror})."]) from None
    # asyncio sets it only where a socket's protocol is named. Without it the second part of an answer waits for the
    # client's delayed acknowledgement of the first, which takes 40 ms.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(
        asgi,
        http=_Connection if connections is None else type("_Limited", (_Connection,), {"most": connections}),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        timeout_graceful_shutdown=5,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]), name="http")
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        await task
        listening.close()


class _Connection(H11Protocol):
    """A connection that is closed if its next request is late, or one too many."""

    most: int = CONNECTIONS
    _hurry: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.abort()
        self._watch()

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._hurry is not None:
            self._hurry.cancel()

    def _watch(self) -> None:
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and self._hurry is not None:
            self._hurry.cancel()
            self._hurry = None
        elif not answering and self._hurry is None:
            self._hurry = self.loop.call_later(WITHIN, self.transport.abort)


class _Server(uvicorn.Server):
    """A server that leaves the signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
