"""Wrong payloads of each kind, one after another, and what came of them."""

import contextlib
import gc
import json
import logging
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any, Final, TextIO

from bot.slack.views.approval_card import card
from countersign import usecases
from countersign.domain.errors import CountersignError, UnknownSchema
from countersign.domain.events import Event, EventType
from countersign.domain.ids import RequestId, RunId, digest_of
from countersign.domain.requests import Status, request_id
from countersign.replay.entries import Entry
from countersign.replay.run_journal import RunJournal
from countersign.store.codec import compress, decompress
from countersign.store.record_codecs import EVENTS, REQUESTS, RUNS, TEAMS, read_event
from countersign.store.request_lists import Lists, Overview
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease
from tests.fuzz.mutations import mutated, spoiled
from tests.fuzz.target import RUN, Deployment, encoded
from tests.sample_requests import BOB
from tests.store_fixtures import NoQueue

FLAT: Final = 64 * 2**20
"""Bytes by which memory may grow from a quarter of the way to the end: what caches that have a bound hold."""
_OTHER: Final = RunId(RUN + "x")
_BY_PEOPLE: Final = {Status.APPROVED, Status.ANSWERED, Status.EDITED}


@dataclass
class Found:
    """What was sent, and what should not have come of it."""

    sent: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    grown: int = 0


class Fuzz:
    """One run; the same seed sends the same."""

    def __init__(self, it: Deployment, seed: int) -> None:
        self.it = it
        self.random = Random(seed)
        self.found = Found()

    async def payload(self) -> None:
        """A click, a window or a command, signed; sometimes the bytes of one are spoiled and signed after that."""
        kind, seed = self.random.choice(self.it.seeds)
        body, type_ = encoded(kind, mutated(seed, self.random))
        if self.random.random() < 0.1:
            body = spoiled(body, self.random)
        self._answered(await self.it.post(body, type_))

    async def request(self) -> None:
        """HTTP from anybody: not signed, or wrongly."""
        kind, seed = self.random.choice(self.it.seeds)
        body, type_ = encoded(kind, mutated(seed, self.random))
        method = self.random.choice(("POST", "POST", "POST", "GET", "PUT", "OPTIONS", "X"))
        path = self.random.choice(
            ("/slack/events", "/slack/events", "/healthz", "/metrics", "/", "/slack/../x", "\x00")
        )
        headers = {
            "content-type": type_,
            "content-length": str(self.random.choice((len(body), 0, -1, 10**30, "x", "٣"))),
            "x-slack-signature": self.random.choice(("", "v0=", "v0=" + "a" * 64, "v0=" + "é" * 64, "x" * 9000)),
            "x-slack-request-timestamp": str(self.random.choice((int(time.time()), 0, -5, "", "x", 10**400, "1e9"))),
        }
        status = await self.it.http(method, path, headers, spoiled(body, self.random))
        self._answered(status)
        if path == "/slack/events" and status < 400:
            self.found.problems.append(f"{method} {path} without a signature was answered with {status}")

    async def record(self) -> None:
        """A record that a worker wrote, read in every way in which web reads it."""
        asked = self.random.choice(self.it.pending)
        run = await self.it.store.run(RUN)
        assert run is not None
        keys, agents, web = self.it.agents.keys, self.it.agents.client, self.it.store
        told = mutated(json.loads(REQUESTS.adapter.dump_json(asked)), self.random)
        raw = json.dumps(told).encode()
        name = RequestId(asked.id + "x")
        try:  # what can be read gets the id that belongs to its words, so that it goes as far as it can
            forged = REQUESTS.load(raw)
            name = request_id(forged.run, forged.question)
            raw = REQUESTS.adapter.dump_json(replace(forged, id=name))
        except CountersignError:
            pass
        if await web.request(name) is not None:  # it is one that was really asked
            return
        stored = b"%d 2\n" % self.random.choice((1, 1, 5, 10**9, 10**20)) + self.random.choice((raw, compress(raw)))
        if self.random.random() < 0.2:
            stored = spoiled(stored, self.random)
        await agents.set(keys.asked(name), stored, px=60_000)
        await agents.zadd(keys.pending, {name: self.random.choice((0, 1e300, -1e300, time.time() * 1000))})
        try:
            for read in (
                lambda: usecases.catch_up(web, NoQueue(), name),
                lambda: web.indexes.waiting(50),
                lambda: web.readable([name]),
                lambda: Overview(web).waiting([BOB], BOB, lambda one: True, 9),
                lambda: _drawn(web, name, run.value),
            ):
                await self._read(read)
            got = (await web.readable([name])).get(name)
            if got is not None and (got.status in _BY_PEOPLE or got.votes or (got.decision and got.decision.by)):
                self.found.problems.append(f"a forged record counts as decided: {got}")
        finally:
            await web.client.delete(keys.request(name), keys.asked(name))
            await agents.zrem(keys.pending, name)
            await agents.zrem(keys.undelivered, name)

    async def other_record(self) -> None:
        """A run, what a worker's teams are, or a report."""
        run = await self.it.store.run(RUN)
        assert run is not None
        keys, agents, web = self.it.agents.keys, self.it.agents.client, self.it.store
        match self.random.randrange(3):
            case 0:
                plain = mutated(json.loads(RUNS.adapter.dump_json(replace(run.value, id=_OTHER))), self.random)
                await agents.set(keys.run(_OTHER), b"1 2\n" + compress(json.dumps(plain).encode()), px=60_000)
                await agents.zadd(keys.active, {_OTHER: 1e15})
                await self._read(lambda: web.indexes.active_runs(5))
                await self._read(lambda: web.run(_OTHER))
                await agents.zrem(keys.active, _OTHER)
            case 1:
                teams = mutated(json.loads(TEAMS.adapter.dump_json(await web.workers.teams())), self.random)
                await agents.set(keys.team("other"), compress(json.dumps(teams).encode()), px=60_000)
                await agents.zadd(keys.workers, {"other": 1e15})
                await self._read(web.workers.teams)
                await agents.delete(keys.team("other"))
                await agents.zrem(keys.workers, "other")
            case 2:
                kind = self.random.choice(list(EventType))
                event = Event(kind, run.now, run=RUN, workspace=run.value.workspace, data={"outcome": "approved"})
                told = json.dumps(mutated(json.loads(EVENTS.dump(event)), self.random)).encode()
                await agents.rpush(keys.reports, told if self.random.random() < 0.8 else spoiled(told, self.random))
                await self._read(lambda: web.commit(Change()))
                for entry, fields in await web.client.xrange(keys.events):
                    await self._read(lambda e=entry, f=fields: _followed(web, f, e))  # type: ignore[misc]
                await web.client.xtrim(keys.events, maxlen=0)

    async def entry(self) -> None:
        """An entry of a journal, as the worker that goes on with the run reads it."""
        value = json.dumps({"finish_reason": "stop", "content": "x", "usage": {"prompt_tokens": 1}})
        plain = Entry(self.random.choice(("started", "done", "failed", "unknown")), value, "a", "", 1).dump()
        raw = json.dumps(mutated(json.loads(plain), self.random)).encode()
        if self.random.random() < 0.3:
            raw = spoiled(raw, self.random)
        with contextlib.suppress(UnknownSchema):
            decompress(spoiled(compress(plain), self.random))
        journal: Any = None
        with contextlib.suppress(UnknownSchema):
            RunJournal(journal, Lease(RUN, 1, "worker"), {f"model/a/{digest_of('x')}/0": raw})

    async def _read(self, read: Callable[[], Awaitable[object]]) -> None:
        with contextlib.suppress(CountersignError):
            await read()

    def _answered(self, status: int) -> None:
        if not 200 <= status < 500:
            self.found.problems.append(f"answered with {status}")


