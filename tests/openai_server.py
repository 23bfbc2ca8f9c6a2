"""A server on loopback that speaks OpenAI's chat completions, whole and streaming, and fails as it is told to."""

import asyncio
import json
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web
from aiohttp.typedefs import Handler


@dataclass(frozen=True)
class Says:
    """A proper answer; `tool` makes it a call of that tool. Streamed, its last word is said again until `until`."""

    text: str = "Dear vendor"
    tool: str = ""
    until: asyncio.Event | None = None


@dataclass(frozen=True)
class Fails:
    """An error as OpenAI sends it, with the caller's key in its words."""

    status: int
    code: str | None = None
    retry_after: str = ""


@dataclass(frozen=True)
class Hangs:
    """Nothing, for ever; streaming: nothing after the first piece, if there is a text."""

    text: str = ""


@dataclass(frozen=True)
class Cuts:
    """The connection breaks in the middle; `properly`: it ends like a whole one."""

    properly: bool = False


@dataclass(frozen=True)
class Garbage:
    """Something with status 200 that is no answer."""

    body: str = '{"detail": "welcome to the proxy"}'


What = Says | Fails | Hangs | Cuts | Garbage


class OpenAIServer:
    """Keeps what it was asked. `will` says what it does next for a model; without a plan it says its piece."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.authorization: list[str] = []
        self.url = ""
        self._plans: defaultdict[str, deque[What]] = defaultdict(deque)
        self._over = asyncio.Event()

    def will(self, model: str, *what: What) -> None:
        """For the model's next requests, one after the other."""
        self._plans[model].extend(what)

    def models(self) -> list[str]:
        """Which models were asked, in order."""
        return [body["model"] for body in self.asked]

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        body = await request.json()
        self.asked.append(body)
        self.authorization.append(request.headers["Authorization"])
        plan = self._plans[body["model"]]
        what = plan.popleft() if plan else Says()
        if isinstance(what, Fails):
            key = request.headers["Authorization"].removeprefix("Bearer ")
            error = {"message": f"It failed for the key {key}.", "type": "error", "code": what.code}
            headers = {"Retry-After": what.retry_after} if what.retry_after else {}
            return web.json_response({"error": error}, status=what.status, headers=headers)
        if isinstance(what, Garbage):
            return web.Response(text=what.body, content_type="application/json")
        if body.get("stream"):
            return await self._stream(request, body, what)
        if isinstance(what, Hangs):
            await self._over.wait()
        if isinstance(what, Cuts):
            assert request.transport is not None
            request.transport.close()
        message, reason = _message(what)
        choice = {"index": 0, "message": message, "finish_reason": reason, "logprobs": None}
        return web.json_response(_common(body) | {"object": "chat.completion", "choices": [choice], "usage": USAGE})

    async def _stream(self, request: web.Request, body: dict[str, Any], what: What) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def send(delta: dict[str, Any], reason: str | None = None, **more: Any) -> None:
            choices = [{"index": 0, "delta": delta, "finish_reason": reason, "logprobs": None}] if not more else []
            chunk = _common(body) | {"object": "chat.completion.chunk", "choices": choices} | more
            await response.write(f"data: {json.dumps(chunk)}\n\n".encode())

        if isinstance(what, Hangs):
            if what.text:
                await send({"role": "assistant", "content": what.text})
            await self._over.wait()
        elif isinstance(what, Cuts):
            await send({"role": "assistant", "content": "Dear ven"})
            if not what.properly:
                assert request.transport is not None
                request.transport.close()
        elif isinstance(what, Says):
            message, reason = _message(what)
            for word in (words := re.findall(r"\S+\s*", message["content"] or "")):
                await send({"content": word})
            while what.until is not None and not what.until.is_set():
                await send({"content": f" {words[-1]}"})
                await asyncio.sleep(0.005)
            for place, call in enumerate(message.get("tool_calls", [])):
                await send({"tool_calls": [{"index": place, **call}]})
            await send({}, reason)
            if body.get("stream_options", {}).get("include_usage"):
                await send({}, usage=USAGE)
            await response.write(b"data: [DONE]\n\n")
        return response

    def close(self) -> None:
        """Whoever hangs ends."""
        self._over.set()


USAGE = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}


def _common(body: dict[str, Any]) -> dict[str, Any]:
    return {"id": "c1", "created": 1, "model": body["model"]}


def _message(what: What) -> tuple[dict[str, Any], str]:
    said = what if isinstance(what, Says) else Says()
    if not said.tool:
        return {"role": "assistant", "content": said.text}, "stop"
    call = {"id": "call1", "type": "function", "function": {"name": said.tool, "arguments": "{}"}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}, "tool_calls"


@asynccontextmanager
async def served(complete: Handler) -> AsyncIterator[str]:
    """The base URL of a server of chat completions on loopback, answered by this."""
    app = web.Application()
    app.router.add_post("/v1/chat/completions", complete)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@pytest.fixture
async def openai() -> AsyncIterator[OpenAIServer]:
    it = OpenAIServer()
    async with served(it.complete) as it.url:
        yield it
        it.close()
