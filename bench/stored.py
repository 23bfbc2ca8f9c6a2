"""What a waiting run takes in Redis beyond its own words: the mail team, with its card and thread in Slack.

Counted is what MEMORY USAGE says of every key of the namespace whose family stands in `KINDS`, keys and Redis's own
overhead too: the run, the request, its journal, its events in the stream, the entries of the audit record, the
messages in Slack, the lease and the indexes. What is there once (the
settings, the queue, the team's notice) falls out, because a few runs before those that count are subtracted. The job
engine's keys are not counted: what it keeps of an ended job goes after 15 minutes.

Subtracted are the run's own words, each once and unpacked: the task, the question, the progress line and what the
journal recorded. The same words stand also in an event and in the record, where they count as beyond.
"""

import asyncio
import json
import secrets
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bot.core.ids import RequestId, RunId
from bot.store.connecting import connect
from bot.store.journal import RedisJournal
from bot.store.outbox import GROUP
from bot.store.store import Store
from localslack import LocalSlack
from tests.processes import town

AIM: Final = 1500
"""Bytes (issue 3)."""
RECORD: Final = "the audit record"
KINDS: Final = {
    "run": "run and request",
    "request": "run and request",
    "asked": "run and request",
    "journal": "journal",
    "events": "events",
    "reports": "events",
    "audit": RECORD,
    "message": "Slack messages and their index",
    "ts": "Slack messages and their index",
    "origin": "run and request",
    "lease": "lease and indexes",
    "pending": "lease and indexes",
    "waits": "lease and indexes",
    "waits_not": "lease and indexes",
    "runs": "lease and indexes",
    "parked": "lease and indexes",
}
_FEW: Final = 5
"""Runs before those that count, so that what is there once is not counted."""


@dataclass(frozen=True)
class Stored:
    """Bytes for each run: everything by kind, and its own words."""

    runs: int
    kinds: dict[str, float]
    words: float

    @property
    def beyond(self) -> float:
        return sum(self.kinds.values()) - self.words


async def measure(url: str, data: Path, count: int) -> Stored:
    """That many runs, parked, with everything drawn in Slack."""
    namespace = f"bench{secrets.token_hex(4)}"
    async with LocalSlack() as slack, town(slack, url, namespace, data) as there, connect(url) as client:
        store = Store(client, namespace)
        await there.web(ON_TIMEOUT="wait")
        await there.worker(PARK_AFTER="0s")
        before: dict[str, float] = {}
        for runs in (_FEW, _FEW + count):
            while await client.zcard(store.keys.parked) + await client.zcard(store.keys.active) < runs:
                task = f"tell vendor {secrets.token_hex(2)} that we need {secrets.randbelow(90)}% off"
                reply = await slack.user("alice").command(f"/agent email {task}", channel="#general")
                assert reply.ok, reply.error
            await _drawn(store, runs)
            before, after = (await _bytes(store), before)
        kinds = {kind: (before[kind] - after[kind]) / count for kind in dict.fromkeys(KINDS.values())}
        return Stored(count, kinds, await _words(store))


async def _drawn(store: Store, runs: int) -> None:
    """Returns when so many runs are parked, and Slack shows and the record says all that happened."""
    async with asyncio.timeout(120):
        while True:
            group = (await store.client.xinfo_groups(store.keys.events))[0]
            waiting = await store.client.xpending(store.keys.events, GROUP)
            drawn = not group["lag"] and not waiting["pending"]
            newest = (await store.client.xrevrange(store.keys.events, count=1))[0][0]
            recorded = await store.client.hget(store.keys.audit_head, "event") == newest
            if drawn and recorded and await store.client.zcard(store.keys.parked) == runs:
                return
            await asyncio.sleep(0.1)


async def _bytes(store: Store) -> dict[str, float]:
    found: Counter[str] = Counter()
    async for key in store.client.scan_iter(f"{store.keys.prefix}*", count=1000):
        kind = KINDS.get(key.decode().removeprefix(store.keys.prefix).split(":")[0])
        if kind is not None:
            found[kind] += await store.client.memory_usage(key, samples=0)
    return {kind: float(found[kind]) for kind in KINDS.values()}


async def _words(store: Store) -> float:
    """Bytes of one run's own words, on average."""
    names = [RunId(name.decode()) for name in await store.client.zrange(store.keys.parked, 0, -1)]
    total = 0
    for run in await store.runs(names):
        assert run is not None
        texts = [run.task, *(line.words for line in run.progress)]
        for request in await store.requests([RequestId(name) for name in run.open.values()]):
            assert request is not None
            texts += [request.question.title, request.question.content]
        texts += [json.loads(entry)["value"] for entry in (await RedisJournal(store).entries(run.id)).values()]
        total += sum(len(text.encode()) for text in texts)
    return total / len(names)
