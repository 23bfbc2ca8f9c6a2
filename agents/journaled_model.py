"""A model client that asks the model once: in a rebuilt run the recorded answer is given."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo, RequestUsage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel, TypeAdapter

from agents.journal import Entry, RunJournal

_MESSAGES: Final[TypeAdapter[list[LLMMessage]]] = TypeAdapter(list[LLMMessage])


class JournaledModel(ChatCompletionClient):
    """A model client that asks the model once: in a rebuilt run the recorded answer is given.

    `failed` is told what goes wrong with the journal itself (LeaseLost, UnknownSchema), since AutoGen turns
    exceptions into text. `token` is the run's own: a call ends with it whatever the caller passes on, because
    MagenticOne passes none for a ledger in structured output.
    """

    def __init__(
        self,
        model: ChatCompletionClient,
        journal: RunJournal,
        agent: str,
        failed: Callable[[Exception], None],
        token: CancellationToken | None = None,
    ) -> None:
        self._model = model
        self._journal = journal
        self._agent = agent
        self._failed = failed
        self._token = token or CancellationToken()

    async def create(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> CreateResult:
        extra = dict(extra_create_args or {})
        key = self._key(messages, tools, tool_choice, json_output, extra)
        recorded = await self._recorded(key)
        if recorded is not None:
            return recorded
        async with self._live(key):
            call = asyncio.ensure_future(
                self._model.create(
                    messages,
                    tools=tools,
                    tool_choice=tool_choice,
                    json_output=json_output,
                    extra_create_args=extra,
                    cancellation_token=cancellation_token or self._token,
                )
            )
            self._token.link_future(call)
            return await self._record(key, await call)

    async def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> AsyncGenerator[str | CreateResult, None]:
        """Live as the model streams; from the journal the whole text at once, then the result."""
        extra = dict(extra_create_args or {})
        key = self._key(messages, tools, tool_choice, json_output, extra)
        recorded = await self._recorded(key)
        if recorded is not None:
            if isinstance(recorded.content, str):
                yield recorded.content
            yield recorded
            return
        async with self._live(key):
            async for piece in self._model.create_stream(
                messages,
                tools=tools,
                tool_choice=tool_choice,
                json_output=json_output,
                extra_create_args=extra,
                cancellation_token=cancellation_token or self._token,
            ):
                yield piece if isinstance(piece, str) else await self._record(key, piece)

    def _key(
        self,
        messages: Sequence[LLMMessage],
        tools: Sequence[Tool | ToolSchema],
        tool_choice: Tool | str,
        json_output: bool | type[BaseModel] | None,
        extra: dict[str, Any],
    ) -> str:
        output = json_output if isinstance(json_output, bool | None) else json_output.model_json_schema()
        asked = {
            "tools": [tool.schema if isinstance(tool, Tool) else tool for tool in tools],
            "tool_choice": tool_choice if isinstance(tool_choice, str) else tool_choice.name,
            "json_output": output,
            "extra": extra,
        }
        whole = _MESSAGES.dump_json(list(messages)).decode()
        return self._journal.key("model", self._agent, whole, json.dumps(asked, sort_keys=True, default=str))

    async def _recorded(self, key: str) -> CreateResult | None:
        entry = await self._journal.again(key)
        return None if entry is None else CreateResult.model_validate_json(entry.value)

    @asynccontextmanager
    async def _live(self, key: str) -> AsyncIterator[None]:
        """Once the run is let go every error is a cancellation: AutoGen 0.7's runtime bears that, and waits for ever
        after an error in a message whose sender was cancelled."""
        try:
            async with self._journal.live(key):
                yield
        except Exception as error:
            if self._token.is_cancelled():
                raise asyncio.CancelledError from error
            raise

    async def _record(self, key: str, result: CreateResult) -> CreateResult:
        if isinstance(result.content, str):
            # Half a surrogate pair is no text that could be stored, shown or sent.
            whole = result.content.encode("utf-8", "replace").decode()
            result = result.model_copy(update={"content": whole})
        try:
            stands = await self._journal.result(key, Entry("done", result.model_dump_json()))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(error)
            raise
        return CreateResult.model_validate_json(stands.value)

    async def close(self) -> None:
        """The model belongs to the process and stays open."""

    def actual_usage(self) -> RequestUsage:
        return self._model.actual_usage()

    def total_usage(self) -> RequestUsage:
        return self._model.total_usage()

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return self._model.count_tokens(messages, tools=tools)

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return self._model.remaining_tokens(messages, tools=tools)

    @property
    def capabilities(self) -> ModelInfo:
        """What the old name of `model_info` still asks for."""
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return self._model.model_info
