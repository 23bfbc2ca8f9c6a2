"""Seconds until cards come and are settled at Slack's published rates.

The real projector, store and handlers, a Socket Mode connection, and people who click five seconds after they see a
card. Everything that waits goes by one clock, the event loop's, and so do Slack's tiers: it may be hurried by a factor,
which the figures name. Work takes the time that it takes, so a hurried row makes us look slower, never faster.
"""

import asyncio
import json
import random
import re
import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final

from bench.clocks import HurriedLoop, OnLoopClock
from bench.figures import Figure, percentile
from bot.slack import app
from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from bot.slack.projector.clicked_cards import ClickedCards
from bot.slack.projector.home_publisher import HomePublisher
from bot.slack.projector.message_sync import Poster
from bot.slack.projector.projector import Projector
from bot.slack.routes import register
from bot.slack.slack_calls import GatedCalls
from countersign import usecases
from countersign.domain import runs
from countersign.domain.calls import Call
from countersign.domain.channel_settings import Rules
from countersign.domain.ids import ChannelId, RunId, UserId, WorkerId, WorkspaceId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Kind, Question
from countersign.domain.run_calls import Finish
from countersign.store.outbox import Outbox
from countersign.store.redis.connection import connect
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from countersign.usecases.ports import Announcement, Change, Lease, Put, TeamInfo
from localslack import LocalSlack, Message
from localslack.workspace import Channel
from tests.store_fixtures import NoQueue

READS_FOR: Final = 5.0
"""Seconds from when a reviewer sees a card until they click."""
LOOK: Final = 0.05
"""Seconds between two looks whether a card is settled, at first; then a twentieth of the time that it has taken."""
_BUTTON: Final = re.compile(r"\bq[a-z0-9]{16}\b")
"""The id of a request, in the value of its buttons."""
_APPROVALS: Final = "C0APPROVALS0"
_HERE: Final = WorkspaceId("T0LOCAL")


@dataclass(frozen=True)
class Outage:
    """An outage of Slack: when it begins, and its seconds.

    In the first of them, `unheard`, Slack does what it is asked, and its replies are lost.
    """

    after: float
    unheard: float
    seconds: float


@dataclass(frozen=True)
class Row:
    """A load, and its aims in seconds.

    `approvals` and `requesters`: channels; `hurry`: the factor of the clock. `afterwards`: seconds after the last run,
    after which a pending card counts as unsettled.
    """

    runs: int
    minutes: float
    approvals: int
    requesters: int
    hurry: float
    card: float | None = None
    settled: float | None = None
    outage: Outage | None = None
    afterwards: float = 60.0


ROWS: Final = (
    Row(25, 1, 1, 5, 4, 1, 1),
    Row(60, 1, 1, 10, 4, 2, 2),
    Row(600, 0.3, 20, 20, 1, 10, 5),
)
BESIDE: Final = 100
"""Runs a minute; loads below leave the machine idle. They are played beside each other, by a clock so hurried that
all together are a lesser load than the heavy one."""
QUICK: Final = (Row(60, 0.05, 2, 2, 2),)


@dataclass
class Measured:
    """Seconds by the loop's clock, and calls of each method."""

    cards: list[float] = field(default_factory=list)
    settled: list[float] = field(default_factory=list)
    unsettled: int = 0
    refused: int = 0
    posts: int = 0
    updates: int = 0
    events: int = 0
    """Events that Slack sent an app that also reads replies."""
    standing: list[Message] = field(default_factory=list)
    """The messages of the approvals channels at the end."""


async def measure(redis_url: str, rows: tuple[Row, ...]) -> list[Figure]:
    """Play each row, with a loop, a namespace and a Slack of its own."""

    async def figures(row: Row) -> list[Figure]:
        return _figures(row, await asyncio.to_thread(play, redis_url, row))

    light = await asyncio.gather(*(figures(row) for row in rows if row.runs < BESIDE))
    heavy = [await figures(row) for row in rows if row.runs >= BESIDE]
    return [figure for of_row in (*light, *heavy) for figure in of_row]


def play(redis_url: str, row: Row, loop: Callable[[], asyncio.AbstractEventLoop] | None = None) -> Measured:
    """Play a row; `loop` makes one with another clock than the row's."""
    with asyncio.Runner(loop_factory=loop or (lambda: HurriedLoop(row.hurry))) as runner:
        return runner.run(_load(redis_url, row))


