"""A wire to Redis or to `web`: it can be cut, held still, or lose the reply to a request that arrived."""

import asyncio
from collections import deque
from typing import Final, Self

_HOST: Final = "127.0.0.1"


class Wire:
    """Listens on a port of its own and passes everything to the server's, until told otherwise."""

    def __init__(self, name: str, server_port: int, distance: float = 0.0) -> None:
        """`distance`: seconds that each direction takes."""
        self.name = name
        self.distance = distance
        self.port = 0
        self.lost = 0
        """Replies that were dropped so far."""
        self._server_port = server_port
        self._connections: set[_Connection] = set()
        self._armed = 0
        self._only = b""
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), _HOST, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await self._server.wait_closed()

    def cut(self) -> int:
        """Close every connection; returns how many there were."""
        connections = list(self._connections)
        for connection in connections:
            connection.close()
        return len(connections)

    def lose(self, replies: int, only: bytes = b"") -> None:
        """The next so many requests (that contain `only`) arrive, and their connection ends instead of the reply."""
        self._armed, self._only = replies, only

    def hold(self, still: bool) -> None:
        """Nothing passes while held; nothing is lost by that."""
        for connection in self._connections:
            connection.hold(still)

    def half_open(self) -> "list[_Connection]":
        """The server's sides are gone, and nobody tells the process: what it sends is lost. Close them some time."""
        connections = list(self._connections)
        for connection in connections:
            connection.forget()
        return connections

    async def dial(self, connection: "_Connection") -> None:
        """Connect to the server and pass on what came meanwhile."""
        try:
            loop = asyncio.get_running_loop()
            transport, _ = await loop.create_connection(lambda: _Back(connection), _HOST, self._server_port)
        except OSError:
            connection.close()
            return
        connection.connected(transport)

    def doomed(self, request: bytes) -> bool:
        """Whether the reply to this request is to be lost."""
        if not self._armed or self._only not in request:
            return False
        self._armed -= 1
        self.lost += 1
        return True


class _Connection(asyncio.Protocol):
    """The process's side."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._front: asyncio.Transport | None = None
        self._back: asyncio.Transport | None = None
        self._before: list[bytes] = []
        self._doomed = False
        self._forgotten = False
        self._on_the_way: deque[tuple[asyncio.Transport, bytes]] = deque()
        self._dialling: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._front = transport
        self._wire._connections.add(self)
        self._dialling = asyncio.create_task(self._wire.dial(self))

    def connected(self, back: asyncio.Transport) -> None:
        self._back = back
        if self._front is None or self._front.is_closing():
            back.abort()
            return
        for data in self._before:
            back.write(data)
        self._before.clear()

    def data_received(self, data: bytes) -> None:
        self._doomed = self._doomed or self._wire.doomed(data)
        if self._forgotten:
            return
        if self._back is None:
            self._before.append(data)
        else:
            self._write(self._back, data)

    def replied(self, data: bytes) -> None:
        if self._doomed:
            self.close()
        elif self._front is not None:
            self._write(self._front, data)

    def _write(self, to: asyncio.Transport, data: bytes) -> None:
        if not self._wire.distance:
            to.write(data)
            return
        self._on_the_way.append((to, data))
        asyncio.get_running_loop().call_later(self._wire.distance, self._arrive)

    def _arrive(self) -> None:
        to, data = self._on_the_way.popleft()
        if not to.is_closing():
            to.write(data)

    def forget(self) -> None:
        """The server's side ends, and this one goes on as if nothing had been."""
        self._forgotten = True
        if self._back is not None:
            self._back.abort()

    def ended_behind(self) -> None:
        if not self._forgotten:
            self.close()

    def hold(self, still: bool) -> None:
        for transport in (self._front, self._back):
            if transport is not None and not transport.is_closing():
                transport.pause_reading() if still else transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._wire._connections.discard(self)
        if self._back is not None:
            self._back.abort()

    def close(self) -> None:
        for transport in (self._front, self._back):
            if transport is not None:
                transport.abort()


class _Back(asyncio.Protocol):
    """The server's side."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def data_received(self, data: bytes) -> None:
        self._connection.replied(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.ended_behind()
