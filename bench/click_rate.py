"""Clicks a second through our listeners and store, beside bare Bolt.

One server process each, the very same signed requests to both, 50 at a time, in alternating rounds. There are two
figures, because a click does two things:

* It counts. The requests have no cards, and bare Bolt has an empty listener.
* The clicked card is replaced too, through the click's response URL, after the ack. A round ends when the last card
  is. Bare Bolt's listener sends the card that was clicked back as it was: it looks nothing up and draws nothing.

As a module this file is our server: the listeners on the real store, without projector and deadlines. It prints
`port <n> <pid>`.
"""

import asyncio
import json
import logging
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Final
from urllib.parse import urlencode

from bench.figures import UNPACED, Figure, median
from bench.http_load import Taken, send, taking
from bench.wakeup_latency import PORT, environment, payload_of
from bot.settings import WebSettings
from bot.slack import http
from bot.slack.app import build, identify, slack_clients
from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from bot.slack.projector.clicked_cards import ClickedCards
from bot.slack.projector.home_publisher import HomePublisher
from bot.slack.projector.message_sync import Poster
from bot.slack.routes import register
from bot.slack.slack_calls import GatedCalls
from bot.slack.views import approval_card
from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.ids import ChannelId, GroupId, RequestId, RunId, UserId, WorkerId, WorkspaceId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Kind, Question, Request, Status
from countersign.domain.runs import Run
from countersign.process_settings import read
from countersign.python_gc import settle_memory
from countersign.runs.job_queue import Queue
from countersign.store.redis.connection import RedisClient, connect
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from countersign.usecases import ports
from countersign.usecases.ports import Announcement, Change, Lease, Put, TeamInfo
from localslack import LocalSlack
from localslack.http_events import sign
from localslack.workspace import Message
from tests.processes import Process

AIM: Final = 80
"""Percent of bare Bolt's rate."""
LAST: Final = "77 %"
AT_ONCE: Final = 50
_GENERAL, _APPROVALS = ChannelId("C0GENERAL"), ChannelId("C0APPROVALS")
_QUESTIONS = 10
"""Open questions in one run."""


async def measure(redis_url: str, rounds: int, clicks: int) -> list[Figure]:
    """Send `rounds` of `clicks` clicks of either kind, after one to warm up.

    Raises AssertionError if a click did not count.
    """
    namespace = f"bench{secrets.token_hex(4)}"
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(LocalSlack(hurry=UNPACED))
        client = await stack.enter_async_context(RedisClient.from_url(redis_url))
        replaced = await stack.enter_async_context(taking())
        store = Store(client, namespace)
        ours = {**environment(slack, "quiet"), "REDIS_URL": redis_url, "NAMESPACE": namespace}
        del ours["SLACK_APP_TOKEN"]
        our_port = await stack.enter_async_context(_server("bench.click_rate", ours))
        bare_ports = [
            await stack.enter_async_context(_server("bench.baseline_bolt", environment(slack, way)))
            for way in ("quiet", "replacing")
        ]
        asked = await _ask(store, 2 * (rounds + 1) * clicks)
        run = await store.run(asked[0].run)
        assert run is not None, "it was just started"
        counting, drawing = asked[::2], asked[1::2]
        plain = [_signed(slack, _posted(slack, request, run.value)) for request in counting]
        cards = [_posted(slack, request, run.value) for request in drawing]
        await _note(store, drawing, cards)
        with_cards = [_signed(slack, card, f"http://127.0.0.1:{replaced.port}/actions/card") for card in cards]
        rates = await _rates((our_port, bare_ports[0]), plain, clicks)
        rates_with_cards = await _rates((our_port, bare_ports[1]), with_cards, clicks, replaced)
        after = await store.requests([RequestId(request.id) for request in asked])
        counted = sum(request is not None and request.status is Status.APPROVED for request in after)
        assert counted == len(asked), f"{counted} of {len(asked)} clicks counted."
    return [
        _figure(f"clicks a second, {AT_ONCE} at a time over signed HTTP", "Bolt", rates, AIM, LAST),
        _figure("the same, each clicked card replaced", "Bolt that replaces it", rates_with_cards),
    ]


Rates = list[tuple[float, float]]
"""Ours and bare Bolt's, by the round."""


def _figure(question: str, limit: str, rates: Rates, aim: float | None = None, last: str = "") -> Figure:
    ours, bolt, ratio = (median(values) for values in zip(*((*pair, pair[0] / pair[1]) for pair in rates), strict=True))
    return Figure(question, f"{limit} {bolt:.0f}", f"{ours:.0f}", ratio * 100, "%", aim, at_least=True, last=last)


