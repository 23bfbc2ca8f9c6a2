"""A service that is slow, busy, cut off or away: the program asks again, and what counts is asked once."""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from countersign.client import connection, exchange
from countersign.client.client import AsyncClient, Client
from countersign.client.exchange import Pause, Send, ServiceRefused, ServiceReply
from countersign.client.questions import Question
from countersign.domain.errors import InvalidInput
from tests.free_ports import free_port
from tests.longest_wait import PATIENCE

Answer = Callable[[asyncio.StreamWriter], Coroutine[Any, Any, None]]
REFUND = ("#general", "Refund?", "45.00 EUR for order 17")
PENDING = {"id": "q1", "status": "pending", "deadline": None, "cards_in": "#approvals"}
DECISION: dict[str, Any] = {
    "outcome": "approved",
    "how": "reviewers",
    "at": "2026-11-24T00:00:00+00:00",
    "by": ["U0BOB"],
    "words": "",
}
DECISION |= {"arguments": None, "chosen": [], "text": "Approved.", "message": None}
APPROVED = {**PENDING, "status": "approved", "decision": DECISION, "outcome": None}
KEY = "csk_k123456789_" + "s" * 43


def answering(status: str, body: object, *headers: str, cut: int | None = None, length: bool = True) -> Answer:
    """Answer so; with `cut` the connection ends after so many bytes of the body."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        content = json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status}", "content-type: application/json", "connection: close", *headers]
        lines += [f"content-length: {len(content)}"] if length else []
        writer.write("\r\n".join([*lines, "", ""]).encode() + content[:cut])

    return answer


async def silence(writer: asyncio.StreamWriter) -> None:
    """Take the question, and say nothing for as long as the program listens."""
    await writer.drain()
    await asyncio.Event().wait()


@asynccontextmanager
async def service(*answers: Answer) -> AsyncIterator[tuple[str, list[str]]]:
    """A service that gives these answers in turn: its address, and the lines and keys of what it was asked."""
    left, asked = list(answers), list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        keys = [line.partition(": ")[2] for line in head.splitlines() if line.lower().startswith("idempotency-key")]
        asked.append(" ".join([head.split(" HTTP")[0], *keys]))
        answer = left.pop(0)
        closing = asyncio.create_task(answer(writer))
        tasks.append(closing)
        if answer is not silence:
            await closing
            writer.close()

    tasks, writers = list[asyncio.Task[None]](), list[asyncio.StreamWriter]()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        server.close()
        for writer in writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(exchange, "_LONGEST_PAUSE", 0.002)


HALF = answering("201 Created", PENDING, cut=20)
CUT_OFF = answering("200 OK", APPROVED, cut=40, length=False)
PAGE = answering("200 OK", ["a page of a proxy"])


@pytest.mark.parametrize("broken", [HALF, CUT_OFF, PAGE], ids=["half", "cut off", "no object"])
async def test_half_a_response_is_retried_with_the_same_key(broken: Answer) -> None:
    """R8: what was sent twice has one key, so it counts once; also a poll that is cut off begins again."""
    answers = (broken, answering("201 Created", PENDING), broken, answering("200 OK", APPROVED))
    async with service(*answers) as (url, asked), AsyncClient(url, KEY) as client:
        decision = await client.ask(*REFUND, key="order-17")
    assert (decision.outcome, decision.by) == ("approved", ("U0BOB",))
    assert asked == ["POST /v1/requests order-17"] * 2 + ["GET /v1/requests/q1?wait=50"] * 2


async def test_silent_service_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second call has the same idempotency key."""
    monkeypatch.setattr(connection, "_PATIENCE", 0.2)
    async with service(silence, answering("200 OK", APPROVED)) as (url, asked):
        async with AsyncClient(url, KEY) as client:
            assert await client.submit(Question(*REFUND, key="order-17")) == ("q1", True)
        assert asked == ["POST /v1/requests order-17"] * 2


@pytest.mark.parametrize("status", ["429 Too Many Requests", "503 Service Unavailable"])
def test_program_retries_when_the_service_says(status: str) -> None:
    """R29: after as many seconds as it is told, whatever its own pause would be."""
    talk = exchange.ask(Question(*REFUND).body, "order-17")
    first = next(talk)
    busy = ServiceReply(int(status[:3]), {"detail": "Too many requests."}, 7.0)
    assert talk.send(busy) == Pause(7.0, "Too many requests.", away=status.startswith("503"))
    assert talk.send(ServiceReply(0)) == first and isinstance(first, Send)
    with pytest.raises(StopIteration) as end:
        talk.send(ServiceReply(201, PENDING))
    assert end.value.value == PENDING


