"""The run's model as a model of the OpenAI Agents SDK.

It is the model of MODEL_CONFIG, or the team's script where none is configured, and is journaled and counted as it is
for AutoGen's agents. The SDK turns its items into messages of chat completions, and the answer back.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import fields
from typing import Any, Final

from agents.agent_output import AgentOutputSchemaBase
from agents.exceptions import UserError
from agents.items import TResponseInputItem, TResponseStreamEvent
from agents.models.chatcmpl_converter import Converter
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
from openai.types.chat import ChatCompletionMessage
from pydantic import BaseModel

from agents import Handoff, Model, ModelResponse, ModelSettings, ModelTracing, Tool, Usage
from countersign.domain.errors import WrongTeam

_CARRIED: Final = frozenset(
    {"temperature", "top_p", "frequency_penalty", "presence_penalty", "max_tokens", "verbosity"}
)
_ELSEWHERE: Final = frozenset(
    {"tool_choice", "parallel_tool_calls", "reasoning", "extra_args", "retry", "timeout", "store", "metadata"}
    | {"include_usage", "preserve_raw_usage", "prompt_cache_retention", "prompt_cache_options"}
)
"""Settings that are read here, by the SDK, or not about the answer."""


class RunModel(Model):
    """A model that asks the run's model for the agent of this name."""

    def __init__(self, model: ChatCompletionClient, agent: str) -> None:
        self._model = model
        self._agent = agent

    async def get_response(
        self,
        system_instructions: str | None,
        input: str | list[TResponseInputItem],
        model_settings: ModelSettings,
        tools: list[Tool],
        output_schema: AgentOutputSchemaBase | None,
        handoffs: list[Handoff[Any, Any]],
        tracing: ModelTracing,
        *,
        previous_response_id: str | None = None,
        conversation_id: str | None = None,
        prompt: Any = None,
    ) -> ModelResponse:
        """Ask once. WrongTeam for what the run's model cannot do."""
        if previous_response_id or conversation_id or prompt:
            raise self._cannot("go on from what OpenAI keeps")
        choice = model_settings.tool_choice or "auto"
        if choice not in ("auto", "required", "none"):
            raise self._cannot(f"take the tool_choice {choice}")
        try:
            messages = list(self._messages(Converter.items_to_messages(input, strict_feature_validation=True)))
            offered = [Converter.tool_to_openai(tool) for tool in tools]
        except UserError as wrong:
            raise self._cannot(f"take all that the agent has ({wrong})") from None
        offered += [Converter.convert_handoff_tool(handoff) for handoff in handoffs]
        if system_instructions:
            messages.insert(0, SystemMessage(content=system_instructions))
        result = await self._model.create(
            messages,
            tools=[_schema(tool["function"]) for tool in offered],
            tool_choice=choice,  # type: ignore[arg-type]
            json_output=self._form(output_schema),
            extra_create_args=self._arguments(model_settings, calls=bool(offered)),
        )
        sent, received = result.usage.prompt_tokens, result.usage.completion_tokens
        usage = Usage(requests=1, input_tokens=sent, output_tokens=received, total_tokens=sent + received)
        return ModelResponse(Converter.message_to_output_items(_answer(result)), usage, None)

    def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[TResponseStreamEvent]:
        """Refuse to stream: a worker shows whole messages."""
        raise self._cannot("stream")

    def _messages(self, messages: Iterable[Any]) -> Iterator[LLMMessage]:
        names: dict[str, str] = {}
        results: list[FunctionExecutionResult] = []
        for message in messages:
            role, text = message["role"], self._text(message.get("content"))
            if role == "tool":
                call = message["tool_call_id"]
                results.append(
                    FunctionExecutionResult(content=text, name=names.get(call, ""), call_id=call, is_error=False)
                )
                continue
            if results:
                yield FunctionExecutionResultMessage(content=results)
                results = []
            if calls := [_call(call) for call in message.get("tool_calls") or ()]:
                names.update((call.id, call.name) for call in calls)
                yield AssistantMessage(content=calls, thought=text or None, source=self._agent)
            elif role == "assistant":
                yield AssistantMessage(content=text, source=self._agent)
            elif role == "user":
                yield UserMessage(content=text, source="user")
            else:
                yield SystemMessage(content=text)
        if results:
            yield FunctionExecutionResultMessage(content=results)

    def _text(self, content: Any) -> str:
        parts = [{"type": "text", "text": content or ""}] if content is None or isinstance(content, str) else content
        if foreign := [part["type"] for part in parts if part["type"] != "text"]:
            raise self._cannot(f"take “{foreign[0]}”, but text and calls of tools alone")
        return "".join(part["text"] for part in parts)

    def _form(self, schema: AgentOutputSchemaBase | None) -> type[BaseModel] | None:
        if schema is None or schema.is_plain_text():
            return None
        form = getattr(schema, "output_type", None)
        if not (isinstance(form, type) and issubclass(form, BaseModel)):
            raise self._cannot("take an output_type that is no pydantic model")
        return form

    def _arguments(self, settings: ModelSettings, *, calls: bool) -> dict[str, Any]:
        named = {field.name: getattr(settings, field.name) for field in fields(settings)}
        given = {name: value for name, value in named.items() if value is not None}
        if foreign := sorted(given.keys() - _CARRIED - _ELSEWHERE):
            raise self._cannot(f"take the setting “{foreign[0]}”")
        arguments = {name: value for name, value in given.items() if name in _CARRIED}
        if calls and "parallel_tool_calls" in given:
            arguments["parallel_tool_calls"] = given["parallel_tool_calls"]
        if settings.reasoning is not None and settings.reasoning.effort:
            arguments["reasoning_effort"] = settings.reasoning.effort
        return arguments | (settings.extra_args or {})

    def _cannot(self, action: str) -> WrongTeam:
        return WrongTeam(
            f"The run's model cannot {action}, so the run has ended. Give “{self._agent}” a model of the framework."
        )


def _schema(function: Any) -> ToolSchema:
    return ToolSchema(name=function["name"], description=function["description"], parameters=function["parameters"])


def _call(call: Any) -> FunctionCall:
    return FunctionCall(call["id"], call["function"]["arguments"], call["function"]["name"])


def _answer(result: CreateResult) -> ChatCompletionMessage:
    if isinstance(result.content, str):
        return ChatCompletionMessage(role="assistant", content=result.content)
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in result.content
    ]
    return ChatCompletionMessage.model_validate({"role": "assistant", "content": result.thought, "tool_calls": calls})
