"""An MCP server as a child process, with its messages as streams of the SDK.

The SDK's own transport copies what it has of a line whenever more of it arrives, which takes minutes for a result of 50
MB, and it reads lines of any length.
"""

import asyncio
import contextlib
import logging
import os
import signal
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from typing import Any, Final, TextIO

import anyio
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage
from mcp.types import JSONRPCMessage

from countersign.frameworks.mcp_gateway.config import Server

LONGEST_MESSAGE: Final = 256 * 1024 * 1024
"""Bytes of one message of a server; a longer one ends its connection."""
_ENDING: Final = 2.0
"""Seconds for a server to end at each of three requests: its input ends, SIGTERM, SIGKILL."""
_log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def started(name: str, server: Server, log: TextIO) -> AsyncIterator[tuple[Any, Any]]:
    """Start a server, and give a session's streams. The server ends with the block."""
    process = await asyncio.create_subprocess_exec(
        *(server.command, *server.args),
        env={**get_default_environment(), **server.env},  # not all of our own, which has our key
        cwd=server.cwd,
        stdin=PIPE,
        stdout=PIPE,
        stderr=log,
        limit=LONGEST_MESSAGE,
        start_new_session=True,
    )
    received, read = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    write, sent = anyio.create_memory_object_stream[SessionMessage](0)

    async def receive() -> None:
        assert process.stdout is not None
        with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            async with received:
                try:
                    async for line in process.stdout:
                        if line.startswith(b"{"):  # some servers print other lines too
                            await received.send(SessionMessage(JSONRPCMessage.model_validate_json(line)))
                except ValueError:  # it may be the answer to a call, which would never end
                    _log.warning("“%s” sent a message that is too long, or isn't one of the protocol", name)

    async def send() -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it has ended, which `receive` finds out
            async with sent:
                async for message in sent:
                    text = message.message.model_dump_json(by_alias=True, exclude_none=True)
                    process.stdin.write(text.encode() + b"\n")
                    await process.stdin.drain()

    tasks = [asyncio.create_task(receive()), asyncio.create_task(send())]
    try:
        yield read, write
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.shield(_ended(process))


async def _ended(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDING):
                await process.wait()
                return