async def _rates(servers: tuple[int, int], signed: list[bytes], clicks: int, replaced: Taken | None = None) -> Rates:
    """Send the same clicks to both, round by round; the first does not count."""
    rates: Rates = []
    for begin in range(0, len(signed), clicks):
        some, of_round = signed[begin : begin + clicks], dict.fromkeys(servers, 0.0)
        for port in servers if len(rates) % 2 else servers[::-1]:
            since = time.perf_counter()
            load = await send(port, some, at_once=AT_ONCE)
            assert load.statuses == {200: clicks}, load.statuses
            of_round[port] = load.rate
            if replaced is not None:
                await replaced.wait(clicks)
                of_round[port] = clicks / (time.perf_counter() - since)
        rates.append((of_round[servers[0]], of_round[servers[1]]))
    return rates[1:]


@asynccontextmanager
async def _server(module: str, env: dict[str, str]) -> AsyncIterator[int]:
    """The port of a server's process, which runs as long as the block."""
    process = await Process(module, env).start()
    try:
        yield int((await process.said(PORT))[1])
    finally:
        await process.kill()


async def _ask(store: Store, count: int) -> list[Request]:
    """Make as many pending requests, some in each run."""
    await store.set_defaults(Rules(_APPROVALS, Reviewers(groups=frozenset({GroupId("S0REVIEWERS")}))))
    await store.workers.announce(WorkerId("bench"), Announcement((TeamInfo("rounds", "asks"),)), timedelta(minutes=5))
    asked: list[Request] = []
    runs = [RunId(f"rbench{n}") for n in range(-(-count // _QUESTIONS))]
    for start in range(0, len(runs), AT_ONCE):
        for some in await asyncio.gather(*(_run(store, run) for run in runs[start : start + AT_ONCE])):
            asked += some
    return asked[:count]


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
    lease = Lease(run, 1, "bench")
    await usecases.begin(store, lease)
    words = "To: vendor@example.com\n\nWe have been with you for years. Ten percent off, please."
    return [
        await usecases.ask(store, lease, Question("drafter", n, Kind.MESSAGE, "Send this draft?", words))
        for n in range(_QUESTIONS)
    ]


class _NoQueue:
    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        return


def _posted(slack: LocalSlack, request: Request, run: Run) -> Message:
    """Post the request's card."""
    drawing = approval_card.card(request, run=run, run_link=None)
    room = slack.channel("#approvals")
    return slack.workspace.post(room, slack.workspace.bot_user, text=drawing.text, blocks=drawing.blocks, from_app=True)


async def _note(store: Store, requests: list[Request], cards: list[Message]) -> None:
    """Store where the requests' cards stand, as the projector does."""
    for request, card in zip(requests, cards, strict=True):
        stands = ports.Message(request.workspace, _APPROVALS, f"card/{request.id}", card.ts, request=request.id)
        await store.commit(Change(messages=(Put(stands, 0),)))


def _signed(slack: LocalSlack, card: Message, response_url: str = "") -> bytes:
    """The whole HTTP request of Bob's click on the card, with this response URL."""
    payload = payload_of(slack, card)
    if response_url:
        payload["response_url"] = response_url
    body = urlencode({"payload": json.dumps(payload)})
    now = int(time.time())
    lines = (
        f"POST {http.EVENTS_PATH} HTTP/1.1",
        "Host: 127.0.0.1",
        "User-Agent: Slackbot 1.0 (+https://api.slack.com/robots)",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        f"X-Slack-Request-Timestamp: {now}",
        f"X-Slack-Signature: {sign(slack.signing_secret, now, body)}",
    )
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


async def main(settings: WebSettings) -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    assert settings.slack_bot_token and settings.slack_signing_secret, "the benchmark sets it"
    url = settings.redis_url.get_secret_value()

    async with AsyncExitStack() as stack:
        client = connect(url)
        stack.push_async_callback(client.aclose)
        clients = await stack.enter_async_context(
            slack_clients(settings.slack_bot_token.get_secret_value(), settings.slack_api_url)
        )
        identity = await identify(clients.reads)
        directory = Directory(clients.reads, identity.workspace, LookupCache())
        stack.push_async_callback(directory.close)
        queue = await stack.enter_async_context(Queue(url, settings.namespace))
        store = Store(client, settings.namespace)
        homes = HomePublisher(store, Overview(store), directory, GatedCalls(clients.reads), lambda message: "")
        poster = Poster(GatedCalls(clients.posts), store, identity.workspace, identity.home, identity.names)
        clicked = ClickedCards(store, poster, clients.reads.session)
        bot_user = identity.bot_user
        services = Services(store, queue, directory, clients.reads, frozenset(), poster.link, homes, clicked, bot_user)
        secret = settings.slack_signing_secret.get_secret_value()
        app = build(clients, identity)
        register(app, services)
        asgi = http.http(app, secret=secret)
        port = await stack.enter_async_context(http.serving(asgi, "127.0.0.1", 0))
        stack.push_async_callback(services.drain)
        settle_memory()
        print(f"port {port} {os.getpid()}", flush=True)
        await stop.wait()


if __name__ == "__main__":
    logging.basicConfig(level="WARNING")
    asyncio.run(main(read(WebSettings)))
