"""The bytes of a waiting run in Redis beyond its own words.

It is a run of the mail team, with its card and thread in Slack. Counted is what MEMORY USAGE says of every key of the
namespace whose family stands in `KINDS`, keys and Redis's own overhead too: the run, the request, its journal, the
entries of the audit record, the messages in Slack and the indexes. Keys that exist once cancel out, because a few
earlier runs are subtracted. Keys that expire within a day, however long the run waits, are not counted: its last lease,
the job engine's keys of the job that began it, and the key by which the same task, sent again at once, starts no second
run.

Events are gone by then, because drawn and recorded events are dropped. A key of a family that stands neither in `KINDS`
nor in `ONCE` ends the benchmark, so no new one is forgotten.

Subtracted are the run's own words, each once and as they are: the task, the question, the progress line and what the
journal recorded. The same words stand also in the record, where they count as beyond.
"""

import asyncio
import secrets
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.figures import UNPACED, Figure
from countersign.domain.ids import RequestId, RunId
from countersign.runs.area import Area
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from localslack import LocalSlack
from tests.processes import deployment

AIM: Final = 3000
"""Bytes, with its part of the record."""
LAST: Final = "3,345 B"
RECORD: Final = "the audit record"
LEAVING: Final = "what leaves within a day, not counted"
KINDS: Final = {
    "run": "run and request",
    "request": "run and request",
    "journal": "journal",
    "events": "events",
    "audit": RECORD,
    "message": "Slack messages and their index",
    "ts": "Slack messages and their index",
    "lease": LEAVING,
    "once": LEAVING,
    "jobs": LEAVING,
    "pending": "indexes",
    "waits": "indexes",
    "waits_not": "indexes",
    "runs": "indexes",
    "active": "indexes",
    "parked": "indexes",
    "undelivered": "indexes",
    "second_look": "indexes",
    "unposted": "indexes",
}
ONCE: Final = {
    "defaults": "one key",
    "workspace": "one key",
    "channels": "one key",
    "channel_names": "one key",
    "rulebook": "one key",
    "projector": "one key",
    "workers": "one key; a member for each worker",
    "worker": "a key for each worker",
    "api_key": "one key for all workers",
    "api_keys": "one key",
    "web": "of the area of workers: two keys",
    "calling_back": "one key; a member for each web process",
    "list_changes": "one key, a number",
    "waiting_groups": "one key; a member for each group of reviewers",
    "confirmed": "one key, for a minute",
    "person": "a key for each person, for five minutes",
    "joined": "a key for each person, for five minutes",
    "members": "a key for each channel, for five minutes",
    "usergroups": "one key, for five minutes",
}
"""Families of keys that are there once, however many runs wait, and why they are not counted."""
_FEW: Final = 5
"""Runs before those that count, so that what is there once is not counted."""


@dataclass(frozen=True)
class Stored:
    """Bytes for each run: everything by kind, and its own words.

    `beyond` is without what leaves, and without these.
    """

    kinds: dict[str, float]
    words: float

    @property
    def beyond(self) -> float:
        return sum(taken for kind, taken in self.kinds.items() if kind != LEAVING) - self.words


async def measure(url: str, data: Path, count: int) -> list[Figure]:
    """Measure that many parked runs, with everything drawn in Slack."""
    stored = await _stored(url, data, count)
    parts = ", ".join(f"{kind} {taken:.0f}" for kind, taken in stored.kinds.items() if taken >= 1)
    print(f"  bytes of a waiting run: {parts}", flush=True)
    return [
        Figure(
            f"bytes of a waiting run beyond its words, of {count}",
            f"words {stored.words:.0f} B",
            f"{stored.beyond + stored.words:.0f} B",
            stored.beyond,
            "B",
            AIM,
            last=LAST,
        )
    ]


async def _stored(url: str, data: Path, count: int) -> Stored:
    namespace = f"bench{secrets.token_hex(4)}"
    async with (
        LocalSlack(hurry=UNPACED) as slack,
        deployment(slack, url, namespace, data) as there,
        connect(url) as client,
    ):
        store = Store(client, namespace)
        await asyncio.gather(there.web(ON_TIMEOUT="wait"), there.worker(PARK_AFTER="0s"))
        before: dict[str, float] = {}
        after: dict[str, float] = {}
        for runs, more in ((_FEW, _FEW), (_FEW + count, count)):
            for _ in range(more):
                task = f"tell vendor {secrets.token_hex(2)} that we need {secrets.randbelow(90)}% off"
                reply = await slack.user("alice").command(f"/agent email {task}", channel="#general")
                assert reply.ok, reply.error
            await _drawn(store, runs)
            before, after = after, await _bytes(store)
        kinds = {kind: (after[kind] - before[kind]) / count for kind in dict.fromkeys(KINDS.values())}
        return Stored(kinds, await _words(store))


async def _drawn(store: Store, runs: int) -> None:
    """Wait until this many runs are parked, and all that happened is drawn and recorded, and has left therefore."""
    async with asyncio.timeout(120):
        while True:
            parked = await store.client.zcard(store.keys.parked)
            # In the order of their way: what leaves the one while it is looked at is in the next.
            going = await store.client.xlen(store.keys.events)
            if parked == runs and not going:
                return
            await asyncio.sleep(0.1)


async def _bytes(store: Store) -> dict[str, float]:
    sizes: Counter[str] = Counter()
    async for key in store.client.scan_iter(f"{{{store.keys.namespace}*", count=1000):
        family = key.decode().partition("}:")[2].split(":")[0]
        if family not in KINDS and family not in ONCE:
            raise LookupError(
                f"Nobody says whether a run that waits has keys like {key.decode()}. Add it to KINDS or ONCE."
            )
        if family in KINDS:
            # None: it ended meanwhile.
            sizes[KINDS[family]] += await store.client.memory_usage(key, samples=0) or 0
    return {kind: float(sizes[kind]) for kind in KINDS.values()}


async def _words(store: Store) -> float:
    """The bytes of one run's own words, on average."""
    names = [RunId(name.decode()) for name in await store.client.zrange(store.keys.parked, 0, -1)]
    total, journal = 0, RedisJournal(Area(store.client, store.keys.namespace))
    for run in (await store.readable_runs(names)).values():
        assert run is not None
        texts = [run.task, *(line.words for line in run.progress)]
        for request in await store.requests([RequestId(name) for name in run.open.values()]):
            assert request is not None
            texts += [request.question.title, request.question.content]
        texts += [Entry.load(entry).value for entry in (await journal.entries(run.id)).values()]
        total += sum(len(text.encode()) for text in texts)
    return total / len(names)
