"""The gateway as its client sees it: a server of tools, and of nothing else."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from mcp import types
from mcp.server.lowlevel import NotificationOptions, Server
from mcp.server.session import ServerSession
from mcp.server.stdio import stdio_server

from countersign.frameworks.mcp_gateway.catalog import Catalog
from countersign.frameworks.mcp_gateway.config import Config
from countersign.frameworks.mcp_gateway.forwarded_calls import ForwardedCalls
from countersign.frameworks.mcp_gateway.upstreams import Progress

_INSTRUCTIONS: Final = """\
People approve some of these calls in Slack, which may take hours. If a tool says that people have not decided yet, or \
that the call has not ended, call it again with exactly the same arguments. A refused call stays refused: don't try \
another way to the same outcome."""
_EVERY: Final = 10.0
"""Seconds between notifications of progress."""
_log = logging.getLogger(__name__)


async def serve(config: Config, state: Path, wait: float) -> None:
    """Serve one client over standard input and output until it goes."""
    server: Server[Any, Any] = Server("countersign-gateway", version("mcp"), instructions=_INSTRUCTIONS)
    clients = set[ServerSession]()

    async def changed() -> None:
        for client in clients:
            with contextlib.suppress(Exception):  # a client that has gone
                await client.send_tool_list_changed()

    catalog = Catalog(config, state, changed)
    calls = ForwardedCalls(config, catalog, state, wait)

    async def list_tools(_: types.ListToolsRequest) -> types.ServerResult:
        clients.add(server.request_context.session)
        calls.client_lives()
        tools = [
            types.Tool.model_validate({**tool.definition, "name": tool.full_name}) for tool in await catalog.offered()
        ]
        return types.ServerResult(types.ListToolsResult(tools=tools))

    async def call_tool(request: types.CallToolRequest) -> types.ServerResult:
        clients.add(server.request_context.session)
        async with _progress(server) as progress:
            try:
                result = await calls.call(request.params.name, request.params.arguments or {}, progress)
            except Exception:
                _log.exception("A call failed in the gateway")
                raise RuntimeError("The gateway failed; its log says why.") from None
        return types.ServerResult(result)

    server.request_handlers[types.ListToolsRequest] = list_tools
    server.request_handlers[types.CallToolRequest] = call_tool
    try:
        async with stdio_server() as (read, write):
            options = server.create_initialization_options(NotificationOptions(tools_changed=True))
            await server.run(read, write, options)
    finally:
        await calls.close()
        await catalog.close()


@contextlib.asynccontextmanager
async def _progress(server: Server[Any, Any]) -> AsyncIterator[Progress]:
    """Tell the client now and then that the call is under way, if it wants to know, and what the server says of it."""
    context = server.request_context
    token = context.meta.progressToken if context.meta else None
    done, ended = 0.0, False

    async def tell(progress: float, total: float | None, message: str | None) -> None:
        nonlocal done
        if token is not None and not ended:
            done = max(done, progress)
            await context.session.send_progress_notification(token, done, total, message, str(context.request_id))

    async def wait() -> None:
        while True:
            await asyncio.sleep(_EVERY)
            await tell(done + 0.001, None, "The call is under way: people decide, or the server works.")

    waiting = asyncio.create_task(wait())
    try:
        yield tell
    finally:
        ended = True
        waiting.cancel()


class LogWithoutSecrets(logging.Formatter):
    """Log lines without the servers' credentials, as the SDK logs addresses."""

    def __init__(self, config: Config) -> None:
        super().__init__("%(message)s")
        self._config = config

    def format(self, record: logging.LogRecord) -> str:
        """Format a line, and hide credentials in it."""
        return self._config.without_secrets(super().format(record))
