"""Anthropic's messages, streamed: a model that plays a script to Claude Code."""

import json
from typing import Any

from aiohttp import web

Calls = list[tuple[str, dict[str, Any]]]


class ClaudeScript:
    """Make the calls of the part of the script that the prompt names, and then repeat what the tools returned."""

    def __init__(self) -> None:
        self.url = ""
        self.parts: dict[str, Calls] = {}

    def plays(self, prompt: str, *calls: tuple[str, dict[str, Any]]) -> None:
        self.parts[prompt] = [*calls]

    async def messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        messages = [one for one in body["messages"] if one["role"] == "user"]
        read = [part for one in messages for part in _parts(one) if part.get("type") == "tool_result"]
        told = " ".join(part.get("text", "") for one in messages for part in _parts(one))
        calls = next((calls for prompt, calls in self.parts.items() if prompt in told), [])
        blocks: list[dict[str, Any]] = [
            {"type": "tool_use", "id": f"toolu_{number}_{abs(hash(told)) % 10**6}", "name": name, "input": arguments}
            for number, (name, arguments) in enumerate(calls)
        ]
        if read or not calls or not body.get("tools"):
            blocks = [{"type": "text", "text": json.dumps([part.get("content") for part in read])}]
        answer = await _begun(request)
        for index, block in enumerate(blocks):
            start, delta = dict(block), {"type": "text_delta", "text": block.get("text")}
            if block["type"] == "tool_use":
                start["input"] = {}
                delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
            else:
                start["text"] = ""
            await _send(answer, "content_block_start", index=index, content_block=start)
            await _send(answer, "content_block_delta", index=index, delta=delta)
            await _send(answer, "content_block_stop", index=index)
        why = "tool_use" if blocks[0]["type"] == "tool_use" else "end_turn"
        await _send(
            answer, "message_delta", delta={"stop_reason": why, "stop_sequence": None}, usage={"output_tokens": 1}
        )
        await _send(answer, "message_stop")
        return answer


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


async def _begun(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    usage = {"input_tokens": 1, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "content": [], "usage": usage}
    await _send(answer, "message_start", message=message | {"stop_reason": None, "stop_sequence": None})
    return answer


async def _send(answer: web.StreamResponse, kind: str, **more: Any) -> None:
    await answer.write(f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode())
