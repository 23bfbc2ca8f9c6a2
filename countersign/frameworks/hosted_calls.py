"""Calls of a framework's tools, behind the gate of the run.

Each framework stops before it calls a tool, and its state is kept; then the call itself asks people, runs once, and
finds its decision and result again when it is made a second time.
"""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from autogen_core.tools import Workbench

from countersign.domain.errors import WrongTeam
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.tools.workbenches import ToolLike, as_tool, without_key

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GatedCall:
    """A tool as a framework offers it to its model."""

    name: str
    description: str
    schema: dict[str, Any]
    tools: Workbench

    async def __call__(self, arguments: Mapping[str, Any], call_id: str) -> str:
        """Ask people, or find their decision; call the tool once, and return what the model reads."""
        return (await self.tools.call_tool(self.name, arguments, call_id=call_id)).to_text()


def gated_calls(run: Run, agent: str, functions: Sequence[ToolLike], rules: Mapping[str, Any]) -> list[GatedCall]:
    """Bring functions to the gate; `rules` are those of `run.tools`."""
    offered = [as_tool(function) for function in functions]
    tools = run.tools(agent, offered, **rules)
    schemas = [without_key(tool.schema) for tool in offered]
    return [GatedCall(s["name"], s.get("description", ""), dict(s.get("parameters", {})), tools) for s in schemas]


def not_gated(agent: str, tool: str) -> WrongTeam:
    """Say that a tool does not come to the gate."""
    return WrongTeam(
        f"The agent “{agent}” has “{tool}” in a list of its own, where nobody would be asked. Nothing was done; give "
        f'it by `tools(run, "{agent}", […])`.'
    )


async def while_ours(run: Run, work: Coroutine[Any, Any, T]) -> T:
    """Let the framework work, until the run leaves this process."""
    working = asyncio.ensure_future(work)
    run.token.link_future(working)
    return await working
