"""Wrong payloads of each kind, one after another, and what came of them."""

import contextlib
import gc
import json
import logging
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final, TextIO

from bot.api.worker_calls import LARGEST
from bot.slack.views.approval_card import card
from countersign.domain.errors import UnknownSchema
from countersign.domain.ids import RunId, digest_of
from countersign.domain.requests import Status
from countersign.domain.runs import Run
from countersign.runs.area import Area
from countersign.runs.entries import Entry
from countersign.runs.journal_storage import RedisJournal
from countersign.runs.run_journal import RunJournal
from countersign.store.codec import compress, decompress
from countersign.store.record_codecs import EVENTS
from countersign.store.request_lists import Lists, Overview
from countersign.usecases.ports import Lease
from tests.fuzz.mutations import mutated, spoiled
from tests.fuzz.target import RUN, Deployment, encoded
from tests.fuzz.worker_calls import ANNOUNCED, REQUEST, RIGHT, WAITED, about
from tests.sample_requests import BOB
from tests.store_fixtures import start_run

FLAT: Final = 64 * 2**20
"""Bytes by which memory may grow from a quarter of the way to the end: what caches that have a bound hold."""
_NO_RUNS: Final = ("rgone", "rtest", "ptest", "s1", "x", "..", "%00", "r" + "z" * 500)
"""Runs that do not exist, that another fence has, and texts that are no run's id."""
_NOTHING_TO_DO: Final = b'{"run":null}'
"""The answer to the claim of a run that the worker does not reach."""
_HUGE: Final = 0.003
"""The share of calls that are larger than any may be."""
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
        self._runs = 0

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
        path = self.random.choice(("/slack/events", "/slack/events", "/readyz", "/metrics", "/", "/slack/../x", "\x00"))
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

    async def call(self) -> None:
        """A call of a worker over HTTP: wrong, with another key, or about what is not its own."""
        run = await self._run()
        name, plain = self.random.choice(RIGHT)
        whose = self.random.choices(("own", "other", "program"), (8, 1, 1))[0]
        asked = self.random.choice([*run.open.values(), *(one.id for one in self.it.pending), REQUEST])
        lease = {"fence": run.fence, "owner": "worker"}
        method, path, body = "POST", f"/v1/runs/{run.id}/{name}", {"lease": lease, "call": about(plain, asked)}
        if self.random.random() < 0.15:
            method, path, body = self.random.choice(
                (
                    ("POST", "/v1/waiting", about(WAITED, asked)),
                    ("PUT", "/v1/workers/fuzz", ANNOUNCED),
                    ("DELETE", "/v1/workers/fuzz", {}),
                    ("POST", f"/v1/runs/{self.random.choice(_NO_RUNS)}/{name}", body),
                )
            )
        raw = (
            json.dumps(mutated(body, self.random)).encode() if self.random.random() < 0.9 else json.dumps(body).encode()
        )
        if self.random.random() < 0.1:
            raw = spoiled(raw, self.random)
        elif self.random.random() < _HUGE:
            raw = b'"' + b"x" * LARGEST + b'"'
        status, answer = await self.it.called(method, path, self.it.tokens[whose], raw)
        self._answered(status)
        told = status < 400 and answer != _NOTHING_TO_DO
        if whose != "own" and path.startswith(f"/v1/runs/{run.id}") and told:
            self.found.problems.append(f"{method} {path} with the key `{whose}` was answered with {status}")
        if status == 200:
            await self._read_as_web(run.id, answer)

    async def _run(self) -> Run:
        """The run for which calls are made; another one once it has ended."""
        while (run := await self.it.begun(RunId(f"rcalls{self._runs}"))) is None:
            self._runs += 1
            await start_run(self.it.store, f"rcalls{self._runs}")
        return run

    async def _read_as_web(self, run: RunId, answer: bytes) -> None:
        """What a call had stored, in every way in which web reads it; nobody has decided on it."""
        web = self.it.store
        told = json.loads(answer)
        if isinstance(told, dict) and told.get("status") in _BY_PEOPLE and (told.get("decision") or {}).get("by"):
            self.found.problems.append(f"a call decided: {told}")
        stored = await web.run(run)
        assert stored is not None
        for name in stored.value.open.values():
            if (seen := await web.request(name)) is not None:
                json.dumps(card(seen.value, run=stored.value, run_link=None).blocks)
        await Overview(web).waiting([BOB], BOB, lambda one: True, 9)
        await web.workers.teams()
        await Lists(web).follow(EVENTS.load(fields[b"event"]) for _, fields in await web.client.xrange(web.keys.events))
        await web.client.xtrim(web.keys.events, maxlen=0)

    async def entry(self) -> None:
        """An entry of a journal, as the worker that goes on with the run reads it."""
        value = json.dumps({"finish_reason": "stop", "content": "x", "usage": {"prompt_tokens": 1}})
        plain = Entry(self.random.choice(("started", "done", "failed", "unknown")), value, "a", "", 1).dump()
        raw = json.dumps(mutated(json.loads(plain), self.random)).encode()
        if self.random.random() < 0.3:
            raw = spoiled(raw, self.random)
        with contextlib.suppress(UnknownSchema):
            decompress(spoiled(compress(plain), self.random))
        journal = RedisJournal(Area(self.it.store.client, "fuzz"))
        with contextlib.suppress(UnknownSchema):
            RunJournal(journal, Lease(RUN, 1, "worker"), {f"model/a/{digest_of('x')}/0": raw})

    def _answered(self, status: int) -> None:
        if not 200 <= status < 500:
            self.found.problems.append(f"answered with {status}")


async def fuzz(it: Deployment, count: int, seed: int, say: Callable[[str], None] = lambda words: None) -> Found:
    """So many wrong payloads."""
    run = Fuzz(it, seed)
    ways = {"payload": 45, "request": 15, "call": 30, "entry": 10}
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
