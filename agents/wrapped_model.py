"""What all our model clients around other model clients share."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from autogen_core.models import ChatCompletionClient, LLMMessage, ModelInfo, RequestUsage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel, TypeAdapter

_MESSAGES: Final[TypeAdapter[list[LLMMessage]]] = TypeAdapter(list[LLMMessage])


class WrappedModel(ChatCompletionClient):
    """Says of itself what the model inside says of itself."""

    def __init__(self, model: ChatCompletionClient) -> None:
        self._model = model

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
    def capabilities(self) -> ModelInfo:
        """What the old name of `model_info` still asks for."""
        return self.model_info

    @property
    def model_info(self) -> ModelInfo:
        return self._model.model_info


def asked(
    messages: Sequence[LLMMessage],
    tools: Sequence[Tool | ToolSchema],
    tool_choice: Tool | str,
    json_output: bool | type[BaseModel] | None,
    extra: Mapping[str, Any],
) -> tuple[bytes, str]:
    """Everything that a model is asked with, as JSON: the messages, and the rest. Both are for digests: of a long
    conversation each is megabytes, so it is not made a text on the way."""
    output = json_output if isinstance(json_output, bool | None) else json_output.model_json_schema()
    rest = {
        "tools": [tool.schema if isinstance(tool, Tool) else tool for tool in tools],
        "tool_choice": tool_choice if isinstance(tool_choice, str) else tool_choice.name,
        "json_output": output,
        "extra": dict(extra),
    }
    return _MESSAGES.dump_json(list(messages)), json.dumps(rest, sort_keys=True, default=str)
