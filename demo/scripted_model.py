"""A scripted model for the examples of the documentation, behind OpenAI's API.

It calls the first tool that it is offered, with what the task says of its arguments, and then says what came of it.
Every text ends with a line that says so. Chat completions and responses, whole; nothing is streamed.
"""

import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

NOTE: Final = "[Written by the demo's scripted model, which follows a fixed rule.]"
_NO_STREAM: Final = "The demo's scripted model does not stream. Ask without `stream`, or use a real model."
_NUMBERS: Final = {"integer": 17, "number": 45.0}
"""What an argument is where the task has no number for it."""
_SNAPSHOTS: Final = {"gpt-5-mini": "gpt-5-mini-2025-08-07"}
"""What OpenAI answers to a name; AutoGen warns of another one."""
Json = dict[str, Any]


@asynccontextmanager
async def served(host: str, port: int) -> AsyncIterator[str]:
    """Serve the model; gives OPENAI_BASE_URL."""
    app = web.Application(client_max_size=20 * 1024**2)
    app.router.add_post("/v1/chat/completions", _completion)
    app.router.add_post("/v1/responses", _response)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        yield f"http://{host}:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def _completion(request: web.Request) -> web.Response:
    """POST /v1/chat/completions."""
    body: Json = await request.json()
    if body.get("stream"):
        return _refused()
    messages = body["messages"]
    results = [_text(message.get("content")) for message in messages if message["role"] in ("tool", "function")]
    tools = [tool["function"] for tool in body.get("tools") or () if tool.get("type") == "function"]
    call, text = _turn(_task(messages), tools, results)
    if (
        results
        and messages[-1]["role"] == "user"
        and any("TERMINATE" in _text(other.get("content")) for other in messages)
    ):
        text = "TERMINATE"  # as AG2's classic agents are told to end
    message: Json = {"role": "assistant", "content": text or None}
    if call:
        message["tool_calls"] = [{"id": f"call_{_id()}", "type": "function", "function": call}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop", "logprobs": None}
    usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
    common = {
        "id": f"chatcmpl-{_id()}",
        "object": "chat.completion",
        "created": 1,
        "model": _SNAPSHOTS.get(body["model"], body["model"]),
    }
    return web.json_response({**common, "choices": [choice], "usage": usage})


async def _response(request: web.Request) -> web.Response:
    """POST /v1/responses."""
    body: Json = await request.json()
    if body.get("stream"):
        return _refused()
    content = body["input"]
    items: list[Json] = [{"role": "user", "content": content}] if isinstance(content, str) else content
    results = [_text(item["output"]) for item in items if item.get("type") == "function_call_output"]
    tools = [tool for tool in body.get("tools") or () if tool.get("type") == "function"]
    call, text = _turn(_task(items), tools, results)
    item: Json = {
        "id": f"msg_{_id()}",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    if call:
        item = {"id": f"fc_{_id()}", "type": "function_call", "call_id": f"call_{_id()}", "status": "completed", **call}
    usage = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    common = {
        "id": f"resp_{_id()}",
        "object": "response",
        "created_at": 1,
        "model": _SNAPSHOTS.get(body["model"], body["model"]),
    }
    rest = {"status": "completed", "parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
    return web.json_response({**common, **rest, "output": [item], "usage": usage | details})


def _refused() -> web.Response:
    return web.json_response({"error": {"message": _NO_STREAM, "type": "invalid_request_error"}}, status=400)


def _turn(task: str, tools: Sequence[Json], results: Sequence[str]) -> tuple[Json | None, str]:
    """The call of the first tool, or what is said when there is none, or it was called."""
    if results:
        return None, f"The tool said: {results[-1]}\n{NOTE}"
    if not tools:
        return None, f"My draft for “{task}”: Dear vendor, may we have 10% off?\n{NOTE}"
    tool = tools[0]
    arguments = _arguments(tool.get("parameters") or {}, task)
    return {"name": tool["name"], "arguments": json.dumps(arguments, ensure_ascii=False)}, ""


def _arguments(schema: Mapping[str, Any], task: str) -> Json:
    return {name: _argument(name, kind, task) for name, kind in schema.get("properties", {}).items()}


def _argument(name: str, kind: Mapping[str, Any], task: str) -> Any:
    """What the task says beside the argument's name: `order 17`, `45 euros`, `45 EUR`."""
    if kind.get("enum"):
        return kind["enum"][0]
    type_name = str(kind.get("type"))
    if type_name in _NUMBERS:
        number = r"(\d+(?:\.\d+)?)"
        match = re.search(rf"\b{re.escape(name)}\s+{number}|{number}\s*{re.escape(name[:3])}", task, re.I)
        value = float(match[1] or match[2]) if match else _NUMBERS[type_name]
        return int(value) if type_name == "integer" else value
    return {"boolean": True, "array": [], "object": {}}.get(type_name, task)


def _task(items: Sequence[Json]) -> str:
    """The first text of the user."""
    return next((_text(item.get("content")) for item in items if item.get("role") == "user"), "")


def _text(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content)
    return str(content or "")


def _id() -> str:
    """A new id, as models give them: the same task of two programs is two calls."""
    return secrets.token_hex(8)
