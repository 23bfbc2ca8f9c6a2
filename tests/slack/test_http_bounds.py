"""What reaches the port before anybody knows that Slack sent it (R29)."""

import asyncio
import socket
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlencode

import pytest

from bot.slack import http
from countersign import http_port as limits
from countersign.store.store import Store
from localslack import LocalSlack
from localslack.http_events import sign
from tests.slack.test_connection import over_http

HEAD = b"POST /slack/events HTTP/1.1\r\nHost: x\r\n"
FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"


@pytest.fixture
async def port(slack: LocalSlack, store: Store) -> AsyncIterator[int]:
    async with over_http(slack, store) as url:
        yield int(url.rpartition(":")[2])


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(port: int, *parts: bytes) -> bytes:
    """What comes back until the connection is closed, or the first answer is whole."""
    async with connected(port) as (reader, writer):
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            pass
        try:
            return await reader.read(1000)
        except ConnectionError:
            return b""


def signed(slack: LocalSlack, body: bytes, form: bytes = FORM) -> bytes:
    now = int(time.time())
    signature = sign(slack.signing_secret, now, body.decode(errors="replace"))
    return (
        HEAD
        + form
        + (
            f"X-Slack-Request-Timestamp: {now}\r\nX-Slack-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode()
        + body
    )


@pytest.mark.parametrize("declared", [True, False], ids=["with its length", "in chunks"])
async def test_endless_body_is_refused_at_slacks_size_limit(port: int, declared: bool) -> None:
    """R29: 400 MiB took three times as much memory."""
    part = b"x" * 2**20
    how = b"Content-Length: 419430400\r\n" if declared else b"Transfer-Encoding: chunked\r\n"
    parts = [] if declared else [b"%x\r\n%s\r\n" % (len(part), part)] * 64
    tracemalloc.start()
    try:
        told = await answer(port, HEAD + how + b"\r\n", *parts)
        assert told.startswith(b"HTTP/1.1 413") or not declared, "who still sends may not see it"
        assert tracemalloc.get_traced_memory()[1] < 6 * http.LARGEST
    finally:
        tracemalloc.stop()


NONSENSE = {
    "no json": b"payload={",
    "a list": b"payload=%5B1%5D",
    "deep": b"payload=" + b"%5B" * 100_000,
    "no text": b"payload=%FF%FE\xff\xfe",
    "json": b'{"type": 5, "event": []}',
    "nothing": b"",
}


async def test_unsigned_body_is_refused_without_parsing(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """R29, R9: nobody fills the log with tracebacks."""
    for body in NONSENSE.values():
        length = b"Content-Length: %d\r\n" % len(body)
        forged = [
            b"",
            b"X-Slack-Request-Timestamp: x\r\nX-Slack-Signature: v0=x\r\n",
            b"X-Slack-Request-Timestamp: 9" + b"9" * 5000 + b"\r\nX-Slack-Signature: v0=" + b"a" * 64 + b"\r\n",
            b"X-Slack-Request-Timestamp: %d\r\nX-Slack-Signature: v0=\xe4\r\n" % time.time(),
            b"X-Slack-Request-Timestamp: %d\r\nX-Slack-Signature: v0=%s\r\n" % (time.time(), b"a" * 64),
        ]
        for headers in forged:
            told = await answer(port, HEAD + FORM + headers + length + b"\r\n" + body)
            assert told.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400"))
        assert not caplog.records


async def test_signed_nonsense_is_refused_without_a_traceback(
    slack: LocalSlack, port: int, caplog: pytest.LogCaptureFixture, subtests: pytest.Subtests
) -> None:
    """R29: what only somebody with the secret can send leaves Bolt as no exception either."""
    for name in NONSENSE:
        with subtests.test(name=name):
            status = int((await answer(port, signed(slack, NONSENSE[name]))).split()[1])
            assert status < 500 and (status >= 400 or name in ("nothing", "json"))
            assert not any(record.name.startswith("uvicorn") and record.exc_info for record in caplog.records)


@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"POST /sl",
        HEAD + b"Content-Length: 100\r\n\r\nhalf",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /he",
    ],
    ids=["nothing", "half a head", "half a body", "half a body for another path", "half of a second one"],
)
async def test_unfinished_http_request_is_closed(port: int, begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """R29: it stayed open for ever."""
    monkeypatch.setattr(limits, "WITHIN", 0.3)
    async with connected(port) as (reader, writer):
        writer.write(begun)
        try:
            while await reader.read(1000):
                pass
        except ConnectionError:
            pass


async def test_connections_over_the_limit_are_refused(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """R29: and who was there first is answered."""
    monkeypatch.setattr(limits._Connection, "most", 5)
    async with connected(port) as (reader, writer):
        await asyncio.gather(*(answer(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(3)))
        others = [await asyncio.open_connection("127.0.0.1", port) for _ in range(20)]
        ends = [asyncio.ensure_future(other.read()) for other, _ in others]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await reader.read(1000)).startswith(b"HTTP/1.1 404")
        for _, other in others:
            other.close()
        await asyncio.gather(*ends, return_exceptions=True)


async def test_port_answers_ssl_check_and_refuses_other_methods(port: int) -> None:
    """R29"""
    check = urlencode({"ssl_check": 1, "token": "x"}).encode()
    assert b" 200 " in await answer(port, HEAD + FORM + b"Content-Length: %d\r\n\r\n" % len(check) + check)
    assert b" 405 " in await answer(port, b"GET /slack/events HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b" 404 " in await answer(port, b"POST /slack/event HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    assert b" 404 " in await answer(port, upgrade)


async def test_http_answer_is_sent_without_nagles_delay(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and body are two writes; with Nagle's algorithm the second one leaves 40 ms later."""
    delays: list[bool] = []
    made = limits._Connection.connection_made

    def noting(self: limits._Connection, transport: asyncio.Transport) -> None:
        delays.append(not transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        made(self, transport)

    monkeypatch.setattr(limits._Connection, "connection_made", noting)
    assert b"404" in await answer(port, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert delays == [False]