def _figures(row: Row, seen: Measured) -> list[Figure]:
    where = f"{row.runs} runs a minute, {row.approvals} approvals channel{'s' * (row.approvals > 1)}"
    run = max(1, len(seen.cards))
    each = f"{seen.posts / run:.1f} posts, {seen.updates / run:.1f} updates, {seen.events / run:.1f} events a run"
    return [
        Figure(
            f"{where}: request → card, p95",
            f"p50 {percentile(seen.cards or [0.0], 50):.1f} s",
            f"clock × {row.hurry:g}; {seen.refused} × 429",
            percentile(seen.cards or [0.0], 95),
            "s",
            row.card,
        ),
        Figure(
            f"{where}: decision → settled, p95",
            f"p50 {percentile(seen.settled or [0.0], 50):.1f} s",
            each,
            percentile(seen.settled or [0.0], 95),
            "s",
            row.settled,
        ),
        Figure(f"{where}: unsettled at the end", "", f"of {len(seen.cards)}", float(seen.unsettled), "cards", 0),
    ]


async def _load(redis_url: str, row: Row) -> Measured:
    loop = asyncio.get_running_loop()
    since, begun = loop.time(), time.time()
    seen = Measured()
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(
            LocalSlack(
                clock=loop.time,
                wall_clock=lambda: begun + loop.time() - since,
                ack_seconds=60,
                trigger_seconds=60,
                bot_events=frozenset({"app_home_opened", "message.channels"}),
            )
        )
        client = connect(redis_url)
        stack.push_async_callback(client.aclose)
        store = OnLoopClock(client, f"rates{secrets.token_hex(4)}")
        requesters = await _channels(slack, store, row)
        clients = await stack.enter_async_context(app.slack_clients(slack.bot_token, slack.api_url))
        identity = await app.identify(clients.reads)
        directory = Directory(clients.reads, identity.workspace, LookupCache())
        stack.push_async_callback(directory.close)
        poster = Poster(GatedCalls(clients.posts), store, identity.workspace, identity.home, identity.names)
        homes = HomePublisher(store, Overview(store), directory, GatedCalls(clients.homes), poster.link)
        cards = ClickedCards(store, poster, clients.reads.session)
        bot_user = identity.bot_user
        services = Services(
            store, NoQueue(), directory, clients.reads, frozenset(), poster.link, homes, cards, bot_user
        )
        stack.push_async_callback(services.drain)
        bolt = app.build(clients, identity)
        register(bolt, services)
        await stack.enter_async_context(app.socket_mode(bolt, slack.app_token, clients.reads))
        await slack.wait_connected(1)
        projector = asyncio.create_task(Projector(store, Outbox(store), poster, "bench").run())
        posted: dict[str, asyncio.Future[Message]] = {}
        watching = asyncio.create_task(_watch(slack, posted))
        outage = asyncio.create_task(_go_away(slack, row.outage))
        chance, at, tasks = random.Random(1), loop.time(), []
        for number in range(round(row.runs * row.minutes)):
            at += chance.expovariate(row.runs / 60)
            await asyncio.sleep(max(0.0, at - loop.time()))
            channel = requesters[number % len(requesters)]
            tasks.append(asyncio.create_task(_run(slack, store, number, channel, posted, seen)))
        await asyncio.wait(tasks, timeout=row.afterwards)
        seen.unsettled = sum(not task.done() for task in tasks)
        await outage
        for task in (*tasks, projector, watching):
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(projector, watching, return_exceptions=True)
        seen.unsettled += sum(isinstance(result, Exception) for result in results)
        seen.refused = sum(call.status == 429 for call in slack.calls)
        seen.posts = sum(call.method == "chat.postMessage" and call.ok for call in slack.calls)
        approvals = [channel for name, channel in slack.workspace.channels.items() if name.startswith(_APPROVALS)]
        seen.standing = [message for channel in approvals for message in channel.posts.values()]
        seen.events = sum(kind == "events_api" for kind, _ in slack.deliveries)
        seen.updates = sum(call.method == "chat.update" and call.ok for call in slack.calls)
        async for key in client.scan_iter(f"*{{{store.keys.prefix[1:-2]}}}*", count=1000):
            await client.unlink(key)
    return seen