async def test_retry_after_header_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses = list[Pause]()
    monkeypatch.setattr("countersign.client.client.note_pause", lambda step: pauses.append(step))
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    busy = answering("429 Too Many Requests", {"detail": "Too many requests."}, "Retry-After: 9")
    async with service(busy, answering("200 OK", APPROVED)) as (url, _):

        def begin() -> tuple[str, bool]:
            with Client(url, KEY) as client:
                return client.submit(Question(*REFUND, key="order-17"))

        assert await asyncio.wait_for(asyncio.to_thread(begin), PATIENCE) == ("q1", True)
    assert pauses == [Pause(9.0, "Too many requests.")]


def test_log_reports_the_service_away_and_back_once(caplog: pytest.LogCaptureFixture) -> None:
    """R7: also where no terminal is: in a task of Celery, on a server."""
    caplog.set_level(logging.INFO, exchange.__name__)
    talk = exchange.wait("q1")
    next(talk)
    for _ in range(20):
        assert isinstance(talk.send(ServiceReply(0)), Pause)
        assert isinstance(talk.send(ServiceReply(0)), Send)
    with pytest.raises(StopIteration):
        talk.send(ServiceReply(200, APPROVED))
    away, back = [record.getMessage() for record in caplog.records]
    assert "isn't responding" in away and "again" in back


async def first_line(url: str, seconds: float | None) -> str:
    """What a program without a terminal says first of a service at this address."""
    program = f"import countersign\ncountersign.client.Client({url!r}, {KEY!r}, timeout={seconds}).ask(*{REFUND})"
    running = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=asyncio.subprocess.PIPE)
    assert running.stderr is not None
    line = (await asyncio.wait_for(running.stderr.readline(), PATIENCE)).decode()
    running.kill()
    await running.communicate()
    return line


@pytest.mark.parametrize("seconds", [None, 60.0])
async def test_program_without_a_terminal_reports_the_unreachable_service(seconds: float | None) -> None:
    """R7: on standard error, with the address, the reason, and how long it tries."""
    url = f"http://127.0.0.1:{free_port()}"
    line = await first_line(url, seconds)
    assert f"Can't reach the service at {url}: connection refused. Is `web` running?" in line
    assert ("Trying again until it answers." if seconds is None else "Trying again for 60 s.") in line


async def test_program_gives_up_after_its_timeout() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    async with AsyncClient(url, KEY, timeout=0.05) as client:
        with pytest.raises(ServiceRefused, match="connection refused") as over:
            await client.ask(*REFUND)
    assert over.value.kind == "unreachable"
    with Client(url, KEY, timeout=0.05) as patient, pytest.raises(ServiceRefused, match="Can't reach the service"):
        await asyncio.to_thread(lambda: patient.ask(*REFUND))
    with pytest.raises(InvalidInput, match="above 0"):
        Client(url, KEY, timeout=0)


@pytest.mark.parametrize("seconds", [None, 3600.0])
async def test_silent_service_is_named_while_the_program_waits(seconds: float | None) -> None:
    """R7: it takes the connection and says nothing, which is seen only long after two seconds."""
    async with service(silence) as (url, _):
        line = await first_line(url, seconds)
    assert f"The service at {url} takes connections and does not answer." in line
    assert ("Trying until it answers." if seconds is None else "Trying for 3600 s.") in line


async def test_client_timeout_applies_while_the_service_is_silent() -> None:
    async with service(silence, silence) as (url, _):
        async with AsyncClient(url, KEY, timeout=0.05) as client:
            with pytest.raises(ServiceRefused, match="no answer in time"):
                await client.ask(*REFUND)
        with Client(url, KEY, timeout=0.05) as patient, pytest.raises(ServiceRefused, match="no answer in time"):
            await asyncio.to_thread(lambda: patient.ask(*REFUND))


def test_client_timeout_applies_while_connecting() -> None:
    """Not only between two tries."""
    address = connection.Address("http://service.example", KEY, timeout=0.5)
    reach = connection.Reach(address)
    for _ in range(2):
        timeouts = reach.arguments(Send("GET", "/v1/requests"))["extensions"]["timeout"]
        assert max(timeouts["connect"], timeouts["read"]) <= 0.5
        reach.failed(TimeoutError())
    assert reach.arguments(Send("GET", "/v1/requests/q1?wait=50"))["extensions"]["timeout"]["read"] > exchange.LONG_POLL


@pytest.mark.parametrize("body", ["<h1>Not Found</h1>", {"detail": "Not Found"}], ids=["page", "json"])
async def test_foreign_server_is_recognised(body: object) -> None:
    async with service(answering("404 Not Found", body)) as (url, _), AsyncClient(url, KEY) as client:
        with pytest.raises(ServiceRefused, match=f"This is not Countersign: what answers at {url} said 404") as refused:
            await client.ask(*REFUND)
    assert refused.value.kind == "not-countersign"


def test_long_wait_for_people_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Only an unreachable service is."""
    caplog.set_level(logging.INFO, exchange.__name__)
    talk = exchange.wait("q1")
    next(talk)
    for _ in range(20):
        talk.send(ServiceReply(200, PENDING))
    assert not caplog.records
