"""Decisions as `web` pushes them to a worker (R5).

One connection carries all that the worker waits for. A pushed line may be lost with its connection, so everything still
awaited is read back on each connection, whenever `web` reports that it may have missed something itself, and at
intervals. Connect first, then read. The names of the last pushed records are remembered: a caller that waits for one of
them later got an answer of `web` that was older than the push, and reads the record back.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, Generic, Self, TypeVar

from pydantic import TypeAdapter, ValidationError
from pydantic.json_schema import SkipJsonSchema

from countersign import metrics
from countersign.domain.errors import CountersignError, NewerSchema, QuestionLost
from countersign.domain.ids import RequestId, RunId
from countersign.domain.pauses import doubling
from countersign.domain.requests import Request
from countersign.metrics import Repair

_AT_ONCE: Final = 1000
_REMEMBERED: Final = 10_000
_NAME: Final = re.compile(rb'\{"id":"(q[a-z0-9]{1,40})"')
READ_BACK: Final = 60.0
"""Seconds between two reads of all awaited records."""
_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 2.0
_log = logging.getLogger(__name__)
K = TypeVar("K", bound=str)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class WaitingAnswer:
    """State of the requests and runs that a worker waits for.

    `gone` are requests that `web` does not have. `unreadable`, which is never sent, are settled requests that a newer
    `web` wrote and this version cannot read.
    """

    settled: tuple[Request, ...] = ()
    gone: tuple[RequestId, ...] = ()
    ended: tuple[RunId, ...] = ()
    unreadable: SkipJsonSchema[tuple[RequestId, ...]] = ()

    @classmethod
    def load(cls, raw: bytes) -> Self:
        """Read the answer of `web`."""
        try:
            return _WAITING.validate_json(raw)  # type: ignore[return-value]
        except ValidationError:
            pass
        settled: list[Request] = []
        unreadable: list[RequestId] = []
        answer = json.loads(raw)
        for one in answer.pop("settled", ()):
            try:
                settled.append(_REQUEST.validate_json(json.dumps(one)))
            except ValidationError:
                unreadable.append(RequestId(one["id"]))
        known = _WAITING.validate_json(json.dumps(answer))
        return replace(known, settled=tuple(settled), unreadable=tuple(unreadable))  # type: ignore[return-value]

    def dump(self) -> bytes:
        """Write the answer of `web`."""
        return _WAITING.dump_json(self, exclude_defaults=True)


_WAITING: Final = TypeAdapter(WaitingAnswer)
_REQUEST: Final = TypeAdapter(Request)


class _Futures(Generic[K, V]):
    """The futures of one kind, by the awaited name."""

    def __init__(self) -> None:
        self._futures: dict[K, set[asyncio.Future[V]]] = {}
        self._heard: dict[K, None] = {}

    def __iter__(self) -> Iterator[K]:
        return iter(self._futures)

    def __contains__(self, key: object) -> bool:
        return key in self._futures

    async def wait(self, key: K, look: Callable[[], Awaitable[object]]) -> V:
        """Wait for this record; `look` reads it back if it has already come."""
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(key, set()).add(future)
        try:
            if key in self._heard:
                await look()
            return await future
        finally:
            waiting = self._futures.get(key, set())
            waiting.discard(future)
            if not waiting:
                self._futures.pop(key, None)

    def wake(self, key: K, value: V) -> bool:
        """Wake all waiters of this record."""
        waiting = [future for future in self._futures.get(key, ()) if not future.done()]
        for future in waiting:
            future.set_result(value)
        return bool(waiting)

    def heard(self, key: K) -> None:
        """Remember that this record came, and forget the oldest one."""
        self._heard[key] = None
        if len(self._heard) > _REMEMBERED:
            del self._heard[next(iter(self._heard))]

    def fail(self, key: K, why: Exception) -> None:
        """Raise an error in all waiters of this record."""
        for future in self._futures.get(key, ()):
            if not future.done():
                future.set_exception(why)


Lines = Callable[[], AbstractAsyncContextManager[AsyncIterator[bytes]]]
ReadBack = Callable[[Sequence[RequestId], Sequence[RunId]], Awaitable[WaitingAnswer]]


class DecisionStream:
    """The stream, as a context manager.

    `lines` opens it; `read_back` asks for the awaited records; `recovered` is called when it opens after an outage.
    """

    SILENCE: Final = timedelta(seconds=15)
    """A stream without a line for this long is broken: `web` sends one every five seconds."""

    def __init__(self, lines: Lines, read_back: ReadBack, recovered: Callable[[], None] = lambda: None) -> None:
        self._lines = lines
        self._recovered = recovered
        self._read_back = read_back
        self._requests: _Futures[RequestId, Request] = _Futures()
        self._runs: _Futures[RunId, None] = _Futures()
        self._read_back_at = 0.0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name="decisions")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def settled(self, request: RequestId) -> Request:
        """Wait until the request is no longer pending.

        QuestionLost if `web` no longer has it.
        """
        return await self._requests.wait(request, lambda: self._look_or_later([request], []))

    async def ended(self, run: RunId) -> None:
        """Wait until the run has ended."""
        await self._runs.wait(run, lambda: self._look_or_later([], [run]))

    async def _follow(self) -> None:
        pauses = doubling(_PAUSE, _LONGEST_PAUSE)
        loop = asyncio.get_running_loop()
        told = False
        while True:
            pause = next(pauses)
            try:
                async with self._lines() as lines:
                    self._read_back_at = 0.0
                    metrics.decisions_heard(True)
                    pauses = doubling(_PAUSE, _LONGEST_PAUSE)
                    pause = next(pauses)
                    if told:
                        self._recovered()
                    told = False
                    async for line in lines:  # the first line comes at once
                        await self._hear(line)
                        if loop.time() >= self._read_back_at:
                            self._read_back_at = loop.time() + READ_BACK
                            await self._look_at_all()
            except CountersignError as lost:
                if not told and pause == _LONGEST_PAUSE:  # sooner, `web` may only be starting at the same time
                    _log.warning("No decisions are heard until `web` answers: %s", lost)
                    told = True
            except Exception:
                _log.exception("The stream of decisions cannot be read; connecting again.")
            metrics.decisions_heard(False)
            await asyncio.sleep(pause)

    async def _hear(self, line: bytes) -> None:
        if name := _NAME.match(line):
            request = RequestId(name[1].decode())
            self._requests.heard(request)
            if request in self._requests:  # otherwise it is another worker's, or was asked only now
                try:
                    self._requests.wake(request, _REQUEST.validate_json(line))
                except ValidationError:
                    self._requests.fail(request, _unreadable(request))
            return
        hint = json.loads(line or b"{}")
        if (run := RunId.named(str(hint.get("ended")))) is not None:
            self._runs.heard(run)
            self._runs.wake(run, None)
        if hint.get("missed"):
            await self._look_at_all()

    async def _look_at_all(self) -> None:
        requests, runs = [*self._requests], [*self._runs]
        woken = 0
        for start in range(0, max(len(requests), len(runs)), _AT_ONCE):
            woken += await self._look(requests[start : start + _AT_ONCE], runs[start : start + _AT_ONCE])
        if woken:
            _log.warning("%d decisions or ends were missed, and found by reading back.", woken)
            metrics.repaired(Repair.HINT_LOST, woken)

    async def _look_or_later(self, requests: Sequence[RequestId], runs: Sequence[RunId]) -> None:
        try:
            await self._look(requests, runs)
        except CountersignError as away:
            _log.info("%s It is read again with the next line.", away)
            self._read_back_at = 0.0

    async def _look(self, requests: Sequence[RequestId], runs: Sequence[RunId]) -> int:
        known = await self._read_back(requests, runs)
        woken = sum(self._requests.wake(request.id, request) for request in known.settled)
        woken += sum(self._runs.wake(run, None) for run in known.ended)
        for request in known.gone:
            why = f"Request {request} is gone, so nobody can decide on it; the run is rebuilt and asks again."
            self._requests.fail(request, QuestionLost(why))
        for request in known.unreadable:
            self._requests.fail(request, _unreadable(request))
        return woken


def _unreadable(request: RequestId) -> NewerSchema:
    return NewerSchema(f"A newer `web` settled request {request}; this version can't read it.")