async def _channels(slack: LocalSlack, store: Store, row: Row) -> list[ChannelId]:
    """Make the channels; each requester channel has its approvals channel."""
    members = {"U0ALICE", "U0BOB", slack.workspace.bot_user}
    approvals = [ChannelId(f"{_APPROVALS}{n}") for n in range(row.approvals)]
    requesters = [ChannelId(f"C0TASKS{n}") for n in range(row.requesters)]
    for channel in (*approvals, *requesters):
        slack.workspace.channels[channel] = Channel(channel, channel.lower(), set(members))
    await store.set_defaults(Rules(approvals[0], Reviewers(frozenset({UserId("U0BOB")})), timeout=timedelta(hours=8)))
    await store.workers.announce(WorkerId("bench"), Announcement((TeamInfo("email", ""),)), timedelta(hours=1))
    for number, channel in enumerate(requesters):
        settings = await store.settings(channel)
        changed = replace(settings.value, approvals_channel=approvals[number % len(approvals)])
        await store.commit(Change(settings={channel: Put(changed, settings.version)}))
    return requesters


async def _go_away(slack: LocalSlack, outage: Outage | None) -> None:
    """Have Slack answer nothing of use for a while."""
    if outage is None:
        return
    await asyncio.sleep(outage.after)
    slack.faults.add("lost_reply", times=None)
    await asyncio.sleep(outage.unheard)
    slack.faults.clear()
    slack.faults.add("server_error", times=None)
    await asyncio.sleep(outage.seconds - outage.unheard)
    slack.faults.clear()


async def _watch(slack: LocalSlack, posted: Mapping[str, asyncio.Future[Message]]) -> None:
    """Tell who waits for a card that it stands."""
    looked = 0
    while True:
        await slack.wait_for(lambda _, at=looked: len(slack.calls) > at, timeout=1e9)  # type: ignore[misc]
        for call in slack.calls[looked:]:
            if call.method != "chat.postMessage" or not call.ok or call.args.get("thread_ts"):
                continue
            assert call.result is not None
            for request in _BUTTON.findall(str(call.args["blocks"])):
                if request in posted and not posted[request].done():
                    posted[request].set_result(
                        slack.workspace.channels[call.result["channel"]].posts[call.result["ts"]]
                    )
        looked = len(slack.calls)


async def _run(
    slack: LocalSlack,
    store: Store,
    number: int,
    channel: ChannelId,
    posted: dict[str, asyncio.Future[Message]],
    seen: Measured,
) -> None:
    """A run that asks one question and ends when it is decided."""
    loop = asyncio.get_running_loop()
    lease = await _started(store, RunId(f"r{number}"), channel)
    await usecases.note_progress(store, lease, "writer", "a draft")
    call = Call("send_mail", json.dumps({"number": number}))
    question = Question("writer", 0, Kind.TOOL, "send this mail", f"Mail {number}: ten percent off.", call=call)
    asked_at = loop.time()
    request = await usecases.ask(store, lease, question)
    card = posted.setdefault(request.id, loop.create_future())
    message = await card
    seen.cards.append(loop.time() - asked_at)
    await asyncio.sleep(READS_FOR)
    decided_at = loop.time()
    row = f"decide {request.id}"
    block = row if _waits(message, row) else "decide"
    clicked = asyncio.create_task(slack.user("bob").click(message, "Approve", block=block))
    while _waits(message, block):  # noqa: ASYNC110 -- hundreds who look at each change would be the load
        await asyncio.sleep(max(LOOK, (loop.time() - decided_at) / 20))
    seen.settled.append(loop.time() - decided_at)
    await clicked
    await usecases.finish(store, lease, Finish(runs.Verb.FINISH, result="sent"))


def _waits(message: Message, block: str) -> bool:
    """Tell whether the card, or its row, still has its buttons."""
    return any(part.get("block_id") == block for part in message.blocks or [])


async def _started(store: Store, run: RunId, channel: ChannelId) -> Lease:
    requester = UserId("U0ALICE")
    await usecases.start(
        store, NoQueue(), run=run, workspace=_HERE, channel=channel, requester=requester, team="email", task="a mail"
    )
    lease = Lease(run, 1, "bench")
    await usecases.begin(store, lease)
    return lease
