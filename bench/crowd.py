"""A worker with one real run, in which a team waits for people, and CROWD more that wait as its questions do.

Teams of AutoGen by the ten thousand would not fit into memory, which is why such runs park; what waits here beside the
one are futures of the same subscription, each for a pending request of its own. Prints `waiting`.
"""

import asyncio
import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Final

from agents import registry
from countersign.autogen.models.demo import DemoModel
from countersign.autogen.runner import Runner
from countersign.domain.ids import RequestId, RunId
from countersign.domain.questions import salted
from countersign.domain.requests import Kind, Question, request_id
from countersign.settings import WorkerSettings, read
from countersign.store.journal import RedisJournal
from countersign.store.ownership import Side
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups

RUN: Final = RunId("rone")
CROWD: Final = RunId("rcrowd")
_AT_ONCE = 500


def question(number: int) -> Question:
    """What each of the crowd asks."""
    return Question("somebody", number, Kind.MESSAGE, "Send this draft?", "To: vendor@example.com\n\nTen percent off.")


class NoQueue:
    """A queue that asks nobody."""

    async def advance(self, run: RunId, *, after: timedelta = timedelta(0), signal: RequestId | None = None) -> None:
        return


async def main(settings: WorkerSettings, crowd: int) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with connect(settings.redis_url.get_secret_value()) as client:
        store = Store(client, settings.namespace, side=Side.AGENTS)
        async with Wakeups(store) as wakeups:
            await wakeups.listening()
            run = await store.run(CROWD)
            salt = run.value.salt if run is not None else ""
            waiting = []
            for first in range(0, crowd, _AT_ONCE):
                some = range(first, min(first + _AT_ONCE, crowd))
                ids = [request_id(CROWD, salted(question(n), salt)) for n in some]
                waiting += [asyncio.create_task(wakeups.settled(one)) for one in ids]
                await store.now()  # not all of them at once
            runner = Runner(
                owner="bench",
                store=store,
                queue=NoQueue(),
                wakeups=wakeups,
                journal=RedisJournal(store),
                teams=registry.find(Path(__file__).parent / "teams"),
                model=DemoModel(),
                settings=settings,
                stop=stop,
            )
            running = asyncio.create_task(runner.advance(RUN))
            print("waiting", flush=True)
            await stop.wait()
            for task in waiting:
                task.cancel()
            await asyncio.gather(running, *waiting, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(read(WorkerSettings), int(os.environ["CROWD"])))
