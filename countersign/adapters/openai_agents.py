"""The OpenAI Agents SDK: its interruptions become cards.

A tool made by `SlackApprovals.tool` interrupts the run, as `needs_approval` does. The run's state is then saved, people
are asked, and the SDK goes on with their decision. `RunState.approve` cannot change arguments, so the tool itself looks
up what was approved and runs with that.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from agents.tool_context import ToolContext

from agents import Agent, FunctionTool, Runner, RunResult, RunState, ToolApprovalItem, function_tool
from countersign.adapters.run_files import SavedCall
from countersign.adapters.saved_runs import ASK_HUMAN, JudgedRun, SavedRuns, judged_run


class SlackApprovals(SavedRuns):
    """Approvals of the tools of agents, in a channel.

    `folder` keeps the runs: what the agents were told is in there. `leave`: the program does not wait for people, but
    ends with `LeftToPeople`. Of a call that began, and of which nothing was reported, people say whether it was done;
    those of tools named in `idempotent` run again.
    """

    def __init__(self, channel: str, **options: Any) -> None:
        super().__init__(channel, **options)
        self._schemas: dict[str, dict[str, Any]] = {}

    def tool(self, function: Callable[..., Any]) -> FunctionTool:
        """Make a tool of a function, which runs as people approved it, and once."""
        inner = function_tool(function, failure_error_function=None)

        async def invoke(context: ToolContext[Any], arguments: str) -> Any:
            async def approved(values: Mapping[str, Any]) -> str:
                return str(await inner.on_invoke_tool(context, json.dumps(values)))

            at = judged_run()
            call = at.run.call(
                context.tool_call_id, inner.name, json.loads(arguments or "{}"), inner.params_json_schema
            )
            return await at.perform(call, approved)

        self._schemas[inner.name] = inner.params_json_schema
        return FunctionTool(inner.name, inner.description, inner.params_json_schema, invoke, needs_approval=True)

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
        calls: dict[int, SavedCall] = {}
        for index, item in enumerate(items):
            name = item.name or "tool"
            try:
                arguments = json.loads(item.arguments or "{}")
            except ValueError:
                state.reject(item, rejection_message="The arguments aren't valid JSON. Nothing was done.")
            else:  # of a tool that is not ours nobody may change the arguments: `approve` would ignore it
                calls[index] = at.run.call(item.call_id or "", name, arguments, self._schemas.get(name))
        for index, decision in zip(calls, await at.decide_all([*calls.values()]), strict=True):
            if decision.approved or calls[index].tool == ASK_HUMAN:
                state.approve(items[index])
            else:
                state.reject(items[index], rejection_message=decision.text)
