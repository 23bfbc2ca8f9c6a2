"""A million waiting requests, beside a thousand.

Whatever people and processes do should take as long, and as much memory. Two servers, each with a `web`, a worker and a
Slack of its own; each walk is done at the one and then at the other. The lower quartiles are compared, which a busy
machine changes least. All requests wait in the same channel, for the same reviewers and of the same requester. The
servers write no file: a disk varies more than everything else here.
"""

import asyncio
import random
import secrets
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

from bench.bulk_fill import Template, fill, template_of
from bench.figures import UNPACED, Figure, percentile
from bench.waiting_runs import resident
from bench.wakeup_latency import calm
from countersign.domain.ids import RunId
from countersign.domain.requests import Request, request_id
from countersign.metrics import WaitingKind
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.usecases import requeued_runs
from countersign.usecases.ports import Change, Committed, Put
from countersign.usecases.requeued_runs import Unheld
from localslack import LocalSlack
from localslack.workspace import Message
from tests.processes import Process, deployment
from tests.store_fixtures import NoQueue

AIM: Final = 1.2
MEMORY: Final = 1.1
FEW: Final = 1000
_FILL_SECONDS: Final = 60.0
_NAMESPACE: Final = "bench"
_WITHIN: Final = 60.0
_CALM: Final = 0.05
_WARM: Final = 2
_DEADLINES: Final = 100
_DUE_WITHIN: Final = 3.0
"""Seconds in which the deadlines are due."""


@dataclass
class Walker:
    """One installation as its people see it."""

    url: str
    slack: LocalSlack
    store: Store
    web: Process
    worker: Process

    async def ask(self) -> Message:
        """Start a run; return its card."""
        posts = self.slack.channel("#approvals").posts
        before = len(posts)
        reply = await self.slack.user("alice").command(
            f"/agent turns once 1 1 {secrets.token_hex(4)}", channel="#general"
        )
        assert reply.ok, reply.error

        def card() -> Message | None:
            return next((m for m in list(posts.values())[before:] if "Approve" in m.buttons), None)

        posted = await self.slack.wait_for(lambda _: card(), timeout=_WITHIN, description="a card")
        assert posted is not None
        return posted

    async def click(self, card: Message) -> None:
        """Approve; return when the click was acknowledged."""
        ack = await self.slack.user("bob").click(card, "Approve")
        assert ack.ok, ack.error

    async def pending(self) -> None:
        """List what waits."""
        bob = self.slack.user("bob")
        before = len(bob.ephemerals)
        reply = await bob.command("/approvals pending", channel="#approvals")
        assert reply.ok, reply.error
        if not reply.text and not reply.blocks:
            await self.slack.wait_for(lambda _: len(bob.ephemerals) > before, timeout=_WITHIN, description="the list")

    async def home(self) -> None:
        """Open one's Home; return when it is drawn."""
        bob = self.slack.user("bob")
        before = len(self.slack.calls)
        await bob.open_home()

        def drawn() -> bool:
            return any(call.method == "views.publish" for call in self.slack.calls[before:])

        await self.slack.wait_for(lambda _: drawn(), timeout=_WITHIN, description="a Home")

    async def repair(self) -> None:
        """Look for lost jobs and lost questions, as `web` does."""
        await requeued_runs.ask_again(self.store, NoQueue(), Unheld(self.store), timedelta(0))
        await requeued_runs.ask_for_forgotten(self.store, NoQueue())

    async def deadlines(self, count: int) -> list[float]:
        """Return the milliseconds from each deadline until it was kept."""
        like = await self._pending()
        first = await self.store.now() + timedelta(seconds=1 + count / 100)
        chance = random.Random(1)
        asked = []
        for number in range(count):
            question = replace(like.question, asked=1000 + number)
            due = first + timedelta(seconds=_DUE_WITHIN * chance.random())
            asked.append(replace(like, id=request_id(like.run, question), question=question, deadline=due))
            assert await self.store.commit(Change(requests=(Put(asked[-1], 0),))) is Committed.DONE
        async with asyncio.timeout(_WITHIN):
            while True:
                kept = [request for request in await self.store.requests([r.id for r in asked]) if request]
                late = [
                    (r.decision.at - r.deadline) / timedelta(milliseconds=1) for r in kept if r.decision and r.deadline
                ]
                if len(late) == count:
                    return late
                await asyncio.sleep(0.5)

    async def _pending(self) -> Request:
        """Some request that waits for long."""
        return (await self.store.indexes.waiting(1))[0]


