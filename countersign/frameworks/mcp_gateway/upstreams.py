"""The MCP servers behind the gateway, connected when needed and again when lost."""

import asyncio
import contextlib
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TextIO, TypeVar

import anyio
import httpx
from mcp import ClientSession, McpError, types
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.session import ProgressFnT

from countersign.domain.errors import CountersignError
from countersign.frameworks.mcp_gateway.config import Server
from countersign.frameworks.mcp_gateway.server_process import started

R = TypeVar("R")
Progress = ProgressFnT
_CONNECTING: Final = 60.0
"""Seconds for a server to start and to introduce itself."""
_LISTING: Final = 60.0
_LONGEST_CALL: Final = 6 * 3600.0
"""Seconds that a server over HTTP may be silent during a call."""
_MOST_PAGES: Final = 100
_MOST_TOOLS: Final = 1000
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,128}")
_LOST: Final = (types.CONNECTION_CLOSED, 32600)
"""Codes of errors that the SDK makes when a connection or an HTTP session is lost."""
_log = logging.getLogger(__name__)


class Unreachable(CountersignError):
    """A server that can't be reached, so that nothing was sent to a tool."""


class Lost(CountersignError):
    """A connection that was lost after a call was sent, which may have been done."""


class Upstream:
    """One MCP server behind the gateway."""

    def __init__(self, name: str, server: Server, log: Path, changed: Callable[[], None]) -> None:
        self.name, self.server = name, server
        self._log_file, self._changed = log, changed
        self._opening = asyncio.Lock()
        self._session: ClientSession | None = None
        self._connection: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()

    async def tools(self) -> dict[str, dict[str, Any]]:
        """Ask the server for its tools: their definitions by name, as JSON.

        Unreachable if it doesn't answer.
        """
        for again in (True, False):
            session, connection = await self._connected()
            try:
                async with asyncio.timeout(_LISTING):
                    return await _while_it_lasts(connection, self._listed(session))
            except (McpError, TimeoutError, Lost, *_BROKEN) as wrong:
                await self._drop(connection)
                if not again or not _is_lost(wrong):
                    raise Unreachable(f"The MCP server “{self.name}” doesn't list its tools.") from None
        raise AssertionError("it returns or raises")

    async def call(self, tool: str, arguments: Mapping[str, Any], progress: Progress) -> types.CallToolResult:
        """Call a tool, once.

        McpError if the server refuses the call; Lost if the connection ends before its answer.
        """
        session, connection = await self._connected()
        params = types.CallToolRequestParams(name=tool, arguments=dict(arguments))
        request = types.ClientRequest(types.CallToolRequest(params=params))
        try:  # not `session.call_tool`, which raises for a result that doesn't fit its schema: the call was made
            sent = session.send_request(request, types.CallToolResult, progress_callback=progress)
            return await _while_it_lasts(connection, sent)
        except (McpError, *_BROKEN) as wrong:
            if not _is_lost(wrong):
                raise
            await self._drop(connection)
            raise Lost(f"The connection to the MCP server “{self.name}” was lost.") from None

    async def close(self) -> None:
        """End the connection, and the server if it was started here."""
        if self._connection is not None:
            await self._drop(self._connection)

    async def _listed(self, session: ClientSession) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {}
        twice, cursor = set[str](), None
        for _ in range(_MOST_PAGES):
            page = await session.list_tools(params=types.PaginatedRequestParams(cursor=cursor))
            for tool in page.tools:
                if not _NAME.fullmatch(tool.name):
                    _log.warning("A tool of “%s” has a name that can't be offered: %.100r", self.name, tool.name)
                    continue
                twice |= {tool.name} & found.keys()
                found[tool.name] = tool.model_dump(by_alias=True, mode="json", exclude_none=True, exclude={"meta"})
            if not (cursor := page.nextCursor) or len(found) > _MOST_TOOLS:
                break
        if twice:
            _log.warning("“%s” lists tools twice, which aren't offered: %s", self.name, ", ".join(sorted(twice)))
        return {name: tool for name, tool in [*found.items()][:_MOST_TOOLS] if name not in twice}

    async def _connected(self) -> tuple[ClientSession, asyncio.Task[None]]:
        async with self._opening:
            if self._session is None or self._connection is None or self._connection.done():
                ready: asyncio.Future[ClientSession] = asyncio.get_running_loop().create_future()
                self._closing = asyncio.Event()
                self._connection = asyncio.create_task(self._hold(ready, self._closing))
                try:
                    async with asyncio.timeout(_CONNECTING):
                        self._session = await ready
                except Exception as wrong:
                    await self._drop(self._connection)
                    why = type(wrong).__name__  # its text may hold the address with a credential
                    raise Unreachable(f"The MCP server “{self.name}” can't be reached ({why}).") from None
            return self._session, self._connection

    async def _hold(self, ready: "asyncio.Future[ClientSession]", closing: asyncio.Event) -> None:
        """Hold the connection open until it is lost or no longer wanted; the SDK's scopes end in the same task."""
        try:
            async with contextlib.AsyncExitStack() as stack:
                read, write = await stack.enter_async_context(self._streams())
                session = ClientSession(read, write, message_handler=self._heard)
                await stack.enter_async_context(session)
                await session.initialize()
                if not ready.done():
                    ready.set_result(session)
                await closing.wait()
        except Exception as wrong:
            if not ready.done():
                ready.set_exception(_first(wrong))
        finally:
            if not ready.done():
                ready.cancel()

    @contextlib.asynccontextmanager
    async def _streams(self) -> AsyncIterator[tuple[Any, Any]]:
        if self.server.url:
            timeout = httpx.Timeout(_CONNECTING, read=_LONGEST_CALL)
            async with (
                httpx.AsyncClient(headers=self.server.headers, timeout=timeout) as client,
                streamable_http_client(self.server.url, http_client=client) as (read, write, _),
            ):
                yield read, write
        else:
            with _private(self._log_file) as log:
                async with started(self.name, self.server, log) as (read, write):
                    yield read, write

    async def _heard(self, message: object) -> None:
        if isinstance(message, types.ServerNotification) and isinstance(
            message.root, types.ToolListChangedNotification
        ):
            self._changed()

    async def _drop(self, connection: asyncio.Task[None]) -> None:
        self._session = None
        self._closing.set()
        done, _ = await asyncio.wait({connection}, timeout=5)
        if not done:
            connection.cancel()
            await asyncio.wait({connection})


_BROKEN: Final = (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream)


def _is_lost(wrong: BaseException) -> bool:
    return not isinstance(wrong, McpError) or wrong.error.code in _LOST


async def _while_it_lasts(connection: asyncio.Task[None], answer: Awaitable[R]) -> R:
    """Await an answer; Lost if the connection ends first, of which the SDK doesn't always tell."""
    asked = asyncio.ensure_future(answer)
    try:
        await asyncio.wait({asked, connection}, return_when=asyncio.FIRST_COMPLETED)
        if not asked.done():
            raise Lost("The connection was lost.")
        return await asked
    finally:
        asked.cancel()


def _first(wrong: BaseException) -> BaseException:
    while isinstance(wrong, BaseExceptionGroup):
        wrong = wrong.exceptions[0]
    return wrong if isinstance(wrong, Exception) else RuntimeError("it was cancelled")


def _private(path: Path) -> TextIO:
    """Open a file that this user alone may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w")
