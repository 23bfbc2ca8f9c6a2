"""Tools of which each call happens at most once in the life of a run, however often the run is rebuilt.

AutoGen's agents call tools through a workbench; this one records `started` before a call and its result after it. A
call found started and not ended is done again, under the same idempotency key, if its tool is declared idempotent;
else people are asked.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Final, Protocol

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
from pydantic import ValidationError

from agents.journal import RunJournal
from bot.core.errors import ActionFailed, CountersignError, LeaseLost, OutcomeUnknown
from bot.core.ids import digest_of

ARGUMENT: Final = "idempotency_key"
"""A tool that takes an argument of this name gets its key there; no model sees the argument."""

Offered = BaseTool[Any, Any] | Callable[..., Any]
_KEY: ContextVar[str] = ContextVar(ARGUMENT)


class Once(Protocol):
    """Does `act` at most once under `key` and returns what it returned; `act` is told the key of its attempt."""

    def __call__(
        self, name: str, shown: str, key: str, act: Callable[[str], Awaitable[str]], *, idempotent: bool
    ) -> Awaitable[str]: ...


def idempotency_key() -> str:
    """For use in an asynchronous tool: the same text whenever this one call is done again. LookupError elsewhere."""
    return _KEY.get()


class JournaledTools(Workbench):
    """The tools of one agent. `idempotent`: all of them are, or those of these names.

    `failed` is told what makes going on impossible; the agent then reads an error, because AutoGen 0.7's
    AssistantAgent waits for ever for a tool call that raises.
    """

    def __init__(
        self,
        agent: str,
        tools: Workbench | Sequence[Offered],
        journal: RunJournal,
        once: Once,
        failed: Callable[[Exception], None],
        *,
        idempotent: bool | Collection[str] = False,
    ) -> None:
        self._agent = agent
        self._tools = tools if isinstance(tools, Workbench) else _Listed([_as_tool(tool) for tool in tools])
        self._journal = journal
        self._once = once
        self._failed = failed
        self._idempotent = idempotent

    async def list_tools(self) -> list[ToolSchema]:
        """What the model may call, without the argument that is not the model's to give."""
        return [_without_key(schema) for schema in await self._tools.list_tools()]

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        """The recorded result, or that of the call. It is not cut off in the middle, unless it is idempotent."""
        given = {key: value for key, value in (arguments or {}).items() if key != ARGUMENT}
        written = json.dumps(given, sort_keys=True, ensure_ascii=False)
        key = self._journal.key("tool", self._agent, name, written, call_id or "")
        shown = f"{written}\n\nfor {self._agent}" + (f", call {call_id}" if call_id else "")

        async def act(attempt: str) -> str:
            return (await self._call(name, given, attempt, call_id)).model_dump_json()

        everything = self._idempotent is True
        idempotent = everything or (not isinstance(self._idempotent, bool) and name in self._idempotent)
        try:
            found = await self._once(name, shown, key, act, idempotent=idempotent)
        except ActionFailed as failure:
            return _error(name, str(failure))
        except CountersignError as error:
            self._failed(error)
            return _error(name, str(error))
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return _error(name, "The run is let go by this process.")
        return _result(name, found)

    async def _call(self, name: str, arguments: dict[str, Any], attempt: str, call_id: str | None) -> ToolResult:
        own = digest_of(self._journal.run, attempt)[:32]
        _KEY.set(own)
        for schema in await self._tools.list_tools():
            if schema["name"] == name and ARGUMENT in schema.get("parameters", {}).get("properties", {}):
                arguments = {**arguments, ARGUMENT: own}
        try:
            return await self._tools.call_tool(name, arguments, CancellationToken(), call_id)
        except (OutcomeUnknown, LeaseLost):
            raise
        except Exception as error:
            return _error(name, str(error) or type(error).__name__)

    async def start(self) -> None:
        await self._tools.start()

    async def stop(self) -> None:
        await self._tools.stop()

    async def reset(self) -> None:
        await self._tools.reset()

    async def save_state(self) -> Mapping[str, Any]:
        return await self._tools.save_state()

    async def load_state(self, state: Mapping[str, Any]) -> None:
        await self._tools.load_state(state)


class _Listed(StaticWorkbench):
    """AutoGen's, but what a tool raises comes out: a tool may say OutcomeUnknown."""

    async def call_tool(
        self,
        name: str,
        arguments: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
        call_id: str | None = None,
    ) -> ToolResult:
        tool = next((tool for tool in self._tools if tool.name == name), None)
        if tool is None:
            return _error(name, f"Tool {name} not found.")
        given = await tool.run_json(arguments or {}, cancellation_token or CancellationToken(), call_id=call_id)
        return ToolResult(name=name, result=[TextResultContent(content=tool.return_value_as_string(given))])


def _as_tool(tool: Offered) -> BaseTool[Any, Any]:
    if isinstance(tool, BaseTool):
        return tool
    return FunctionTool(tool, description=tool.__doc__ or "")


def _without_key(schema: ToolSchema) -> ToolSchema:
    parameters = schema.get("parameters")
    if parameters is None or ARGUMENT not in parameters["properties"]:
        return schema
    shown = parameters.copy()
    shown["properties"] = {name: value for name, value in parameters["properties"].items() if name != ARGUMENT}
    shown["required"] = [name for name in parameters.get("required", []) if name != ARGUMENT]
    whole = schema.copy()
    whole["parameters"] = shown
    return whole


def _error(name: str, sentence: str) -> ToolResult:
    return ToolResult(name=name, result=[TextResultContent(content=sentence)], is_error=True)


def _result(name: str, found: str) -> ToolResult:
    """What was recorded; or a person's words about a call that nobody knew the end of."""
    try:
        return ToolResult.model_validate_json(found)
    except ValidationError:
        return ToolResult(name=name, result=[TextResultContent(content=found)])
