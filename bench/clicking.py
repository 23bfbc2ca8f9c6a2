"""Clicks a second through our listeners and store, beside bare Bolt with an empty listener.

One server process each, the very same signed requests to both, 50 at a time, in alternating rounds.
"""

import asyncio
import json
import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

import redis.asyncio

from bench.load import Load, send
from bench.waking import PORT, environment, payload_of
from bot.slack.http import EVENTS_PATH
from bot.slack.views import cards
from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.ids import ChannelId, GroupId, RequestId, RunId, UserId, WorkspaceId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Kind, Question, Request, Status
from countersign.domain.runs import Run
from countersign.store.store import Store
from countersign.usecases.ports import TeamInfo
from localslack import LocalSlack
from localslack.http_events import sign
from tests.processes import Process

AIM: Final = 0.6
"""Of bare Bolt's rate (issue 2)."""
AT_ONCE: Final = 50
_GENERAL, _APPROVALS = ChannelId("C0GENERAL"), ChannelId("C0APPROVALS")
_QUESTIONS = 10
"""Open questions in one run."""


@dataclass(frozen=True)
class Round:
    """The same clicks, sent to one and to the other."""

    ours: "Taken"
    bare: "Taken"


@dataclass(frozen=True)
class Taken:
    """One round of one server. `cpu`: milliseconds that it computed for each click, which a busy machine changes less
    than the rate."""

    load: Load
    cpu: float


async def measure(redis_url: str, rounds: int, clicks: int) -> list[Round]:
    """`rounds` of `clicks` clicks, after one to warm up. AssertionError if a click did not count."""
    namespace = f"bench{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(LocalSlack())
        client = await stack.enter_async_context(redis.asyncio.Redis.from_url(redis_url))
        store = Store(client, namespace)
        common = environment(slack, "quiet")
        del common["SLACK_APP_TOKEN"]
        ours = await stack.enter_async_context(
            _server("bench.listeners", {**common, "REDIS_URL": redis_url, "NAMESPACE": namespace})
        )
        bare = await stack.enter_async_context(_server("bench.bare", environment(slack, "quiet")))
        asked = await _ask(store, (rounds + 1) * clicks)
        run = await store.run(asked[0].run)
        assert run is not None, "it was just started"
        signed = [_signed(slack, request, run.value) for request in asked]
        done = []
        for number in range(rounds + 1):
            some = signed[number * clicks : (number + 1) * clicks]
            servers = (ours, bare) if number % 2 else (bare, ours)
            taken = {server: await _take(server, some) for server in servers}
            if number:
                done.append(Round(taken[ours], taken[bare]))
        after = await store.requests([RequestId(request.id) for request in asked])
        counted = sum(request is not None and request.status is Status.APPROVED for request in after)
        assert counted == len(asked), f"{counted} of {len(asked)} clicks counted."
        for taken_ in (taken_ for round_ in done for taken_ in (round_.ours, round_.bare)):
            assert taken_.load.statuses == {200: clicks}, taken_.load.statuses
    return done


@asynccontextmanager
async def _server(module: str, env: dict[str, str]) -> AsyncIterator["_Server"]:
    process = await Process(module, env).start()
    try:
        port, pid = (await process.said(PORT)).groups()
        yield _Server(int(port), int(pid))
    finally:
        await process.kill()


@dataclass(frozen=True)
class _Server:
    port: int
    pid: int

    def computed(self) -> float:
        """Seconds of CPU so far; 0 where the system does not say it like Linux."""
        stat = Path(f"/proc/{self.pid}/stat")
        fields = stat.read_text().rsplit(")", 1)[1].split() if stat.exists() else []
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0


async def _take(server: _Server, requests: list[bytes]) -> Taken:
    before = server.computed()
    load = await send(server.port, requests, at_once=AT_ONCE)
    return Taken(load, (server.computed() - before) * 1000 / len(requests))


async def _ask(store: Store, count: int) -> list[Request]:
    """As many pending requests, some in each run."""
    await store.set_defaults(Rules(_APPROVALS, Reviewers(groups=frozenset({GroupId("S0REVIEWERS")}))))
    await store.workers.announce("bench", [TeamInfo("rounds", "asks")], timedelta(minutes=5))
    found: list[Request] = []
    runs = [RunId(f"rbench{n}") for n in range(-(-count // _QUESTIONS))]
    for start in range(0, len(runs), AT_ONCE):
        for some in await asyncio.gather(*(_run(store, run) for run in runs[start : start + AT_ONCE])):
            found += some
    return found[:count]


async def _run(store: Store, run: RunId) -> list[Request]:
    await usecases.start(
        store,
        _NoQueue(),
        run=run,
        workspace=WorkspaceId("T0LOCAL"),
        channel=_GENERAL,
        requester=UserId("U0ALICE"),
        team="rounds",
        task="ask",
    )
    lease = await store.leases.claim(run, "bench", timedelta(minutes=5))
    assert lease is not None, "nobody else works on this run"
    await usecases.begin(store, lease)
    words = "To: vendor@example.com\n\nWe have been with you for years. Ten percent off, please."
    return [
        await usecases.ask(store, lease, Question("drafter", n, Kind.MESSAGE, "Send this draft?", words))
        for n in range(_QUESTIONS)
    ]


class _NoQueue:
    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        return


def _signed(slack: LocalSlack, request: Request, run: Run) -> bytes:
    """The whole HTTP request of Bob's click on the request's card."""
    drawing = cards.card(request, run=run, run_link=None)
    room = slack.channel("#approvals")
    card = slack.workspace.post(room, slack.workspace.bot_user, text=drawing.text, blocks=drawing.blocks, from_app=True)
    body = urlencode({"payload": json.dumps(payload_of(slack, card))})
    now = int(time.time())
    lines = (
        f"POST {EVENTS_PATH} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: Slackbot 1.0 (+https://api.slack.com/robots)",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        f"X-Slack-Request-Timestamp: {now}",
        f"X-Slack-Signature: {sign(slack.signing_secret, now, body)}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()
