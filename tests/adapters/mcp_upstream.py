"""An MCP server behind the gateway, made with the official SDK; files in its folder change what it does.

`done` gets a line for each call that it really made. `description`: another description of its tools. `more`: one more
tool. `die`: it ends in the next call, after the work and before the answer. `hold`: a call does not end while the file
is there, and `held` says that it waits.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp import types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

HERE = Path(os.environ.get("FOLDER", "."))
MONEY: dict[str, Any] = {
    "type": "object",
    "properties": {"order": {"type": "integer"}, "euros": {"type": "number"}},
    "required": ["order", "euros"],
}
ANYTHING: dict[str, Any] = {"type": "object"}
TOOLS = {"refund": MONEY, "echo": ANYTHING, "reveal": ANYTHING, "big": ANYTHING, "fail": ANYTHING, "progress": ANYTHING}
server: Server[Any, Any] = Server("upstream")


def told(name: str) -> Path | None:
    path = HERE / name
    return path if path.exists() else None


@server.list_tools()  # type: ignore[no-untyped-call, untyped-decorator]
async def list_tools() -> list[types.Tool]:
    described = told("description")
    names: dict[str, dict[str, Any]] = {**TOOLS, **({"extra": ANYTHING} if told("more") else {})}
    text = described.read_text() if described else "Works."
    return [types.Tool(name=name, description=text, inputSchema=schema) for name, schema in names.items()]


@server.call_tool(validate_input=False)  # type: ignore[untyped-decorator]
async def call_tool(name: str, arguments: dict[str, Any]) -> list[types.TextContent]:
    with (HERE / "done").open("a") as file:
        file.write(json.dumps([name, arguments]) + "\n")
    if (die := told("die")) is not None:
        die.unlink()
        os._exit(1)
    if told("hold"):
        (HERE / "held").touch()
        while True:
            if not told("hold"):
                break
            await asyncio.sleep(0.01)
    match name:
        case "reveal":
            text = f"{os.environ.get('API_TOKEN')} {sys.argv}"
        case "big":
            text = "x" * arguments["size"]
        case "fail":
            raise RuntimeError(f"no, with {os.environ.get('API_TOKEN')}")
        case "progress":
            context = server.request_context
            assert context.meta is not None and context.meta.progressToken is not None
            await context.session.send_progress_notification(context.meta.progressToken, 1.0, 2.0, "half")
            text = "Done."
        case "refund":
            text = f"{arguments['euros']:.2f} EUR were paid back."
        case _:
            text = json.dumps(arguments)
    return [types.TextContent(type="text", text=text)]


async def serve() -> None:
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options(NotificationOptions(tools_changed=True)))


def over_http(port: int) -> None:
    """Serve clients that know the token."""
    manager = StreamableHTTPSessionManager(server)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if Request(scope).headers.get("authorization") != f"Bearer {os.environ['API_TOKEN']}":
            await PlainTextResponse("who are you?", 401)(scope, receive, send)
        else:
            await manager.handle_request(scope, receive, send)

    app = Starlette(routes=[Mount("/mcp", app=guarded)], lifespan=lambda _: manager.run())
    uvicorn.run(app, port=port, log_level="error")


if __name__ == "__main__":
    over_http(int(sys.argv[1])) if len(sys.argv) > 1 else asyncio.run(serve())
