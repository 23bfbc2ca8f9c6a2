"""From a decision until the agent goes on, whose run is in memory: alone there, and beside 50,000 who wait as well.

The raw wake-up of Redis is measured in turn with it, beside as many who wait.
"""

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Final

from bench.crowd import CROWD, RUN, NoQueue, question
from bench.waking import floor
from bot.slack.projector.card_placement import name_of
from countersign import usecases
from countersign.domain import requests
from countersign.domain.channel_settings import OnTimeout, Rules
from countersign.domain.decision_rules import Attempt
from countersign.domain.ids import AttemptId, ChannelId, UserId, WorkspaceId
from countersign.domain.people import Actor, Reviewers
from countersign.store.ownership import Side
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.usecases.ports import Change, Claimed, Message, Put, TeamInfo
from tests.processes import Process

AIM: Final = 2.0
"""Times the raw wake-up, at the median (issue 3)."""
GROWTH: Final = 1.2
"""By how much "ours / raw" may grow from one that waits to all of them, and still be called no growth: the scatter of a
machine that does other things too."""
_CALM: Final = 0.03
_WARM: Final = 10
_BATCH: Final = 500
_WORKSPACE, _CHANNEL, _ALICE, _BOB = WorkspaceId("T0LOCAL"), ChannelId("C0GENERAL"), UserId("U0ALICE"), UserId("U0BOB")
_RULES: Final = Rules(ChannelId("C0APPROVALS"), Reviewers(frozenset({_BOB})), on_timeout=OnTimeout.WAIT)


@dataclass
class Woken:
    """Milliseconds of each round, with so many who wait."""

    waiting: int
    ours: list[float] = field(default_factory=list)
    redis: list[float] = field(default_factory=list)


async def measure(redis_url: str, data: Path, rounds: int, waiting: int) -> Woken:
    """That many rounds, after some to warm up."""
    namespace, result = f"bench{secrets.token_hex(4)}", Woken(waiting)
    async with connect(redis_url) as client, floor(redis_url, max(rounds + _WARM, waiting)) as raw:
        store, agents = (Store(client, namespace, side=side) for side in (Side.WEB, Side.AGENTS))
        await store.set_defaults(_RULES)
        await agents.workers.announce("bench", [TeamInfo("rounds", "asks")], timedelta(minutes=30))
        await _crowd(agents, waiting - 1)
        await usecases.start(
            store,
            NoQueue(),
            run=RUN,
            workspace=_WORKSPACE,
            channel=_CHANNEL,
            requester=_ALICE,
            team="rounds",
            task=str(rounds + _WARM),
        )
        env = {
            "REDIS_URL": redis_url,
            "NAMESPACE": namespace,
            "DATA_DIR": str(data),
            "CROWD": str(waiting - 1),
            "REQUESTS": "0",
        }
        worker = await Process("bench.crowd", env).start()
        try:
            await worker.said("^waiting", within=120)
            for number in range(rounds + _WARM):
                seen = await usecases.admit(store, await _drawn(store, await _asked(store)))
                await asyncio.sleep(_CALM)
                woken = await raw.wake(number)
                await asyncio.sleep(_CALM)
                name = AttemptId(secrets.token_hex(8))
                attempt = Attempt(name, Actor(_WORKSPACE, _BOB), requests.Verb.APPROVE, seen.value.digest)
                sent = time.monotonic_ns()
                await usecases.decide(store, NoQueue(), seen.value.id, attempt, seen)
                returned = await worker.said(rf"^returned {number} (\d+)")
                if number >= _WARM:
                    result.ours.append((int(returned[1]) - sent) / 1e6)
                    result.redis.append(woken)
        finally:
            await worker.kill()
            async for key in client.scan_iter(f"{store.keys.prefix}*", count=1000):
                await client.unlink(key)
    return result


async def _crowd(store: Store, count: int) -> None:
    """So many pending requests."""
    now = await store.now()
    for first in range(0, count, _BATCH):
        steps = [
            requests.ask(
                question(n),
                run=CROWD,
                workspace=_WORKSPACE,
                channel=_CHANNEL,
                requester=_ALICE,
                rules=_RULES,
                now=now,
            )
            for n in range(first, min(first + _BATCH, count))
        ]
        await store.commit(Change(requests=tuple(Put(step.request, 0) for step in steps)))


async def _drawn(store: Store, asked: Claimed) -> Claimed:
    """The request once its card stands, for whose rules web vouches therefore."""
    card = Message(_WORKSPACE, _RULES.approvals_channel, name_of(asked.value.id), vouches=asked.claim)
    await store.commit(Change(messages=(Put(card, 0),)))
    seen = await store.request(asked.value.id)
    assert seen is not None and not seen.claim
    return seen


async def _asked(store: Store) -> Claimed:
    """What the run waits for now, once its worker waits for it."""
    async with asyncio.timeout(20):
        while True:
            run = await store.run(RUN)
            assert run is not None, "it was just started"
            for name in run.value.open.values():
                seen = await store.request(name)
                if seen is not None and seen.value.status is requests.Status.PENDING:
                    return seen
            await asyncio.sleep(0.01)
