"""The tools that the gateway offers: as pinned, without denied and changed tools."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

from countersign.client import AsyncClient, Question, ServiceRefused
from countersign.domain.actions import Action
from countersign.domain.calls import canonical
from countersign.frameworks.mcp_gateway.config import BETWEEN, Config
from countersign.frameworks.mcp_gateway.pins import Definition, Pins, described
from countersign.frameworks.mcp_gateway.upstreams import Unreachable, Upstream

_LONGEST_CHANGE: Final = 100_000
"""Characters of a question."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """A tool as clients know it, and where it comes from."""

    upstream: Upstream
    definition: Definition

    @property
    def name(self) -> str:
        """The tool's name at its server."""
        return str(self.definition["name"])

    @property
    def full_name(self) -> str:
        """The tool's name at the gateway, which differs from those of all other servers."""
        return f"{self.upstream.name}{BETWEEN}{self.name}"

    @property
    def rule(self) -> Action:
        """The file's verdict on this tool."""
        return self.upstream.server.rule(self.name)


class Catalog:
    """The tools of all servers behind the gateway.

    `changed` is called when clients should list the tools again.
    """

    def __init__(self, config: Config, state: Path, changed: Callable[[], Awaitable[None]]) -> None:
        self._config, self._changed = config, changed
        self._pins = Pins(state / "pins.json")
        self._tasks = set[asyncio.Task[None]]()
        self._asked = set[str]()
        self._upstreams = {
            name: Upstream(name, server, state / f"{name}.log", self._heard) for name, server in config.servers.items()
        }

    async def offered(self) -> list[OfferedTool]:
        """List the tools of all servers that can be reached."""
        found = await asyncio.gather(*map(self._of, self._upstreams.values()), return_exceptions=True)
        for one in found:
            if isinstance(one, Unreachable):
                _log.warning("%s Its tools aren't offered.", one)
            elif isinstance(one, BaseException):
                raise one
        return [tool for tools in found if not isinstance(tools, BaseException) for tool in tools.values()]

    async def find(self, full_name: str) -> OfferedTool | str:
        """Find a tool as it is now; a sentence if its calls aren't forwarded.

        Unreachable if its server is away.
        """
        server, between, name = full_name.partition(BETWEEN)
        if not between or (upstream := self._upstreams.get(server)) is None:
            return "The gateway has no tool of this name. Nothing was called."
        if upstream.server.rule(name) is Action.DENY:
            return "The gateway's rules don't allow this tool. Nothing was called, and nobody was asked."
        tools = await self._of(upstream)
        if name in tools:
            return tools[name]
        if name in self._pins.known(server):
            return (
                "The server changed this tool, or no longer has it. Nothing was called. Calls are forwarded again once "
                "people have accepted the change."
            )
        return "The gateway has no tool of this name, or people haven't accepted it yet. Nothing was called."

    async def close(self) -> None:
        """End all connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(upstream.close() for upstream in self._upstreams.values()))

    def _heard(self) -> None:
        self._start(self._changed())

    async def _of(self, upstream: Upstream) -> dict[str, OfferedTool]:
        """List the tools of one server that may be called; people are asked about changed ones."""
        listed = {
            name: definition
            for name, definition in (await upstream.tools()).items()
            if upstream.server.rule(name) is not Action.DENY
        }
        changes = self._pins.changes(upstream.name, listed)
        if changes:
            self._ask_once(upstream.name, changes)
        return {name: OfferedTool(upstream, one) for name, one in listed.items() if name not in changes}

    def _ask_once(self, server: str, changes: Mapping[str, tuple[Definition | None, Definition]]) -> None:
        digest = hashlib.sha256(canonical({server: changes}).encode(errors="surrogatepass")).hexdigest()
        if digest not in self._asked:
            self._asked.add(digest)
            self._start(self._accepted(server, changes, digest))

    async def _accepted(
        self, server: str, changes: Mapping[str, tuple[Definition | None, Definition]], digest: str
    ) -> None:
        """Ask people whether to accept changed tools, and pin them then."""
        message = self._config.without_secrets(described(changes))
        _log.warning("“%s” changed its tools, which aren't offered: %s", server, ", ".join(sorted(changes)))
        if len(message) > _LONGEST_CHANGE:
            _log.error("The change is too long to show. Remove “%s” from pins.json to accept it.", server)
            return
        title = f"Accept changed tools of the MCP server “{server}”?"
        async with AsyncClient() as client:
            try:
                for number in count():
                    asked = Question(self._config.channel, title, message, key=f"pins-{digest}-{number}")
                    _, decided_before = await client.submit(asked)
                    decision = await client.judge(asked)
                    if decision.outcome != "expired" or not decided_before:
                        break
            except ServiceRefused as refused:
                _log.error("Nobody was asked about the changed tools of “%s”: %s", server, refused)
                self._asked.discard(digest)
                return
        if decision.approved:
            self._pins.accept(server, {name: after for name, (_, after) in changes.items()})
            await self._changed()
        elif decision.outcome == "expired":
            self._asked.discard(digest)  # the next client that lists the tools asks again

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
