"""Redis alone: one script decides, and another process wakes up.

That process waits for names on one multiplexed subscription, and does nothing else. It prints `ready`, and `woken
<name> <monotonic ns>` from each coroutine as it runs again.
"""

import asyncio
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import redis.asyncio

from tests.processes import Process

NAMES: Final = 1000
"""Wake-ups that one waiter is good for."""
DECIDE: Final = """
redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)
redis.call('ZREM', KEYS[2], ARGV[3])
redis.call('XADD', KEYS[3], '*', 'event', ARGV[2])
redis.call('PUBLISH', KEYS[4], ARGV[3])
"""


class RawWakeup:
    """A decision as one script here, a coroutine that waits for it in another process."""

    def __init__(self, client: redis.asyncio.Redis, names: list[str], waiter: Process) -> None:
        self._script = client.register_script(DECIDE)
        self._names = names
        self._waiter = waiter
        self._woken = 0

    async def wake(self) -> float:
        """Milliseconds from before the script until the coroutine runs."""
        number, self._woken = self._woken, self._woken + 1
        sent = time.monotonic_ns()
        await self._script(keys=self._names, args=[b"x" * 1000, b"y" * 300, str(number)])
        woken = await self._waiter.said(rf"woken {number} (\d+)")
        return (int(woken[1]) - sent) / 1e6


@asynccontextmanager
async def raw_wakeup(redis_url: str) -> AsyncIterator[RawWakeup]:
    """The waiter's process runs as long as the block."""
    prefix = f"{{bench{secrets.token_hex(4)}}}:"
    keys = [prefix + name for name in ("decision", "pending", "events", "wake")]
    waiter = await Process("bench.baseline_redis", {"REDIS_URL": redis_url, "WAKE": keys[3]}).start()
    client = redis.asyncio.Redis.from_url(redis_url)
    try:
        await waiter.said("ready")
        yield RawWakeup(client, keys, waiter)
    finally:
        await waiter.kill()
        await client.delete(*keys[:3])
        await client.aclose()


async def main(url: str, channel: str) -> None:
    """Wait until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    futures = {str(n): asyncio.get_running_loop().create_future() for n in range(NAMES)}

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
    asyncio.run(main(os.environ["REDIS_URL"], os.environ["WAKE"]))
