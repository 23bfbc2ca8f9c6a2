"""Google's Agent Development Kit: a plugin that asks people before a tool runs.

ADK runs a plugin's `before_tool_callback` for every agent of a runner, also for sub-agents and agents that are tools.
"""

from collections.abc import Collection
from typing import Any

from countersign.client import schema_of
from countersign.frameworks import extra
from countersign.frameworks.hooked_calls import HookedCalls

with extra("google-adk"):
    from google.adk.plugins.base_plugin import BasePlugin


class SlackApproval(BasePlugin):  # type: ignore[misc]  # ADK is in an environment of its own
    """Approvals of all agents' tools, in a channel, as a plugin of the runner.

    `tools` are names; without them all calls ask. `run` names this run: a program that dies and runs again under the
    same name finds its decisions. Of a call that began, and of which nothing was reported, people say whether it was
    done, unless its tool is in `idempotent`: then it runs again.
    """

    def __init__(
        self,
        channel: str,
        tools: Collection[str] = (),
        *,
        run: str = "",
        requester: str = "",
        idempotent: Collection[str] = (),
    ) -> None:
        super().__init__(name="countersign")
        self._tools = tools
        self._calls = HookedCalls(channel, run=run, requester=requester, idempotent=idempotent)

    async def before_tool_callback(
        self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any
    ) -> dict[str, Any] | None:
        """Ask people about the call; a dict takes the place of the tool's result."""
        if self._tools and tool.name not in self._tools:
            return None
        note = f"By the agent {tool_context.agent_name}."
        judged = await self._calls.before(
            tool_context.function_call_id, tool.name, tool_args, schema=schema_of(tool_args), note=note
        )
        if judged.arguments is None:
            return {"error": judged.text}
        tool_args.clear()
        tool_args.update(judged.arguments)
        return None

    async def after_tool_callback(
        self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any, result: Any
    ) -> dict[str, Any] | None:
        """Report the outcome."""
        failed = isinstance(result, dict) and "error" in result
        words = str(result.get("result", result) if isinstance(result, dict) else result)
        await self._calls.after(tool_context.function_call_id, succeeded=not failed, words=words)
        return None

    async def on_tool_error_callback(
        self, *, tool: Any, tool_args: dict[str, Any], tool_context: Any, error: Exception
    ) -> dict[str, Any] | None:
        """Report an exception, which ADK raises."""
        words = f"{type(error).__name__}: {error}"
        await self._calls.after(tool_context.function_call_id, succeeded=False, words=words)
        return None
