"""Calls through the gateway: judged, forwarded once as approved, and reported.

A client gives up after a minute or so, and people take longer. So a call returns after a while, and the same call again
continues where the first one was: waiting for people, waiting for the server, or with its result. A small file for each
open call keeps the key of its question, so that a gateway that was killed finds the question, its decision, and whether
the call began.
"""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mcp import McpError
from mcp.types import CallToolResult, TextContent
from pydantic import ValidationError

from countersign.client import (
    LONGEST_REPORT,
    AlreadyRan,
    AsyncClient,
    Call,
    Decision,
    NotApproved,
    NotShown,
    ServiceRefused,
    written,
)
from countersign.domain.actions import Action
from countersign.domain.calls import canonical
from countersign.domain.json_arguments import too_many_values
from countersign.domain.texts_for_models import quoted
from countersign.frameworks.mcp_gateway.catalog import Catalog, OfferedTool
from countersign.frameworks.mcp_gateway.config import Config
from countersign.frameworks.mcp_gateway.upstreams import Lost, Progress, Unreachable
from countersign.whole_files import write_whole

_SERVICE_AWAY: Final = 10.0
"""Seconds that a call waits for the service of approvals."""
_LONGEST_SCHEMA: Final = 200_000
_ENDING: Final = 60.0
"""Seconds for calls under way when the client goes."""
_NOT_YET: Final = (
    "People have not decided yet, and nothing was called. Call this tool again with the same arguments to continue "
    "waiting."
)
_NO_RESULT_YET: Final = (
    "The call was approved and forwarded, and has not ended yet. Call this tool again with the same arguments to get "
    "its result; it is not forwarded twice."
)
_IN_DOUBT: Final = (
    "The connection to the server was lost after the call was forwarded, so nobody knows whether it was done. Call "
    "this tool again with the same arguments, and people are asked what happened."
)
_LOST_IDEMPOTENT: Final = "The connection to the server was lost. Call this tool again with the same arguments."
_NOTHING_FORWARDED: Final = "Nothing was forwarded. Call this tool again later with the same arguments."
_TOOL_CHANGED: Final = "The tool changed while people decided. Nothing was forwarded."
_ONCE_MORE: Final = "This call was made before and is not repeated. If it is to be done once more, call the tool again."


@dataclass(frozen=True, slots=True)
class _OpenCall:
    """A call whose result the client may not have."""

    path: Path
    asked: Call

    @classmethod
    def of(cls, folder: Path, channel: str, tool: OfferedTool, arguments: Mapping[str, Any]) -> "_OpenCall":
        """Find the open call with these arguments, or begin one. NotShown if people can't be shown them."""
        written(arguments)
        named = canonical({"server": tool.upstream.name, "tool": tool.name, "arguments": arguments})
        path = folder / f"{hashlib.sha256(named.encode()).hexdigest()}.json"
        if (before := _read(path)) is not None:
            return cls(path, before)
        notes, key = [f"A tool of the MCP server “{tool.upstream.name}”."], f"gateway-{uuid.uuid4().hex}"
        asked = Call(channel, tool.full_name, arguments, _schema(tool), notes=notes, key=key)
        write_whole(path, json.dumps({"key": key, "body": asked.body}).encode())
        return cls(path, asked)


@dataclass(frozen=True, slots=True)
class _Ended:
    """The answer to a call; `over` if the same call again is another call."""

    result: CallToolResult
    over: bool = True


