"""The OpenAI Agents SDK: its interruptions become cards.

A tool made by `SlackApprovals.tool` interrupts the run, as `needs_approval` does. The run's state is then saved, people
are asked, and the SDK goes on with their decision. `RunState.approve` cannot change arguments, so the tool itself looks
up what was approved and runs with that. Tools of others that interrupt the run (functions, MCP servers, the shell,
patches, custom tools, agents as tools) are approved or rejected as they are.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from countersign.client import DIFFERS, NotShown, is_approved, read_arguments
from countersign.frameworks import extra
from countersign.frameworks.run_files import SavedCall
from countersign.frameworks.saved_runs import ASK_HUMAN, JudgedRun, SavedRuns, judged_run

with extra("openai-agents"):
    from agents.tool_context import ToolContext

    from agents import Agent, FunctionTool, Runner, RunResult, RunState, ToolApprovalItem, function_tool


class _Tool(FunctionTool):
    """A tool that runs as people approved it."""


class SlackApprovals(SavedRuns):
    """Approvals of the tools of agents, in a channel.

    `folder` keeps the runs: what the agents were told is in there. `leave`: the program does not wait for people, but
    ends with `LeftToPeople`. Of a call that began, and of which nothing was reported, people say whether it was done;
    those of tools named in `idempotent` run again.
    """

    def tool(self, function: Callable[..., Any]) -> FunctionTool:
        """Make a tool of a function, which runs as people approved it, and once."""
        inner = function_tool(function, failure_error_function=None)

        async def invoke(context: ToolContext[Any], arguments: str) -> Any:
            async def approved(values: Mapping[str, Any]) -> str:
                return str(await inner.on_invoke_tool(context, json.dumps(values)))

            at = judged_run()
            try:
                given = read_arguments(arguments)
            except NotShown as why:
                return str(why)
            call = at.run.call(context.tool_call_id, inner.name, given, inner.params_json_schema)
            return await at.perform(call, approved)

        return _Tool(inner.name, inner.description, inner.params_json_schema, invoke, needs_approval=True)

    def ask_human(self) -> FunctionTool:
        """Make the tool by which a model asks people a question, with options or without."""

        def ask_human(question: str, options: list[str]) -> str:
            """Ask people, and wait. Leave options empty if they are to answer in words."""
            raise AssertionError("people answer this")

        ask_human.__name__ = ASK_HUMAN
        return self.tool(ask_human)

    async def run(self, agent: Agent[Any], task: str, *, key: str, **options: Any) -> RunResult:
        """Run the agent, and ask people about its calls.

        The same key goes on with the same run. `options` go to `Runner.run`.
        """
        async with self._judging(key, agent.name, task) as at:
            text = at.run.state
            at_start = task if text is None else await RunState.from_string(agent, text)
            result = await Runner.run(agent, at_start, **options)
            while result.interruptions:
                state = result.to_state()
                at.run.save(state=state.to_string())
                await self._decide(at, state, result.interruptions)
                result = await Runner.run(agent, state, **options)
            return result

    async def _decide(self, at: JudgedRun, state: RunState[Any, Any], items: list[ToolApprovalItem]) -> None:
        asked: list[tuple[ToolApprovalItem, SavedCall]] = []
        for item in items:
            try:
                asked.append((item, _call(at, item)))
            except NotShown as why:
                state.reject(item, rejection_message=str(why))
        decisions = await at.decide_all([call for _, call in asked])
        for (item, call), decision in zip(asked, decisions, strict=True):
            if not decision.approved and call.tool != ASK_HUMAN:
                state.reject(item, rejection_message=decision.text)
            # The SDK runs its own copy of a call, but for our tools, which run with what people approved.
            elif call.schema is None and not is_approved(_arguments(_raw(item)), decision.arguments):
                state.reject(item, rejection_message=DIFFERS)
            else:
                state.approve(item)


def _call(at: JudgedRun, item: ToolApprovalItem) -> SavedCall:
    """The call that people judge.

    Of a tool that is not ours they may not change the arguments: `RunState.approve` would ignore it.
    """
    raw = _raw(item)
    name, arguments = item.name or "tool", _arguments(raw)
    tools = [tool for tool in item.agent.tools if tool.name == name]
    schema = tools[0].params_json_schema if len(tools) == 1 and isinstance(tools[0], _Tool) else None
    if name == ASK_HUMAN and schema is None:
        raise NotShown(
            f"“{name}” is the name of the tool that asks people, and this is another one. Nobody was asked, and "
            "nothing was done."
        )
    origin = raw.get("server_label") or (item.tool_origin and item.tool_origin.mcp_server_name) or item.tool_namespace
    note = f"A tool of “{origin}”." if origin and origin != name else ""
    return at.run.call(item.call_id or "", name, arguments, schema, note=note)


def _raw(item: ToolApprovalItem) -> Mapping[str, Any]:
    return item.raw_item if isinstance(item.raw_item, Mapping) else item.raw_item.model_dump(exclude_none=True)


def _arguments(raw: Mapping[str, Any]) -> dict[str, Any]:
    """All that a call would do. NotShown if that is not known."""
    match raw.get("type"):
        case "function_call" | "mcp_approval_request":
            return read_arguments(raw["arguments"])
        case "custom_tool_call":
            return {"input": raw["input"]}
        case "shell_call":
            return dict(raw["action"])
        case "apply_patch_call":
            several = raw.get("operations")
            return {"operations": several} if isinstance(several, list) else dict(raw["operation"])
    raise NotShown(
        f"A call of the type “{raw.get('type')}” can't be shown to people. Nobody was asked, and nothing was done."
    )
