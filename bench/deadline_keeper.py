"""A process that keeps deadlines as `web` does, and nothing else. Prints `keeping`."""

import asyncio
import os
import signal

from countersign.store.job_queue import Queue
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines


async def main(url: str, namespace: str) -> None:
    """Serve until SIGTERM."""
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
