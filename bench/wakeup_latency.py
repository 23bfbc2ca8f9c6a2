"""The time from a click to the return of `input_func` in another process.

Bare Bolt and bare Redis are measured beside it. The three are measured in turn: the same card, payload, transport,
Redis and moment. All processes of a machine share one monotonic clock.
"""

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Final

from bench.baseline_redis import raw_wakeup
from bench.figures import UNPACED, Figure, median
from localslack import LocalSlack
from localslack.errors import Json
from localslack.workspace import Message
from tests.processes import Deployment, Process, deployment

AIM: Final = 2.5
"""Raw wake-ups that waking may add to Bolt's own dispatch, at the median."""
LAST: Final = "2.5–2.9 wake-ups"
PORT: Final = r"^port (\d+) (\d+)$"
"""What a server of the benchmark says: its port, its process."""
_CALM: Final = 0.03
_WARM: Final = 10
"""Rounds that are not counted."""
_APPROVE: Final = "Approve"


class Bare:
    """Run Bolt with an empty listener, in a process and a local Slack of its own."""

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
async def bare() -> AsyncIterator[Bare]:
    """Bolt's process and its Slack run as long as the block."""
    async with LocalSlack(hurry=UNPACED) as slack:
        process = await Process("bench.baseline_bolt", environment(slack, "socket")).start()
        try:
            await process.said(PORT)
            await slack.wait_connected(1, timeout=10)
            yield Bare(slack, process)
        finally:
            await process.kill()


async def measure(redis_url: str, data: Path, rounds: int) -> list[Figure]:
    """Measure that many rounds over Socket Mode, after some to warm up."""
    ours: list[float] = []
    bolt: list[float] = []
    redis: list[float] = []
    async with AsyncExitStack() as stack:
        slack = await stack.enter_async_context(LocalSlack(hurry=UNPACED))
        alone = await stack.enter_async_context(bare())
        raw = await stack.enter_async_context(raw_wakeup(redis_url))
        there = await stack.enter_async_context(deployment(slack, redis_url, f"bench{secrets.token_hex(4)}", data))
        await there.web()
        worker = await _worker(there)
        reply = await slack.user("alice").command(f"/agent rounds {rounds + _WARM}", channel="#general")
        assert reply.ok, reply.error
        for number in range(rounds + _WARM):
            card = await _next_card(slack, number)
            await calm(slack)
            bolt.append(await alone.click(card, number))
            await asyncio.sleep(_CALM)
            redis.append(await raw.wake())
            await asyncio.sleep(_CALM)
            payload = payload_of(slack, card)
            sent = time.monotonic_ns()
            await click(slack, payload)
            ours.append(_ms(sent, await worker.said(rf"returned {number} (\d+)")))
        assert not slack.problems, slack.problems
    taken, limit, wake = (median(values[_WARM:]) for values in (ours, bolt, redis))
    return [
        Figure(
            "click → agent goes on, beyond bare Bolt",
            f"Bolt {limit:.2f} ms, raw wake-up {wake:.2f} ms",
            f"{taken:.2f} ms",
            (taken - limit) / wake,
            "wake-ups",
            AIM,
            last=LAST,
        )
    ]


def environment(slack: LocalSlack, way: str) -> dict[str, str]:
    """Return the environment that bench.baseline_bolt needs."""
    return {
        "WAY": way,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_API_URL": slack.api_url,
        "SLACK_PACE": str(slack.config.hurry),
        "SLACK_APP_TOKEN": slack.app_token,
        "SLACK_SIGNING_SECRET": slack.signing_secret,
    }


def payload_of(slack: LocalSlack, card: Message) -> Json:
    """Bob's click on the card's Approve, ready to be sent."""
    button = next(e for e in card.elements if e["type"] == "button" and e["text"]["text"] == _APPROVE)
    room = slack.channel("#approvals")
    return slack.server.actions.message_click(slack.user("bob").user, room, card, card, button, {}, {})


async def click(slack: LocalSlack, payload: Json) -> None:
    """Send it; return when the app acked."""
    ack = await slack.server.actions.click(slack.user("bob").user, payload)
    assert ack.ok, ack.error


async def _worker(there: Deployment) -> Process:
    env = {**there.agents, "DATA_DIR": str(there.data), "TEAMS": "bench/teams", "REQUESTS": "0"}
    process = await Process("agents", env).start()
    there.processes.append(process)
    await process.said(r"is ready")
    return process


async def _next_card(slack: LocalSlack, number: int) -> Message:
    posts = slack.channel("#approvals").posts

    def drawn() -> Message | None:
        cards = [m for m in list(posts.values())[-2:] if _APPROVE in m.buttons]
        return cards[-1] if len(posts) == number + 1 and cards else None

    card = await slack.wait_for(lambda _: drawn(), timeout=20, description=f"card {number}")
    assert card is not None
    return card


async def calm(slack: LocalSlack, pause: float = _CALM) -> None:
    """Wait until everything is drawn: until no call comes for `pause` seconds."""
    calls = -1
    while len(slack.calls) != calls:
        calls = len(slack.calls)
        await asyncio.sleep(pause)


def _ms(sent: int, line: re.Match[str]) -> float:
    return (int(line[1]) - sent) / 1e6
