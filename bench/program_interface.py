"""Speed and weight of the interface for programs.

A decision's way to `ask`, requests a second, and many programs that wait in one `web`. The bare long poll is measured
in turn with ours: the same program, Redis and moment. As a module this file is the program.
"""

import asyncio
import json
import os
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from bench.baseline_redis import DECIDE
from bench.figures import UNPACED, Figure, median
from bench.http_load import send
from bench.waiting_runs import resident
from bench.wakeup_latency import PORT, calm, click, payload_of
from countersign.client import AsyncClient
from countersign.domain import api_keys, request_endings, requests
from countersign.domain.ids import RequestId, RunId, UserId
from countersign.domain.requests import Decision, How, Status
from countersign.store.outbox import GROUP
from countersign.store.programs import ApiKeys
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.usecases.ports import Change, Put
from localslack import LocalSlack
from localslack.workspace import Message
from tests.processes import Process, deployment

AIM: Final = 1.5
"""A bare long poll's time that ours may take, at the median."""
_WARM: Final = 5
_CALM: Final = 0.03
_AT_ONCE: Final = 20
_CLICKS: Final = 3
_EACH: Final = 20
"""Programs that wait for one request."""
_ANSWER: Final = 900
"""Bytes of a bare answer, as many as ours has."""


class Interface:
    """A running `web`, a key of its interface, and the store behind it."""

    def __init__(self, slack: LocalSlack, store: Store, port: int, key: api_keys.Issued) -> None:
        self.slack, self.store, self.port, self.key = slack, store, port, key

    def request(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """A whole HTTP request of the program's."""
        head = {"host": "127.0.0.1", "authorization": f"Bearer {self.key.token}", **headers}
        if body:
            head |= {"content-type": "application/json", "content-length": str(len(body))}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


async def measure(redis_url: str, data: Path, rounds: int, asked: int, waiting: int) -> list[Figure]:
    """Measure some decisions, requests at full speed, and programs that wait at once."""
    namespace = f"bench{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(LocalSlack(hurry=UNPACED))
        there = await stack.enter_async_context(deployment(slack, redis_url, namespace, data))
        web = await there.web(API_PORT="0", LOG_LEVEL="INFO")
        port = int((await web.said(r"Workers and programs call port (\d+)"))[1])
        client = await stack.enter_async_context(connect(there.common["REDIS_URL"]))
        store = Store(client, namespace)
        many = asked + rounds + waiting + 100
        key = api_keys.issue(
            "bench", ("C0GENERAL",), await store.now(), most_open=many, per_minute=many, most_waiting=many
        )
        await ApiKeys(store).put(key.key)
        there_is = Interface(slack, store, port, key)
        return [
            await _decisions(there_is, redis_url, rounds),
            await _rate(there_is, asked),
            *await _waiting(there_is, web, waiting),
        ]


async def _decisions(it: Interface, redis_url: str, rounds: int) -> Figure:
    """Milliseconds from before the decision is stored until the program goes on; its process does nothing else.

    It asks and polls at once, and the bare service answers first, which leaves `web` as it is. So everything has to be
    drawn once a round, and the projector draws a thread half a second late.
    """
    channel, ours, bare = f"bench{secrets.token_hex(4)}", list[float](), list[float]()
    wake = {"REDIS_URL": redis_url, "WAKE": channel, "BYTES": str(_ANSWER)}
    poll = await Process("bench.baseline_poll", wake).start()
    program = Process("bench.program_interface", {})
    try:
        service = {"COUNTERSIGN_URL": f"http://127.0.0.1:{it.port}", "COUNTERSIGN_KEY": it.key.token}
        program.env |= {**service, "POLL": (await poll.said(PORT))[1], "ROUNDS": str(rounds + _WARM)}
        await program.start()
        async with connect(redis_url) as raw:
            script = raw.register_script(DECIDE)
            keys = [f"{{{channel}}}:{name}" for name in ("decision", "pending", "events")]
            for number in range(rounds + _WARM):
                (name,) = await _open(it, 1)
                await _drawn(it)
                begun = time.monotonic_ns()
                await script(keys=[*keys, channel], args=[b"x" * 1000, b"y" * 300, str(number)])
                bare.append((int((await program.said(rf"polled {number} (\d+)"))[1]) - begun) / 1e6)
                change = await _decided(it.store, name)
                await asyncio.sleep(_CALM)
                begun = time.monotonic_ns()
                await it.store.commit(change)
                ours.append((int((await program.said(rf"asked {number} (\d+)"))[1]) - begun) / 1e6)
            await raw.delete(*keys)
    finally:
        await program.kill()
        await poll.kill()
    taken, limit = median(ours[_WARM:]), median(bare[_WARM:])
    return Figure(
        "decision → `ask` returned over HTTP", f"bare poll {limit:.2f} ms", f"{taken:.2f} ms", taken / limit, aim=AIM
    )


async def _rate(it: Interface, asked: int) -> Figure:
    """Requests a second from the first byte to the answer, each a new one whose card is drawn meanwhile."""
    body = json.dumps({"title": "Go on?", "message": "As fast as it goes."}).encode()
    load = await send(
        it.port,
        [it.request("POST", "/v1/requests", body, **{"idempotency-key": f"fast {n}"}) for n in range(asked)],
        at_once=_AT_ONCE,
    )
    assert load.statuses == {201: asked}, load.statuses
    for name in await _open(it, asked):
        await it.store.commit(await _decided(it.store, name))
    await _drawn(it)
    return Figure(f"requests a second over HTTP, {_AT_ONCE} at a time", "", f"{load.rate:.0f}", load.rate, "/s")


async def _waiting(it: Interface, web: Process, count: int) -> list[Figure]:
    """Memory of `web`, and a click's latency, without and with that many programs that wait."""
    alone = await _clicks(it)
    names = await _filled(it, count // _EACH) * _EACH
    before = resident(web.pid)
    polls = [await asyncio.open_connection("127.0.0.1", it.port) for _ in names]
    try:
        for (_, writer), name in zip(polls, names, strict=True):
            writer.write(it.request("GET", f"/v1/requests/{name}?wait=60"))
        await _idle(web)
        after = resident(web.pid)
        beside = await _clicks(it)
        begun = time.perf_counter()
        await it.store.commit(await _decided(it.store, names[-1]))
        answer = await polls[-1][0].readuntil(b"\r\n\r\n")
        took = (time.perf_counter() - begun) * 1000
        assert answer.startswith(b"HTTP/1.1 200"), answer
    finally:
        for _, writer in polls:
            writer.transport.abort()
    return [
        Figure(
            f"memory of `web`, {count:,} programs waiting",
            f"idle {before:.0f} MB",
            f"{after:.0f} MB",
            (after - before) * 1000 / count,
            "kB each",
        ),
        Figure(
            f"click → ack beside {count:,} programs waiting",
            f"alone {alone:.1f} ms",
            f"{beside:.1f} ms",
            beside / alone,
        ),
        Figure(f"decision → one of {count:,} long polls", "", f"{took:.1f} ms", took, "ms"),
    ]


async def _clicks(it: Interface) -> float:
    """Milliseconds from a click to its ack, at the median of some."""
    times = []
    for _ in range(_CLICKS):
        title = f"Click {secrets.token_hex(4)}?"
        body = json.dumps({"title": title, "message": "One click."}).encode()
        load = await send(it.port, [it.request("POST", "/v1/requests", body, **{"idempotency-key": title})], at_once=1)
        assert load.statuses == {201: 1}, load.statuses
        card = await it.slack.wait_message("#approvals", partial(_asks, title))
        payload = payload_of(it.slack, card)
        await calm(it.slack)
        begun = time.perf_counter()
        await click(it.slack, payload)
        times.append((time.perf_counter() - begun) * 1000)
        await calm(it.slack)
    return median(times)


def _asks(title: str, message: Message) -> bool:
    return title in message.text and "Approve" in message.buttons


async def _filled(it: Interface, count: int) -> list[RequestId]:
    """As many more waiting requests, without cards: copies of one."""
    body = json.dumps({"title": "Go on?", "message": "One of many."}).encode()
    await send(it.port, [it.request("POST", "/v1/requests", body, **{"idempotency-key": "many"})], at_once=1)
    (name,) = await _open(it, 1)
    request = await it.store.request(name)
    assert request is not None
    run = await it.store.run(request.value.run)
    assert run is not None

    async def copy(number: int) -> RequestId:
        own = RunId(f"p{number:024d}")
        made = replace(request.value, id=requests.request_id(own, request.value.question), run=own)
        held = replace(run.value, id=own, open={made.slot: made.id})
        answer = await it.store.commit(Change(runs=(Put(held, 0),), requests=(Put(made, 0),)))
        assert answer.startswith("done"), answer
        return made.id

    names: list[RequestId] = []
    for start in range(0, count, 100):
        names += await asyncio.gather(*(copy(n) for n in range(start, min(start + 100, count))))
    return names


async def _open(it: Interface, count: int) -> list[RequestId]:
    """The requests of the key that wait, once there are as many."""
    while len(names := await ApiKeys(it.store).open(it.key.key.id)) < count:  # noqa: ASYNC110 -- another process
        await asyncio.sleep(0.005)
    return names


async def _drawn(it: Interface) -> None:
    """Wait until every event is drawn and on record, and Slack is left alone.

    The events themselves leave a second later, when nothing else has come.
    """
    client, keys = it.store.client, it.store.keys
    while True:
        last = (await client.xinfo_stream(keys.events))["last-generated-id"]
        (drawn,) = [group for group in await client.xinfo_groups(keys.events) if group["name"] == GROUP.encode()]
        on_record = await client.hget(keys.audit_head, "event")
        if drawn["last-delivered-id"] == last == on_record and not drawn["pending"]:
            break
        await asyncio.sleep(0.005)
    await calm(it.slack)


async def _decided(store: Store, name: RequestId) -> Change:
    """What approves the request."""
    seen = await store.request(name)
    assert seen is not None
    decision = Decision(Status.APPROVED, How.REVIEWERS, await store.now(), (UserId("U0BOB"),))
    step = request_endings.settle(seen.value, decision)
    return Change(requests=(Put(step.request, seen.version),), events=step.events)


async def _idle(process: Process) -> None:
    """Wait until the process computes nothing more than keeping time."""

    def computed() -> int:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    while True:
        before = computed()
        await asyncio.sleep(0.3)
        if computed() - before <= 3:
            return


async def main(poll: str, rounds: int) -> None:
    """Ask, and poll the bare service, both at once, in each round."""
    async with AsyncClient() as client, httpx.AsyncClient(base_url=f"http://127.0.0.1:{poll}", timeout=60) as bare:

        async def polled(number: int) -> None:
            (await bare.get(f"/{number}")).raise_for_status()
            print(f"polled {number} {time.monotonic_ns()}", flush=True)

        for number in range(rounds):
            polling = asyncio.create_task(polled(number))
            assert (await client.ask("#general", "Go on?", f"Round {number}.")).approved
            print(f"asked {number} {time.monotonic_ns()}", flush=True)
            await polling


if __name__ == "__main__":
    asyncio.run(main(os.environ["POLL"], int(os.environ["ROUNDS"])))
