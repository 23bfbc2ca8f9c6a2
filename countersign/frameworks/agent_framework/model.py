"""The run's model as a chat client of Microsoft Agent Framework.

It is the model of MODEL_CONFIG, or the team's script where none is configured. What it answers is in the run's journal
as it is for AutoGen's agents: it counts, and a run that goes on from its last stop is given it again.
"""

import json
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from typing import Any, Final

from agent_framework import (
    BaseChatClient,
    ChatMiddlewareLayer,
    ChatResponse,
    ChatResponseUpdate,
    Content,
    FunctionInvocationLayer,
    FunctionTool,
    Message,
    ResponseStream,
    UsageDetails,
)
from autogen_core import FunctionCall
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    LLMMessage,
    SystemMessage,
    UserMessage,
)
from autogen_core.tools import ToolSchema

from countersign.domain.errors import WrongTeam

_CARRIED: Final = frozenset({"text", "text_reasoning", "function_call", "function_result", "usage"})
_NOT_FOR_THE_API: Final = frozenset({"instructions", "tools", "tool_choice", "response_format", "store", "metadata"})


class RunModel(FunctionInvocationLayer[Any], ChatMiddlewareLayer[Any], BaseChatClient[Any]):
    """A chat client that asks the run's model for the agent of this name."""

    def __init__(self, model: ChatCompletionClient, agent: str) -> None:
        super().__init__()
        self._model = model
        self._agent = agent

    def _inner_get_response(
        self, *, messages: Sequence[Message], stream: bool, options: Mapping[str, Any], **_: Any
    ) -> Awaitable[ChatResponse[Any]] | ResponseStream[ChatResponseUpdate, ChatResponse[Any]]:
        if stream:
            raise self._cannot("stream")
        return self._answer(messages, options)

    async def _answer(self, messages: Sequence[Message], options: Mapping[str, Any]) -> ChatResponse[Any]:
        choice, output = options.get("tool_choice") or "auto", options.get("response_format")
        if not isinstance(choice, str):
            raise self._cannot(f"take the tool_choice {choice}")
        if isinstance(output, Mapping):
            raise self._cannot("take a JSON schema as response_format; give it a pydantic model")
        asked = list(self._messages(messages))
        if instructions := options.get("instructions"):
            asked.insert(0, SystemMessage(content=instructions))
        result = await self._model.create(
            asked,
            tools=[self._tool(tool) for tool in options.get("tools") or ()],
            tool_choice=choice,  # type: ignore[arg-type]
            json_output=output,
            extra_create_args={
                name: value for name, value in options.items() if value is not None and name not in _NOT_FOR_THE_API
            },
        )
        usage = UsageDetails(
            input_token_count=result.usage.prompt_tokens, output_token_count=result.usage.completion_tokens
        )
        return ChatResponse(
            messages=[Message("assistant", list(_contents(result)))], usage_details=usage, response_format=output
        )

    def _messages(self, messages: Sequence[Message]) -> Iterator[LLMMessage]:
        names: dict[str, str] = {}
        for message in messages:
            contents = message.contents
            if foreign := sorted({content.type for content in contents} - _CARRIED):
                raise self._cannot(f"take “{foreign[0]}”, but text and calls of tools alone")
            calls = [_call(content) for content in contents if content.type == "function_call"]
            names.update((call.id, call.name) for call in calls)
            if results := [content for content in contents if content.type == "function_result"]:
                yield FunctionExecutionResultMessage(content=[_result(one, names) for one in results])
            elif calls:
                yield AssistantMessage(content=calls, thought=message.text or None, source=self._agent)
            elif message.role == "assistant":
                yield AssistantMessage(content=message.text, source=message.author_name or self._agent)
            elif message.role == "system":
                yield SystemMessage(content=message.text)
            else:
                yield UserMessage(content=message.text, source=message.author_name or "user")

    def _tool(self, tool: Any) -> ToolSchema:
        if not isinstance(tool, FunctionTool):
            raise self._cannot("be offered a tool that is no function")
        parameters: Any = tool.parameters()
        return ToolSchema(name=tool.name, description=tool.description, parameters=parameters)

    def _cannot(self, need: str) -> WrongTeam:
        return WrongTeam(
            f"The run's model cannot {need}, so the run has ended. Give “{self._agent}” a chat client of the framework."
        )


def _call(content: Content) -> FunctionCall:
    given = content.arguments
    arguments = given if isinstance(given, str) else json.dumps(given or {})
    return FunctionCall(content.call_id or "", arguments, content.name or "")


def _result(content: Content, names: Mapping[str, str]) -> FunctionExecutionResult:
    call = content.call_id or ""
    failed = content.exception is not None
    return FunctionExecutionResult(content=str(content.result), name=names.get(call, ""), call_id=call, is_error=failed)


def _contents(result: CreateResult) -> Iterator[Content]:
    if isinstance(result.content, str):
        yield Content.from_text(result.content)
        return
    if result.thought:
        yield Content.from_text(result.thought)
    for call in result.content:
        yield Content.from_function_call(call.id, call.name, arguments=call.arguments)