async def fuzz(it: Deployment, count: int, seed: int, say: Callable[[str], None] = lambda words: None) -> Found:
    """So many wrong payloads."""
    run = Fuzz(it, seed)
    ways = {"payload": 50, "request": 15, "record": 15, "other_record": 10, "entry": 10}
    before = await it.standing()
    memory, told, began = 0, 0, time.monotonic()
    left = _Left(run.found)
    logging.getLogger().addHandler(left)
    with warned(run.found):
        for number in range(count):
            way = run.random.choices(list(ways), weights=list(ways.values()))[0]
            run.found.sent[way] += 1
            try:
                await getattr(run, way)()
            except Exception:
                run.found.problems.append(f"number {number}, {way}: {traceback.format_exc()}")
            if number % 200 == 199 or number == count - 1:
                await it.forget()
                if (after := await it.standing()) != before:
                    run.found.problems.append(f"by {number} something was decided: {before} became {after}")
                    before = after
            if number == count // 4:
                memory = resident()
            while told < len(run.found.problems):
                say(run.found.problems[told])
                told += 1
            if number % 5000 == 4999:
                took = time.monotonic() - began
                say(f"{number + 1:,} in {took:.0f} s, {resident() >> 20} MiB, {len(run.found.problems)} wrong")
        gc.collect()
    logging.getLogger().removeHandler(left)
    run.found.grown = resident() - memory
    if run.found.grown > FLAT:
        run.found.problems.append(f"memory grew by {run.found.grown >> 20} MiB since a quarter of the way")
    say(f"{dict(run.found.sent)}; memory grew by {run.found.grown >> 20} MiB; {len(run.found.problems)} wrong")
    return run.found


@contextlib.contextmanager
def warned(found: Found) -> Iterator[None]:
    """Notes coroutines that nobody awaited, and whatever else Python warns of as it runs."""

    def note(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, RuntimeWarning):
            found.problems.append(f"{category.__name__}: {message} ({filename}:{lineno})")

    with warnings.catch_warnings():
        warnings.simplefilter("always", RuntimeWarning)
        warnings.showwarning = note
        yield


class _Left(logging.Handler):
    """Notes exceptions that left whoever was to handle them: a task nobody waits for, an answer nobody could give."""

    def __init__(self, found: Found) -> None:
        super().__init__(logging.ERROR)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        told = record.getMessage()
        if record.exc_info and (record.name.startswith(("asyncio", "uvicorn")) or "Nor could they" in told):
            self._found.problems.append(f"{told}: {record.exc_info[1]!r}")


def resident() -> int:
    """Bytes of memory that this process has; 0 where the system does not say."""
    gc.collect()
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except OSError:
        return 0


async def _drawn(web: Store, name: RequestId, run: Any) -> object:
    seen = await usecases.admitted(web, name)
    return seen and json.dumps(card(seen.value, run=run, run_link=None).blocks)


async def _followed(web: Store, fields: dict[bytes, bytes], entry: bytes) -> None:
    await Lists(web).follow([read_event(fields, entry)])
