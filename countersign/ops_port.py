"""Port for probes and Prometheus, apart from the public one.

- `/livez`: the event loop turns. Nothing outside the process makes it fail, so a restart is what helps.
- `/readyz`: the process can answer people. While Redis or Slack is away it still can, with a sentence that says so; a
  load balancer that took it away would leave them without one. The lines after the first name what is wrong meanwhile.
- `/metrics`: for Prometheus.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, Protocol

from countersign import http_port, metrics
from countersign.http_port import Asgi, Receive, Scope, Send

CONNECTIONS: Final = 64
"""At once: probes and scrapes are few."""


class Readiness(NamedTuple):
    """Why the process is not ready, "" if it is, and what is wrong meanwhile."""

    why_not: str = ""
    problems: Sequence[str] = ()


class Observed(Protocol):
    """A process that can be asked how it is."""

    async def readiness(self) -> Readiness:
        """Tell within half a second whether this process can answer people."""

    async def measured(self) -> bytes:
        """Return the text that Prometheus reads."""


@asynccontextmanager
async def served(process: Observed, host: str, port: int) -> AsyncIterator[int]:
    """Serve the port beside the block and yield it.

    Port 0 serves nothing. WrongSettings if it is taken.
    """
    if port == 0:
        yield 0
        return
    async with http_port.serving(_app(process), host, port, CONNECTIONS, "OPS_PORT") as number:
        yield number


def _app(process: Observed) -> Asgi:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"] if scope["method"] in ("GET", "HEAD") else ""
        if path == "/livez":
            await _plain(send, 200, b"ok")
        elif path == "/readyz":
            why_not, problems = await process.readiness()
            text = why_not or "\n".join(["ok", *problems])
            await _plain(send, 503 if why_not else 200, text.encode())
        elif path == "/metrics":
            await _plain(send, 200, await process.measured(), metrics.CONTENT_TYPE)
        else:
            await _plain(send, 404, b"Not Found")

    return answer


async def _plain(send: Send, status: int, body: bytes, kind: str = "text/plain; charset=utf-8") -> None:
    headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
