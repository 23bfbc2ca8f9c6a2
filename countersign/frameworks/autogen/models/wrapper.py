"""The base of model clients: one generator behind `create` and `create_stream`."""

import json
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, ModelInfo, RequestUsage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel, Field, TypeAdapter

_MESSAGES: Final[TypeAdapter[list[LLMMessage]]] = TypeAdapter(list[LLMMessage])

DELAYED: Final[ContextVar[Callable[[str, timedelta], None]]] = ContextVar("delayed", default=lambda why, pause: None)
"""Called with why a model is not asked for a while; set for each run."""
Pieces = AsyncGenerator[str | CreateResult, None]
"""The answer of a model: pieces of text while it is streamed, and the result at the end."""


class Answer(CreateResult):
    """A model's answer with its source; AutoGen takes it as its own type.

    `by` is the model that gave it. `instead_of` says of each model asked before why it did not answer.
    """

    by: str = ""
    instead_of: list[str] = Field(default_factory=list)

    @classmethod
    def of(cls, result: CreateResult, **known: object) -> "Answer":
        """Copy the answer with changes of what is known of it."""
        return cls.model_construct(**{**dict(result), **known})

    def pieces(self) -> Iterator[str | CreateResult]:
        """Return the answer as a stream: the whole text at once, then the result."""
        if isinstance(self.content, str):
            yield self.content
        yield self


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One call of a model. `streamed`: by `create_stream`."""

    messages: Sequence[LLMMessage]
    tools: Sequence[Tool | ToolSchema]
    tool_choice: Tool | Literal["auto", "required", "none"]
    json_output: bool | type[BaseModel] | None
    extra: Mapping[str, Any]
    token: CancellationToken | None
    streamed: bool

    def content(self, *, tools: bool = True) -> tuple[bytes, str]:
        """Write everything that a model is asked with as JSON: the messages, and the rest.

        Both are for digests: of a long conversation each is megabytes, so it is not made a text on the way.
        The order of the tools makes no difference; without `tools` none of them is written.
        """
        output = self.json_output
        listed = [tool.schema if isinstance(tool, Tool) else tool for tool in self.tools if tools]
        rest = {
            "tools": sorted(listed, key=lambda tool: tool["name"]),
            "tool_choice": self.tool_choice if isinstance(self.tool_choice, str) else self.tool_choice.name,
            "json_output": output if isinstance(output, bool | None) else output.model_json_schema(),
            "extra": dict(self.extra),
        }
        return _MESSAGES.dump_json(list(self.messages)), json.dumps(rest, sort_keys=True, default=str)

    async def put_to(self, model: ChatCompletionClient, **streaming: Any) -> Pieces:
        """Ask the model. `streaming` are more arguments for one that streams."""
        call: dict[str, Any] = {
            "tools": self.tools,
            "tool_choice": self.tool_choice,
            "json_output": self.json_output,
            "extra_create_args": self.extra,
            "cancellation_token": self.token,
        }
        if not self.streamed:
            yield await model.create(self.messages, **call)
            return
        async with aclosing(model.create_stream(self.messages, **call, **streaming)) as pieces:
            async for piece in pieces:
                yield piece


class ModelClient(ChatCompletionClient):
    """A model client of which only `answer` differs; `create` is its result alone."""

    def answer(self, request: ModelRequest) -> Pieces:
        """Answer the request; the last piece is the result, all that `create` looks at."""
        raise NotImplementedError

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
        request = ModelRequest(messages, tools, tool_choice, json_output, extra, cancellation_token, streamed=False)
        async with aclosing(self.answer(request)) as pieces:
            async for piece in pieces:
                if isinstance(piece, CreateResult):
                    return piece
        raise RuntimeError(f"{type(self).__name__} ended without a result.")

    def create_stream(
        self,
        messages: Sequence[LLMMessage],
        *,
        tools: Sequence[Tool | ToolSchema] = (),
        tool_choice: Tool | Literal["auto", "required", "none"] = "auto",
        json_output: bool | type[BaseModel] | None = None,
        extra_create_args: Mapping[str, Any] | None = None,
        cancellation_token: CancellationToken | None = None,
    ) -> Pieces:
        extra = dict(extra_create_args or {})
        request = ModelRequest(messages, tools, tool_choice, json_output, extra, cancellation_token, streamed=True)
        return self.answer(request)

    @property
    def capabilities(self) -> ModelInfo:
        """The old name of `model_info`, which AutoGen still asks for."""
        return self.model_info


class WrappedModel(ModelClient):
    """A client around another, with the same `model_info` and counts."""

    def __init__(self, model: ChatCompletionClient) -> None:
        self._model = model

    def answer(self, request: ModelRequest) -> Pieces:
        return request.put_to(self._model)

    async def close(self) -> None:
        await self._model.close()

    def actual_usage(self) -> RequestUsage:
        return self._model.actual_usage()

    def total_usage(self) -> RequestUsage:
        return self._model.total_usage()

    def count_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return self._model.count_tokens(messages, tools=tools)

    def remaining_tokens(self, messages: Sequence[LLMMessage], *, tools: Sequence[Tool | ToolSchema] = ()) -> int:
        return self._model.remaining_tokens(messages, tools=tools)

    @property
    def model_info(self) -> ModelInfo:
        return self._model.model_info
