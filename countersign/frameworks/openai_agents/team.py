"""Teams of the OpenAI Agents SDK, which go on from their `RunState`.

Every tool interrupts the run. All interruptions are approved at once, because the call itself asks people, and may then
run with arguments that they changed, which `RunState.approve` cannot say.
"""

from typing import Any

from agents.tool_context import ToolContext

from agents import Agent, FunctionTool, ItemHelpers, ModelResponse, RunConfig, RunHooks, Runner, RunState
from countersign.domain.errors import NotShown
from countersign.domain.json_arguments import read_arguments
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.running_team import Ended, RunningTeam, Saved, Suspended, Tell
from countersign.frameworks.autogen.tools.workbenches import ToolLike
from countersign.frameworks.hosted_calls import GatedCall, gated_calls, not_gated, while_ours
from countersign.frameworks.openai_agents.model import RunModel


class _Tool(FunctionTool):
    """A tool behind the gate."""


def tools(run: Run, agent: str, *functions: ToolLike, **rules: Any) -> list[FunctionTool]:
    """Make the tools of the agent of this name; `rules` are those of `run.tools`."""
    return [_tool(call) for call in gated_calls(run, agent, functions, rules)]


def model(run: Run, agent: str) -> RunModel:
    """Return the run's model for the agent of this name."""
    return RunModel(run.model(agent), agent)


def _tool(call: GatedCall) -> FunctionTool:
    async def invoke(context: ToolContext[Any], text: str) -> str:
        try:
            arguments = read_arguments(text)
        except NotShown as why:
            return str(why)
        return await call(arguments, context.tool_call_id)

    return _Tool(call.name, call.description, call.schema, invoke, strict_json_schema=False, needs_approval=True)


class _Watch(RunHooks[Any]):
    """Shows what agents say, and lets none begin that has a tool past the gate."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell

    async def on_agent_start(self, context: Any, agent: Agent[Any]) -> None:
        for tool in (*agent.tools, *agent.mcp_servers):
            if not isinstance(tool, _Tool):
                raise not_gated(agent.name, tool.name)

    async def on_llm_end(self, context: Any, agent: Agent[Any], response: ModelResponse) -> None:
        for item in response.output:
            if words := ItemHelpers.extract_text(item):
                self._tell(agent.name, words)


class OpenAITeam(RunningTeam):
    """The team that begins with this agent; `options` go to `Runner.run`.

    The SDK's traces, which it sends to OpenAI, are off unless you give a `run_config`.
    """

    def __init__(self, run: Run, agent: Agent[Any], **options: Any) -> None:
        self._run = run
        self._agent = agent
        self._options = {"run_config": RunConfig(tracing_disabled=True)} | options

    async def advance(self, saved: Saved | None, tell: Tell) -> Suspended | Ended:
        """Run to the next calls of tools, or to the end."""
        return await while_ours(self._run, self._advance(saved, tell))

    async def _advance(self, saved: Saved | None, tell: Tell) -> Suspended | Ended:
        start = self._run.task if saved is None else await RunState.from_string(self._agent, saved.state)
        result = await Runner.run(self._agent, start, hooks=_Watch(tell), **self._options)
        if not result.interruptions:
            return Ended.of(result.last_agent.name, str(result.final_output))
        state = result.to_state()
        for item in result.interruptions:
            state.approve(item)
        return Suspended(state.to_string())
