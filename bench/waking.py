"""From a click until `input_func` has returned in another process, beside Bolt's dispatch alone and Redis alone.

The three are measured in turn within one run: the same card, payload, transport, Redis and moment. All processes of
a machine share one monotonic clock.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import redis.asyncio

from localslack import LocalSlack
from localslack.errors import Json
from localslack.workspace import Message
from tests.processes import Process, Town, town

AIM: Final = 2.0
"""Milliseconds that waking may add to Bolt's own dispatch, at the median (issue 2)."""
RAW_THERE: Final = 0.25
"""Milliseconds of the raw wake-up on the machine for which the aim was set: it tells how much slower this one is."""
_CALM: Final = 0.03
_WARM: Final = 10
"""Rounds that are not counted."""
_DECIDE: Final = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)
redis.call('ZREM', KEYS[2], ARGV[3])
redis.call('XADD', KEYS[3], '*', 'event', ARGV[2])
redis.call('PUBLISH', KEYS[4], ARGV[3])
"""
_APPROVE: Final = "Approve"
PORT: Final = r"^port (\d+) (\d+)$"
"""What a server of the benchmark says: its port, its process."""


@dataclass
class Waking:
    """Milliseconds of each round, over one transport."""

    transport: str
    ours: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    redis: list[float] = field(default_factory=list)


class Floor:
    """A decision as one script here, a coroutine that waits for it in another process."""

    def __init__(self, client: redis.asyncio.Redis, names: list[str], waiter: Process) -> None:
        self._script = client.register_script(_DECIDE)
        self._names = names
        self._waiter = waiter

    async def wake(self, number: int) -> float:
        """Milliseconds from before the script until the coroutine runs."""
        sent = time.monotonic_ns()
        await self._script(keys=self._names, args=[b"x" * 1000, b"y" * 300, str(number)])
        return _ms(sent, await self._waiter.said(rf"woken {number} (\d+)"))


@asynccontextmanager
async def floor(redis_url: str, names: int) -> AsyncIterator[Floor]:
    """The waiter's process runs as long as the block."""
    prefix = f"{{bench{secrets.token_hex(4)}}}:"
    keys = [prefix + name for name in ("decision", "pending", "events", "wake")]
    waiter = await Process("bench.waiter", {"REDIS_URL": redis_url, "WAKE": keys[3], "NAMES": str(names)}).start()
    client = redis.asyncio.Redis.from_url(redis_url)
    try:
        await waiter.said("ready")
        yield Floor(client, keys, waiter)
    finally:
        await waiter.kill()
        await client.delete(*keys[:3])
        await client.aclose()


class Bare:
    """Bolt with an empty listener, in a process of its own behind a local Slack of its own."""

    def __init__(self, slack: LocalSlack, process: Process) -> None:
        self._slack = slack
        self._process = process

    async def click(self, like: Message, number: int) -> float:
        """Milliseconds from a click on such a card until the listener is entered."""
        room = self._slack.channel("#approvals")
        card = self._slack.workspace.post(
            room, self._slack.workspace.bot_user, text=like.text, blocks=like.blocks, from_app=True
        )
        payload = payload_of(self._slack, card)
        sent = time.monotonic_ns()
        await click(self._slack, payload)
        return _ms(sent, await self._process.said(rf"entered {number} (\d+)"))


@asynccontextmanager
async def bare(*, http: bool) -> AsyncIterator[Bare]:
    """Its process and its Slack run as long as the block."""
    async with LocalSlack() as slack:
        process = await Process("bench.bare", environment(slack, "http" if http else "socket")).start()
        try:
            port = (await process.said(PORT))[1]
            if http:
                slack.events_urls.append(f"http://127.0.0.1:{port}/slack/events")
            else:
                await slack.wait_connected(1, timeout=10)
            yield Bare(slack, process)
        finally:
            await process.kill()


async def measure(redis_url: str, data: Path, rounds: int, *, http: bool) -> Waking:
    """That many rounds over one transport, after some to warm up."""
    result = Waking("signed HTTP" if http else "Socket Mode")
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(LocalSlack())
        alone = await stack.enter_async_context(bare(http=http))
        raw = await stack.enter_async_context(floor(redis_url, rounds + _WARM))
        there = await stack.enter_async_context(town(slack, redis_url, f"bench{secrets.token_hex(4)}", data))
        await there.web(http=http)
        worker = await _worker(there)
        reply = await slack.user("alice").command(f"/agent rounds {rounds + _WARM}", channel="#general")
        assert reply.ok, reply.error
        for number in range(rounds + _WARM):
            card = await _next_card(slack, number)
            await _calm(slack)
            dispatched = await alone.click(card, number)
            await asyncio.sleep(_CALM)
            woken = await raw.wake(number)
            await asyncio.sleep(_CALM)
            payload = payload_of(slack, card)
            sent = time.monotonic_ns()
            await click(slack, payload)
            returned = _ms(sent, await worker.said(rf"returned {number} (\d+)"))
            if number >= _WARM:
                result.ours.append(returned)
                result.bare.append(dispatched)
                result.redis.append(woken)
        assert not slack.problems, slack.problems
    return result


def environment(slack: LocalSlack, way: str) -> dict[str, str]:
    """What bench.bare needs."""
    return {
        "WAY": way,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_API_URL": slack.api_url,
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
    }


def payload_of(slack: LocalSlack, card: Message) -> Json:
    """Bob's click on the card's Approve, ready to be sent."""
    button = next(e for e in card.elements if e["type"] == "button" and e["text"]["text"] == _APPROVE)
    room = slack.channel("#approvals")
    return slack.server.actions.message_click(slack.user("bob").user, room, card, card, button, {}, {})


async def click(slack: LocalSlack, payload: Json) -> None:
    """Sends it; returns when the app acked."""
    ack = await slack.server.actions.click(slack.user("bob").user, payload)
    assert ack.ok, ack.error


async def _worker(there: Town) -> Process:
    process = await Process("bench.worker", {**there.agents, "DATA_DIR": str(there.data), "REQUESTS": "0"}).start()
    there.processes.append(process)
    await process.said(r"is ready")
    return process


async def _next_card(slack: LocalSlack, number: int) -> Message:
    posts = slack.channel("#approvals").posts

    def drawn() -> Message | None:
        cards = [m for m in list(posts.values())[-2:] if _APPROVE in m.buttons]
        return cards[-1] if len(posts) == number + 1 and cards else None

    found = await slack.wait_for(lambda _: drawn(), timeout=20, what=f"card {number}")
    assert found is not None
    return found


async def _calm(slack: LocalSlack) -> None:
    """Until the scribe has drawn all that is to draw: people click long after."""
    seen = -1
    while len(slack.calls) != seen:
        seen = len(slack.calls)
        await asyncio.sleep(_CALM)


def _ms(sent: int, line: re.Match[str]) -> float:
    return (int(line[1]) - sent) / 1e6
