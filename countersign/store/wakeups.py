"""Futures of one process, backed by Redis through one subscription (R5).

A published hint may be lost with its connection, so it is only a hint: all awaited records are read back on each
(re)subscription and at intervals. Subscribe first, then read.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final, Generic, Self, TypeVar

from countersign import metrics
from countersign.domain.errors import StoreUnavailable, UnknownSchema
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.metrics import Repair
from countersign.store.codec import decompress
from countersign.store.record_codecs import REQUESTS
from countersign.store.redis.errors import reaching
from countersign.store.store import Store

READ_BACK: Final = timedelta(seconds=15)
_BATCH: Final = 2000
_log = logging.getLogger(__name__)

K = TypeVar("K", bound=str)
V = TypeVar("V")


def _plain(record: bytes) -> bytes:
    """Return the JSON of a stored request, which begins with its id."""
    return decompress(record.partition(b"\n")[2])


class _Waiters(Generic[K, V]):
    """Waiters for records of one kind to become final."""

    def __init__(self, read: Callable[[list[K]], Awaitable[Mapping[K, V | None]]], final: Callable[[V], bool]) -> None:
        self._read = read
        self._final = final
        self.futures: dict[K, set[asyncio.Future[V]]] = {}

    async def wait(self, key: K) -> V:
        future: asyncio.Future[V] = asyncio.get_running_loop().create_future()
        self.futures.setdefault(key, set()).add(future)
        try:
            try:
                await self.look([key])
            except StoreUnavailable:
                _log.warning("Redis does not answer; still waiting, and reading again when it is back.")
            return await future
        finally:
            waiting = self.futures.get(key, set())
            waiting.discard(future)
            if not waiting:
                self.futures.pop(key, None)

    async def look(self, keys: list[K]) -> int:
        """Read these records, and wake the waiters of final ones; return their number."""
        woken = 0
        awaited = [key for key in keys if key in self.futures]
        for start in range(0, len(awaited), _BATCH):
            batch = awaited[start : start + _BATCH]
            for key, value in (await self._read(batch)).items():
                if value is not None:
                    woken += self.wake(key, value)
        return woken

    def wake(self, key: K, value: V) -> bool:
        """Wake the waiters of this record, if it is final."""
        waiting = [future for future in self.futures.get(key, ()) if self._final(value) and not future.done()]
        for future in waiting:
            future.set_result(value)
        return bool(waiting)


class Wakeups:
    """Implements `countersign.usecases.ports.Wakeups`, as a context manager.

    `due` is set whenever an earlier deadline may exist: after a new deadline, and after a hint may have been lost.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._requests = _Waiters[RequestId, Request](self._settled, lambda r: r.status is not Status.PENDING)
        self._runs = _Waiters[RunId, Run](store.readable_runs, lambda r: r.over)
        self.due = asyncio.Event()
        self._listeners: set[Callable[[bytes], None]] = set()
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._listen(), name="wakeups")
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @contextmanager
    def heard_by(self, hear: Callable[[bytes], None]) -> Iterator[None]:
        """Pass a line of JSON to `hear` for each settled request and ended run.

        It does so until the block ends. `{"missed": true}` means that some lines may have been missed.
        """
        self._listeners.add(hear)
        try:
            yield
        finally:
            self._listeners.discard(hear)

    def _tell(self, line: bytes) -> None:
        for hear in tuple(self._listeners):
            hear(line)

    async def settled(self, request: RequestId) -> Request:
        """Wait until the request is no longer pending, whatever Redis does meanwhile."""
        return await self._requests.wait(request)

    async def ended(self, run: RunId) -> Run:
        """Wait until the run has ended, whatever Redis does meanwhile."""
        return await self._runs.wait(run)

    async def _settled(self, asked: list[RequestId]) -> dict[RequestId, Request | None]:
        """Read the settled requests; the others are recognised without being read."""
        pending = await self._store.client.zmscore(self._store.keys.pending, asked)
        return await self._store.readable([n for n, due in zip(asked, pending, strict=True) if due is None])

    async def listening(self) -> None:
        """Wait until the subscription is active."""
        await self._listening.wait()

    async def _listen(self) -> None:
        while True:
            try:
                async with reaching(), self._store.client.pubsub() as subscription:
                    await subscription.subscribe(self._store.keys.wake)
                    await self._follow(subscription)
            except StoreUnavailable as wrong:
                if self._listening.is_set():
                    _log.warning("The subscription for wake-ups was lost; subscribing again. %s", wrong)
                self._listening.clear()
                await asyncio.sleep(0.2)
            except UnknownSchema as wrong:
                _log.error("Somebody waits for a record that cannot be read: %s", wrong)
                await asyncio.sleep(1)

    async def _follow(self, subscription: Any) -> None:
        loop = asyncio.get_running_loop()
        read_back_at = 0.0
        while True:
            left = max(0.0, read_back_at - loop.time()) if self._listening.is_set() else None
            async with reaching():
                message = await subscription.get_message(timeout=left)
            if message is not None and message["type"] == "message":
                await self._hear(message["data"])
                await asyncio.sleep(0)  # woken tasks run before this task looks for the next hint
            elif message is not None or loop.time() >= read_back_at:
                woken = await self._requests.look([*self._requests.futures]) + await self._runs.look(
                    [*self._runs.futures]
                )
                if message is not None:  # subscribed; redis-py subscribes again after a lost connection
                    self._tell(b'{"missed":true}\n')
                if woken:
                    _log.warning("%d wake-ups were missed; their records were found by reading back.", woken)
                    metrics.repaired(Repair.HINT_LOST, woken)
                self.due.set()
                self._listening.set()
                read_back_at = loop.time() + READ_BACK.total_seconds()

    async def _hear(self, hint: bytes) -> None:
        head, _, record = hint.partition(b"\n")
        kind, _, name = head.decode(errors="replace").partition(" ")
        request, run = RequestId.named(name), RunId.named(name)
        if kind == "request" and request is not None:
            if record and self._listeners:
                self._tell(_plain(record) + b"\n")
            settled = REQUESTS.read(record)[0] if record and request in self._requests.futures else None
            if settled is not None and settled.id == request:
                self._requests.wake(request, settled)
            else:
                await self._requests.look([request])
        elif kind == "run" and run is not None:
            self._tell(b'{"ended":"%b"}\n' % run.encode())
            await self._runs.look([run])
        elif kind == "due":
            self.due.set()
