"""Strands Agents: a hook provider that asks people before a tool is called."""

from collections.abc import Collection
from typing import Any

from countersign.frameworks import extra
from countersign.frameworks.hooked_calls import HookedCalls

with extra("strands"):
    from strands.hooks import AfterToolCallEvent, BeforeToolCallEvent, HookRegistry


class SlackApproval:
    """Approvals of an agent's tools, in a channel, as one of its hooks.

    `tools` are names; without them all calls ask. Put it last among the hooks: a later one could change an approved
    call. `run` names this run of this agent: a program that dies and runs again under the same name finds its
    decisions. Of a call that began, and of which nothing was reported, people say whether it was done, unless its tool
    is in `idempotent`: then it runs again.
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
        self._tools = tools
        self._calls = HookedCalls(channel, run=run, requester=requester, idempotent=idempotent)

    def register_hooks(self, registry: HookRegistry, **_: Any) -> None:
        """Register what Strands calls before and after each tool."""
        registry.add_callback(BeforeToolCallEvent, self._before)
        registry.add_callback(AfterToolCallEvent, self._after)

    async def _before(self, event: BeforeToolCallEvent) -> None:
        name, tool = event.tool_use["name"], event.selected_tool
        if tool is None or (self._tools and not {name, tool.tool_name} & {*self._tools}):
            return
        schema = tool.tool_spec["inputSchema"].get("json")
        judged = await self._calls.before(event.tool_use["toolUseId"], name, event.tool_use["input"], schema=schema)
        if judged.arguments is None:
            event.cancel_tool = judged.text
        else:
            event.tool_use = {**event.tool_use, "input": judged.arguments}

    async def _after(self, event: AfterToolCallEvent) -> None:
        if event.cancel_message is None:
            texts = [part["text"] for part in event.result["content"] if "text" in part]
            succeeded = event.exception is None and event.result["status"] == "success"
            await self._calls.after(event.tool_use["toolUseId"], succeeded=succeeded, words=" ".join(texts))