async def measure(folder: Path, count: int, rounds: int) -> list[Figure]:
    """Fill one server with this many requests, and compare it with one of `FEW`.

    A minute may allow fewer of them.
    """
    async with AsyncExitStack() as stack:
        servers = [
            await stack.enter_async_context(EmbeddedRedis(folder / name, namespace=_NAMESPACE))
            for name in ("few", "many")
        ]
        template = await _template(servers[0].url, folder)
        filled = [await _fill(server.url, template, n) for server, n in zip(servers, (FEW, count), strict=True)]
        walkers = await asyncio.gather(*(stack.enter_async_context(_walker(server.url, folder)) for server in servers))
        times = await _walk(walkers, rounds)
        figures = [
            Figure(
                f"{name}, {filled[1].count:,} requests wait",
                f"with {FEW:,}: {few:.1f} ms",
                f"{many:.1f} ms",
                many / few,
                aim=AIM,
            )
            for name, (few, many) in times.items()
        ]
        for name, (few, many) in {
            name: [resident(process.pid) for process in processes]
            for name, processes in (("web", [w.web for w in walkers]), ("worker", [w.worker for w in walkers]))
        }.items():
            question = f"memory of {name}, {filled[1].count:,} requests wait"
            figures.append(Figure(question, f"with {FEW:,}: {few:.1f} MB", f"{many:.1f} MB", many / few, aim=MEMORY))
    size = filled[1].bytes / 1e9
    question = f"Redis for {filled[1].count:,} waiting requests, filled in {filled[1].seconds:.0f} s"
    return [*figures, Figure(question, "", f"{size:.2f} GB", filled[1].bytes / filled[1].count, "B each")]


@dataclass(frozen=True)
class _Filled:
    count: int
    bytes: int
    seconds: float


async def _fill(url: str, template: Template, count: int) -> _Filled:
    """Replace the store's content by this many requests."""
    async with connect(url) as client:
        await client.flushall()
        before, begun = (await client.info("memory"))["used_memory"], time.monotonic()
        written = await asyncio.to_thread(fill, url, template.copy, count, _FILL_SECONDS)
        seconds = time.monotonic() - begun
        store = Store(client, _NAMESPACE)
        standing = await store.indexes.standing()
        assert (standing[WaitingKind.REQUESTS], standing[WaitingKind.PARKED_RUNS]) == (written, written)
        assert (await store.indexes.waiting(1))[0].question.title, "a copy can be read"
        return _Filled(written, (await client.info("memory"))["used_memory"] - before, seconds)


async def _template(url: str, folder: Path) -> Template:
    """What the product makes of one task, until it waits and everything is drawn."""
    async with _walker(url, folder) as walker:
        await walker.ask()
        client, keys = walker.store.client, walker.store.keys
        async with asyncio.timeout(_WITHIN):
            while not await client.zcard(keys.parked) or await client.xlen(keys.events):  # noqa: ASYNC110 -- another process
                await asyncio.sleep(_CALM)
        return await template_of(walker.store, RunId((await client.zrange(keys.parked, 0, 0))[0].decode()))


@asynccontextmanager
async def _walker(url: str, folder: Path) -> AsyncIterator[Walker]:
    async with (
        LocalSlack(hurry=UNPACED) as slack,
        deployment(slack, url, _NAMESPACE, folder / "data") as there,
        connect(url) as client,
    ):
        web, worker = await asyncio.gather(
            there.web(APPROVAL_TIMEOUT="30d"),
            there.worker(TEAMS="bench/teams", PARK_AFTER="0s", REQUESTS="0", REDIS_FSYNC_MS="0"),
        )
        yield Walker(url, slack, Store(client, _NAMESPACE), web, worker)


async def _walk(walkers: list[Walker], rounds: int) -> dict[str, tuple[float, float]]:
    """Milliseconds of each walk, the lower quartile: at the first and at the second walker."""
    taken: defaultdict[str, list[list[float]]] = defaultdict(lambda: [[], []])

    async def timed(name: str, place: int, step: Callable[[], Awaitable[Message | None]]) -> Message | None:
        begun = time.perf_counter()
        result = await step()
        taken[name][place].append((time.perf_counter() - begun) * 1000)
        return result

    for number in range(rounds + _WARM):
        order = list(enumerate(walkers))
        for place, walker in order if number % 2 else order[::-1]:
            await calm(walker.slack, _CALM)
            card = await timed("a new request", place, walker.ask)
            assert card is not None
            await calm(walker.slack, _CALM)
            await timed("a click", place, partial(walker.click, card))
            await calm(walker.slack, _CALM)
            await timed("`/approvals pending`", place, walker.pending)
            await timed("Home", place, walker.home)
            await calm(walker.slack, _CALM)
            await timed("the repair", place, walker.repair)
    quartiles = {name: tuple(percentile(values[_WARM:], 25) for values in pair) for name, pair in taken.items()}
    late = await asyncio.gather(*(walker.deadlines(_DEADLINES) for walker in walkers))
    quartiles["a deadline"] = tuple(percentile(values, 25) for values in late)
    return {name: (few, many) for name, (few, many) in quartiles.items()}
