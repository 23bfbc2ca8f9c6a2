"""The floor: coroutines that wait for a name on one multiplexed Redis subscription, and nothing else.

Prints `ready`, and `woken <name> <monotonic ns>` from each coroutine as it runs again.
"""

import asyncio
import os
import signal
import time

import redis.asyncio


async def main(url: str, channel: str, names: int) -> None:
    """Until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    futures = {str(n): asyncio.get_running_loop().create_future() for n in range(names)}

    async def wait(name: str) -> None:
        await futures[name]
        at = time.monotonic_ns()
        print(f"woken {name} {at}", flush=True)

    async def listen() -> None:
        async with redis.asyncio.Redis.from_url(url) as client, client.pubsub() as subscription:
            await subscription.subscribe(channel)
            while True:
                message = await subscription.get_message(timeout=None)
                if message is not None and message["type"] == "message":
                    futures[message["data"].decode()].set_result(None)
                elif message is not None:
                    print("ready", flush=True)

    tasks = [asyncio.create_task(work) for work in (listen(), *map(wait, futures))]
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(os.environ["REDIS_URL"], os.environ["WAKE"], int(os.environ["NAMES"])))
