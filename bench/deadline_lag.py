"""The time from a deadline to its settled request, with many due at once.

Deadlines are spread by chance, as they are where people ask; they are kept by a process of its own that does nothing
else, and the runs are parked, so each deadline also asks for its run. As a module this file is that process: it prints
`keeping`.
"""

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from bench.baseline_redis import raw_wakeup
from bench.figures import Figure, median, percentile
from bench.workers import AT_ONCE, RULES, Installation, installation
from countersign import usecases
from countersign.domain import requests
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Kind, Question, Request
from countersign.runs.job_queue import Queue
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines
from countersign.usecases.ports import Change, Committed, Lease, Put
from tests.processes import Process

AIM: Final = 400
"""Raw wake-ups, of 99 in 100: 100 ms where a raw wake-up takes 0.25 ms."""
A_SECOND: Final = 10_000 / 60
LAST: Final = "22 ms"
"""On two quiet cores."""
_QUESTIONS: Final = 20
"""In each run."""
_WRITTEN_WITHIN: Final = timedelta(seconds=1)
"""For each thousand requests, before the first of their deadlines."""


async def measure(url: str, data: Path, count: int) -> list[Figure]:
    """Measure this many deadlines, 10,000 a minute."""
    late = await _measured(url, data, count, count / A_SECOND)
    async with raw_wakeup(url) as raw:
        wake = median([await raw.wake() for _ in range(50)])
    worst = percentile(late, 99)
    return [
        Figure(
            f"lag of {count:,} deadlines, 10,000 a minute, 99 of 100",
            f"raw wake-up {wake:.2f} ms",
            f"{worst:.1f} ms",
            worst / wake,
            "wake-ups",
            AIM,
            last=LAST,
        )
    ]


async def _measured(url: str, data: Path, count: int, seconds: float) -> list[float]:
    """Milliseconds from each deadline to its decision, both by the server's clock."""
    async with installation(url, data, replace(RULES, on_timeout=OnTimeout.REJECT, timeout=timedelta(days=1))) as there:
        runs = [await _parked_run(there, RunId(f"r{n}")) for n in range(-(-count // _QUESTIONS))]
        keeper = await Process("bench.deadline_lag", {"REDIS_URL": url, "NAMESPACE": there.namespace}).start()
        try:
            await keeper.said("keeping")
            first = await there.store.now() + _WRITTEN_WITHIN * (1 + count / 1000)
            chance = random.Random(1)
            due = sorted(first + timedelta(seconds=seconds * chance.random()) for _ in range(count))
            asked = [_request(runs[n % len(runs)], n, at) for n, at in enumerate(due)]
            for start in range(0, count, AT_ONCE):
                await asyncio.gather(*(_store(there, request) for request in asked[start : start + AT_ONCE]))
            assert await there.store.now() < first, "The requests were written too slowly."
            async with asyncio.timeout(seconds + 120):
                while await _left(there) > len(runs):  # noqa: ASYNC110 -- another process
                    await asyncio.sleep(0.5)
        finally:
            await keeper.kill(signal.SIGTERM)
        return await _late(there, [request.id for request in asked])


async def _left(there: Installation) -> int:
    """Undecided requests; those that the runs were parked with are not due."""
    return int(await there.store.client.zcard(there.store.keys.pending))


async def _parked_run(there: Installation, run: RunId) -> Request:
    """A parked run, by the question that it was parked with."""
    await there.start([run], "once 1 1")
    lease = Lease(run, 1, "bench")
    await usecases.begin(there.store, lease)
    request = await usecases.ask(there.store, lease, _question(-1))
    assert await usecases.park(there.store, lease, frozenset({request.id}))
    return request


def _question(number: int) -> Question:
    return Question("agent", number + 1, Kind.MESSAGE, "Send this draft?", "Ten percent off, please.")


def _request(like: Request, number: int, due: datetime) -> Request:
    question = _question(number)
    return replace(like, id=requests.request_id(like.run, question), question=question, deadline=due)


async def _store(there: Installation, request: Request) -> None:
    assert await there.store.commit(Change(requests=(Put(request, 0),))) is Committed.DONE


async def _late(there: Installation, ids: Sequence[RequestId]) -> list[float]:
    late = []
    for start in range(0, len(ids), 1000):
        for request in await there.store.requests(list(ids[start : start + 1000])):
            assert request is not None
            assert request.decision is not None
            assert request.deadline is not None
            late.append((request.decision.at - request.deadline) / timedelta(milliseconds=1))
    return late


async def main(url: str, namespace: str) -> None:
    """Keep deadlines as `web` does, and nothing else, until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with connect(url) as client, Queue(url, namespace) as queue:
        store = Store(client, namespace)
        async with Wakeups(store) as wakeups:
            keeping = asyncio.create_task(deadlines.keep(store, queue, wakeups))
            print("keeping", flush=True)
            await stop.wait()
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(os.environ["REDIS_URL"], os.environ["NAMESPACE"]))
