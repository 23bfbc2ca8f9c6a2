"""A server on loopback that speaks Anthropic's messages, streaming, and plays a script of tool calls."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Line = str | tuple[str, dict[str, Any]]
"""What the model says: a text, or a call of a tool."""


class AnthropicScript:
    """Says its lines one after the other to the agent that offers tools, and something short to every other request."""

    def __init__(self, *lines: Line) -> None:
        self.lines = lines
        self.url = ""
        self.results: list[str] = []
        """What the agent told the model about its calls."""

    async def messages(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/messages."""
        body = await request.json()
        results = [
            json.dumps(block.get("content"), ensure_ascii=False)
            for message in body["messages"]
            if isinstance(message["content"], list)
            for block in message["content"]
            if block["type"] == "tool_result"
        ]
        line: Line = "Fine."
        if body.get("tools"):
            self.results = results
            line = self.lines[min(len(results), len(self.lines) - 1)]
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for event in _events(line, len(results), body["model"]):
            await answer.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        return answer


def _events(line: Line, number: int, model: str) -> list[dict[str, Any]]:
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "model": model, "content": []}
    block: dict[str, Any] = {"type": "text", "text": ""}
    delta: dict[str, Any] = {"type": "text_delta", "text": line}
    if not isinstance(line, str):
        block = {"type": "tool_use", "id": f"toolu_{number}", "name": line[0], "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(line[1])}
    reason = "end_turn" if isinstance(line, str) else "tool_use"
    return [
        {"type": "message_start", "message": {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": usage},
        {"type": "message_stop"},
    ]


@asynccontextmanager
async def playing(script: AnthropicScript) -> AsyncIterator[AnthropicScript]:
    """Serve the script on loopback."""
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_post("/v1/messages", script.messages)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        script.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield script
    finally:
        await runner.cleanup()
