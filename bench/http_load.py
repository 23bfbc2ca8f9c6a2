"""Send prepared HTTP requests over many connections; a port that takes them.

Both cost far less CPU than any server here.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


@dataclass(slots=True)
class Load:
    """The answers to some requests.

    `busy`: the share of its time that the sender itself computed, 0 to 1.
    """

    seconds: float = 0.0
    busy: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.statuses.total() / self.seconds


class _Connection(asyncio.Protocol):
    """One connection: the next request goes out as soon as the answer to the last one is whole."""

    def __init__(self, requests: Iterator[bytes], load: Load) -> None:
        self._requests = requests
        self._load = load
        self._buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def next(self) -> None:
        """Send the next request, or be done."""
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
        elif not self.done.done():
            self.done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(_HEAD_END)
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return
        self._buffer = b""
        self._load.statuses[int(head[9:12])] += 1
        self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError("The server closed the connection."))

    def close(self) -> None:
        self._transport.close()


async def send(port: int, requests: list[bytes], *, at_once: int) -> Load:
    """Send each request once to this port of loopback.

    `at_once` connections are opened before, and are busy all the time.
    """
    load, left, loop = Load(), iter(requests), asyncio.get_running_loop()
    hands = [
        (await loop.create_connection(lambda: _Connection(left, load), "127.0.0.1", port))[1] for _ in range(at_once)
    ]
    begun, computed = time.perf_counter(), time.process_time()
    for hand in hands:
        hand.next()
    try:
        await asyncio.gather(*(hand.done for hand in hands))
    finally:
        load.seconds = time.perf_counter() - begun
        load.busy = (time.process_time() - computed) / load.seconds
        for hand in hands:
            hand.close()
    return load


class Taken:
    """The requests that came to a port, which answers `ok` to each."""

    def __init__(self) -> None:
        self.port = 0
        self._count = 0
        self._came = asyncio.Condition()

    async def wait(self, count: int) -> None:
        """Wait until this many arrived since the last wait."""
        async with self._came:
            await self._came.wait_for(lambda: self._count >= count)
            self._count -= count

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it is closed."""
        try:
            while head := await reader.readuntil(_HEAD_END):
                length = _LENGTH.search(head)
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                async with self._came:
                    self._count += 1
                    self._came.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def taking() -> AsyncIterator[Taken]:
    """A free port of loopback, open as long as the block."""
    taken = Taken()
    server = await asyncio.start_server(taken.take, "127.0.0.1", 0)
    taken.port = server.sockets[0].getsockname()[1]
    try:
        yield taken
    finally:
        server.close()
