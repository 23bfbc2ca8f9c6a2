"""AutoGen's side of tools: what is offered to a model and what a call returns."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import aclosing
from copy import deepcopy
from typing import Any, Final

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import BaseAgentEvent, BaseChatMessage
from autogen_agentchat.tools import AgentTool, TeamTool
from autogen_core import CancellationToken
from autogen_core.tools import (
    BaseTool,
    FunctionTool,
    StaticWorkbench,
    TextResultContent,
    ToolResult,
    ToolSchema,
    Workbench,
)
from pydantic import BaseModel, ValidationError

from countersign.runs.entries import whole

KEY_ARGUMENT: Final = "idempotency_key"
"""A tool that takes an argument of this name gets its key there; no model sees the argument."""

ToolLike = BaseTool[Any, Any] | Callable[..., Any]


class AsksItself:
    """The mark of tools that ask people themselves and keep their own record of it."""


class _Asking(FunctionTool, AsksItself):
    """A function behind `requires_approval`."""


class RaisingWorkbench(StaticWorkbench):
    """AutoGen's, but what a tool raises comes out: a tool may say OutcomeUnknown."""

    _schemas: list[ToolSchema] | None = None

    async def list_tools(self) -> list[ToolSchema]:
        """List the tools, built once.

        It takes a millisecond for a tool, and they are listed for every turn and every call.
        """
        if self._schemas is None:
            self._schemas = await super().list_tools()
        return deepcopy(self._schemas)

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        tool = next((tool for tool in self._tools if tool.name == name), None)
        if tool is None:
            return error_result(name, f"Tool {name} not found.")
        given = await tool.run_json(arguments or {}, cancellation_token or CancellationToken(), call_id=call_id)
        return ToolResult(name=name, result=[TextResultContent(content=tool.return_value_as_string(given))])


def as_tool(tool: ToolLike) -> BaseTool[Any, Any]:
    """Make a tool of a function, described by its docstring."""
    if isinstance(tool, BaseTool):
        return tool
    if asks_itself(tool):
        return _Asking(tool, description=tool.__doc__ or "")
    return FunctionTool(tool, description=tool.__doc__ or "")


def mark_asking(function: Callable[..., Any]) -> None:
    """Mark a function that brings its calls to the gate.

    A function that `functools.wraps` makes look like it is not marked.
    """
    function.asks_itself = function  # type: ignore[attr-defined]


def asks_itself(thing: object) -> bool:
    """Say whether this is a function that brings its calls to the gate.

    Objects of other kinds are not asked: some have every attribute, like a client for calls to another machine.
    """
    return inspect.isroutine(thing) and getattr(thing, "asks_itself", None) is thing


def models_in(tools: Workbench) -> dict[str, type[BaseModel]]:
    """Return the argument models of a workbench's tools, by tool name."""
    if not isinstance(tools, StaticWorkbench):
        return {}
    # AutoGen gives no other way to them; without it "4711" would be judged and 4711 run.
    called = {original: name for name, original in getattr(tools, "_override_name_to_original", {}).items()}
    return {called.get(tool.name, tool.name): tool.args_type() for tool in tools._tools}


def takes_key(schema: ToolSchema) -> bool:
    """Say whether the tool wants an idempotency key."""
    return KEY_ARGUMENT in schema.get("parameters", {}).get("properties", {})


def without_key(schema: ToolSchema) -> ToolSchema:
    """Return the tool's schema for the model, without the idempotency key."""
    parameters = schema.get("parameters")
    if parameters is None or KEY_ARGUMENT not in parameters["properties"]:
        return schema
    shown = parameters.copy()
    shown["properties"] = {name: value for name, value in parameters["properties"].items() if name != KEY_ARGUMENT}
    shown["required"] = [name for name in parameters.get("required", []) if name != KEY_ARGUMENT]
    whole = schema.copy()
    whole["parameters"] = shown
    return whole


def error_result(name: str, sentence: str) -> ToolResult:
    """Make an error that the model reads."""
    return ToolResult(name=name, result=[TextResultContent(content=whole(sentence))], is_error=True)


def to_record(result: ToolResult) -> str:
    """Write what a call returned for the journal: JSON that `recorded_result` reads."""
    for part in result.result:
        if isinstance(part, TextResultContent):
            part.content = whole(part.content)
    return result.model_dump_json()


async def run_team(
    tool: AgentTool | TeamTool,
    arguments: Mapping[str, Any],
    token: CancellationToken,
    call_id: str,
    hear: Callable[[BaseAgentEvent | BaseChatMessage | TaskResult], None],
) -> ToolResult:
    """Run an agent, or a team, that is a tool; return its result.

    `hear` is called with each message inside, as it is said.
    """
    given: Any = None
    async with aclosing(tool.run_json_stream(arguments, token, call_id=call_id)) as stream:
        async for given in stream:
            hear(given)
    return ToolResult(name=tool.name, result=[TextResultContent(content=tool.return_value_as_string(given))])


def recorded_result(name: str, recorded: str) -> ToolResult:
    """Read what was recorded, or a person's words about a call with an unknown end."""
    try:
        return ToolResult.model_validate_json(recorded)
    except ValidationError:
        return ToolResult(name=name, result=[TextResultContent(content=recorded)])