class ForwardedCalls:
    """The calls of one client.

    `wait`: seconds until a call returns without its result; 0 waits for as long as it takes.
    """

    def __init__(self, config: Config, catalog: Catalog, state: Path, wait: float) -> None:
        self._config, self._catalog, self._wait = config, catalog, wait or None
        self._folder = state / "open"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._under_way: dict[Path, asyncio.Task[_Ended]] = {}
        self._delivered = set[Path]()

    def client_lives(self) -> None:
        """Forget the calls whose results the client has: it sent something else since."""
        for path in self._delivered:
            path.unlink(missing_ok=True)
        self._delivered.clear()

    async def close(self) -> None:
        """Give calls under way a moment to end and to be reported."""
        self.client_lives()
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=_ENDING)

    async def call(self, full_name: str, arguments: Mapping[str, Any], progress: Progress) -> CallToolResult:
        """Make a call if the rules and people allow it."""
        self.client_lives()
        try:
            tool = await self._catalog.find(full_name)
            if isinstance(tool, str):
                return _refusal(tool)
            if tool.rule is Action.ALLOW:
                return (await self._forwarded(tool, arguments, progress)).result
        except Unreachable as away:
            return _refusal(f"{away} {_NOTHING_FORWARDED}")
        try:
            open_call = _OpenCall.of(self._folder, self._config.channel, tool, arguments)
        except NotShown as why:
            return _refusal(str(why))
        try:
            async with asyncio.timeout(self._wait):
                return await self._judged(tool, open_call, progress)
        except TimeoutError:
            return _refusal(_NO_RESULT_YET if open_call.path in self._under_way else _NOT_YET)

    async def _judged(self, tool: OfferedTool, open_call: _OpenCall, progress: Progress) -> CallToolResult:
        if open_call.path not in self._under_way:
            try:
                async with AsyncClient(timeout=_SERVICE_AWAY) as client:
                    decision = await client.judge(open_call.asked)
            except ServiceRefused as refused:
                return _refusal(f"{refused} Nothing was called.")
            if not decision.approved:
                self._delivered.add(open_call.path)
                return _refusal(decision.text)
            if open_call.path not in self._under_way:  # the same call may have come twice
                work = asyncio.create_task(self._acted(tool, open_call, decision, progress))
                self._under_way[open_call.path] = work
        try:
            ended = await asyncio.shield(work := self._under_way[open_call.path])
        finally:
            if work.done():
                self._under_way.pop(open_call.path, None)
        if ended.over:
            self._delivered.add(open_call.path)
        return ended.result

    async def _acted(self, tool: OfferedTool, open_call: _OpenCall, decision: Decision, progress: Progress) -> _Ended:
        """Forward an approved call, unless it began before or its tool is another one now."""
        try:
            now = await self._catalog.find(tool.full_name)
        except Unreachable as away:
            return _Ended(_refusal(f"{away} {_NOTHING_FORWARDED}"), over=False)
        async with AsyncClient() as client:
            if isinstance(now, str) or now.definition != tool.definition:
                await client.try_to_report(decision.request, succeeded=False, words=_TOOL_CHANGED)
                return _Ended(_refusal(_TOOL_CHANGED))
            idempotent = tool.upstream.server.is_idempotent(tool.name)
            try:
                await client.begin(decision, open_call.asked, idempotent=idempotent)
            except AlreadyRan as before:
                return _Ended(_refusal(f"{before}\n{_ONCE_MORE}" if before.decision.reported else str(before)))
            except (NotApproved, ServiceRefused) as over:
                return _Ended(_refusal(str(over)))
            try:
                ended = await self._forwarded(tool, decision.arguments or {}, progress)
            except Unreachable:  # lost since its tools were listed, just before the call began
                return _Ended(_refusal(_LOST_IDEMPOTENT if idempotent else _IN_DOUBT), over=False)
            if ended.over:
                succeeded, words = not ended.result.isError, _words(ended.result)
                await client.try_to_report(decision.request, succeeded=succeeded, words=words)
        notes = _notes(decision)
        if notes and ended.over:
            ended.result.content.insert(0, TextContent(type="text", text=notes))
        return ended

    async def _forwarded(self, tool: OfferedTool, arguments: Mapping[str, Any], progress: Progress) -> _Ended:
        """Call the tool; the answer is without the server's credentials."""
        try:
            result = await tool.upstream.call(tool.name, arguments, progress)
        except McpError as refused:
            return _Ended(_refusal(self._config.without_secrets(f"The server refused the call: {refused}")))
        except ValidationError:
            return _Ended(_refusal("The server's answer to the call isn't a result of a tool."))
        except Lost:
            idempotent = tool.rule is Action.ALLOW or tool.upstream.server.is_idempotent(tool.name)
            return _Ended(_refusal(_LOST_IDEMPOTENT if idempotent else _IN_DOUBT), over=False)
        return _Ended(self._without_secrets(result))

    def _without_secrets(self, result: CallToolResult) -> CallToolResult:
        if not self._config.secrets:
            return result
        text = result.model_dump_json(by_alias=True, exclude_none=True)
        clean = self._config.without_secrets(text)
        return result if clean == text else CallToolResult.model_validate_json(clean)


def _read(path: Path) -> Call | None:
    try:
        read = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    body, call = read["body"], read["body"]["call"]
    return Call(
        body.get("channel", ""),
        call["tool"],
        call["arguments"],
        call.get("schema"),
        notes=body.get("notes", ()),
        key=read["key"],
    )


def _schema(tool: OfferedTool) -> Mapping[str, Any] | None:
    """Return the schema with which people may change the arguments; None if the service takes none so large."""
    schema: Mapping[str, Any] = tool.definition["inputSchema"]
    try:
        fits = not too_many_values(schema) and len(canonical(schema)) <= _LONGEST_SCHEMA
    except (ValueError, RecursionError):
        return None
    return schema if fits else None


def _notes(decision: Decision) -> str:
    """Tell the model that the call ran with other arguments, and what people wrote."""
    changed = ""
    if decision.outcome == "edited":
        changed = (
            f"The call ran with arguments that people changed: {json.dumps(decision.arguments, ensure_ascii=False)}"
        )
    wrote = f"The reviewer wrote:\n{quoted(decision.words)}" if decision.words and decision.by else ""
    return "\n".join(filter(None, (changed, wrote)))


def _words(result: CallToolResult) -> str:
    texts = (part.text for part in result.content if isinstance(part, TextContent))
    return " ".join(next(texts, "")[:LONGEST_REPORT].split())


def _refusal(text: str) -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text=text)], isError=True)
