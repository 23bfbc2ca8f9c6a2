"""A bare long poll: one Starlette route in its own process.

It waits for a name on Redis' channel WAKE, knows no keys, reads no record, and answers with BYTES bytes of JSON. It
prints `port <n> <pid>`.
"""

import asyncio
import os
import signal

import redis.asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.slack import http
from countersign.python_gc import settle_memory


async def main(url: str, channel: str, answer: bytes) -> None:
    """Serve until SIGTERM."""
    stop, subscribed = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    futures: dict[str, asyncio.Future[None]] = {}

    async def poll(request: Request) -> Response:
        futures[request.path_params["name"]] = future = asyncio.get_running_loop().create_future()
        await future
        return Response(answer, media_type="application/json")

    async def listen() -> None:
        async with redis.asyncio.Redis.from_url(url) as client, client.pubsub() as subscription:
            await subscription.subscribe(channel)
            while True:
                message = await subscription.get_message(timeout=None)
                if message is not None and message["type"] == "message":
                    futures.pop(message["data"].decode()).set_result(None)
                elif message is not None:
                    subscribed.set()

    listening = asyncio.create_task(listen())
    await subscribed.wait()
    async with http.serving(Starlette(routes=[Route("/{name}", poll)]), "127.0.0.1", 0) as port:
        settle_memory()
        print(f"port {port} {os.getpid()}", flush=True)
        await stop.wait()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(os.environ["REDIS_URL"], os.environ["WAKE"], b'"%s"' % (b"x" * int(os.environ["BYTES"]))))
