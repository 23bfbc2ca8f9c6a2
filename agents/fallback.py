"""Several models in order of preference: the next one is asked when one does not answer.

Whatever a client raises, a time-out and an answer with nothing in it count as no answer. A request that one model
refuses is put to the next too, which may have the longer context. A model that failed rests, which means that it is
asked after the others, not that it is never asked: a run fails only when every model has.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage, RequestUsage, UserMessage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel

from agents.model_failures import Failure, failure_of
from agents.usage import Answer
from agents.wrapped_model import WrappedModel
from bot.core.errors import NoAnswer

log = logging.getLogger(__name__)

REST: Final = timedelta(seconds=30)
"""How long a model that failed is asked after the others, unless it said itself for how long."""
LONGEST_REST: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Choice:
    """A model to ask. `timeout` is how long its whole answer may take, or each piece of one that is streamed.

    `streaming` goes with each call that streams: OpenAI's clients count tokens there only if told to.
    """

    name: str
    client: ChatCompletionClient
    timeout: timedelta
    streaming: Mapping[str, Any]


class FallbackModel(WrappedModel):
    """Asks its models in order until one answers; the answer is an `Answer`. NoAnswer if none does.

    Teams are built for the first model, whose `model_info` this is. A model that by its own `model_info` cannot do what
    a call needs is left out of it. `redact` takes secrets out of what goes into the log; `clock` counts seconds.
    """

    def __init__(
        self,
        choices: Sequence[Choice],
        redact: Callable[[str], str] = str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(choices[0].client)
        self._choices = tuple(choices)
        self._redact = redact
        self._clock = clock
        self._rests: dict[str, float] = {}

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
        attempts = _Attempts()
        for choice in self._in_order(attempts, messages, tools, json_output):
            _unless_cancelled(cancellation_token)
            try:
                async with asyncio.timeout(choice.timeout.total_seconds()):
                    result = await choice.client.create(
                        messages,
                        tools=tools,
                        tool_choice=tool_choice,
                        json_output=json_output,
                        extra_create_args=dict(extra_create_args or {}),
                        cancellation_token=cancellation_token,
                    )
            except Exception as error:
                _unless_cancelled(cancellation_token)
                self._failed(attempts, choice, failure_of(error, choice.timeout), error)
                continue
            if (answer := self._taken(attempts, choice, result)) is not None:
                return answer
        return attempts.at_last()

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
        """A model that breaks off after its first piece is followed by the next, which starts over: a piece says so."""
        attempts, shown = _Attempts(), False
        for choice in self._in_order(attempts, messages, tools, json_output):
            _unless_cancelled(cancellation_token)
            if shown:
                yield f"\n— {attempts.last} broke off; {choice.name} starts over —\n"
                shown = False
            stream = choice.client.create_stream(
                messages,
                tools=tools,
                tool_choice=tool_choice,
                json_output=json_output,
                extra_create_args=dict(extra_create_args or {}),
                cancellation_token=cancellation_token,
                **choice.streaming,
            )
            async with aclosing(stream):
                while isinstance(piece := await _piece(stream, choice), str):
                    shown = True
                    yield piece
            _unless_cancelled(cancellation_token)
            if isinstance(piece, Exception):
                self._failed(attempts, choice, failure_of(piece, choice.timeout), piece)
            elif piece is None or _broken_off(piece):
                self._failed(attempts, choice, Failure("broke off in the middle of its answer"))
            elif (answer := self._taken(attempts, choice, piece)) is not None:
                yield answer
                return
        yield attempts.at_last()

    def _in_order(
        self,
        attempts: "_Attempts",
        messages: Sequence[LLMMessage],
        tools: Sequence[Tool | ToolSchema],
        json_output: bool | type[BaseModel] | None,
    ) -> list[Choice]:
        now = self._clock()
        fit = []
        for choice in self._choices:
            missing = _missing(choice.client, messages, tools, json_output)
            if missing:
                attempts.reasons.append(f"{choice.name} {missing}")
            else:
                fit.append(choice)
        return sorted(fit, key=lambda choice: max(self._rests.get(choice.name, 0) - now, 0))

    def _taken(self, attempts: "_Attempts", choice: Choice, result: CreateResult) -> Answer | None:
        answer = Answer.of(result, by=choice.name, instead_of=[*attempts.asked])
        self._rests.pop(choice.name, None)
        if isinstance(result.content, str) and not result.content.strip():
            attempts.empty = attempts.empty or answer
            self._failed(attempts, choice, Failure("answered nothing"))
            return None
        return answer

    def _failed(self, attempts: "_Attempts", choice: Choice, failure: Failure, error: Exception | None = None) -> None:
        if failure.rests:
            rest = min(failure.rest or REST, LONGEST_REST)
            self._rests[choice.name] = self._clock() + rest.total_seconds()
        attempts.last = choice.name
        attempts.asked.append(f"{choice.name} {failure.sentence}")
        attempts.reasons.append(f"{choice.name} {failure.sentence}")
        # Its own words may quote a key, and people in Slack cannot use them: they are for the log alone.
        detail = f" ({type(error).__name__}: {' '.join(self._redact(str(error)).split())[:300]})" if error else ""
        log.warning("The model %s %s%s.", choice.name, failure.sentence, detail)

    async def close(self) -> None:
        for choice in self._choices:
            await choice.client.close()

    def actual_usage(self) -> RequestUsage:
        return _sum([choice.client.actual_usage() for choice in self._choices])

    def total_usage(self) -> RequestUsage:
        return _sum([choice.client.total_usage() for choice in self._choices])


class _Attempts:
    """What came of one call so far: who was asked and did not answer, and why no other could be."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reasons: list[str] = []
        self.last = ""
        self.empty: Answer | None = None

    def at_last(self) -> Answer:
        """Nobody is left to ask: the answer with nothing in it if there was one, which is not for us to judge."""
        if self.empty is not None:
            return self.empty
        raise NoAnswer(
            f"No model answered, so the run has ended: {'; '.join(self.reasons)}. What was done before stays done, and "
            "nothing was repeated. Please start the task anew later; the worker's log says more."
        )


async def _piece(
    stream: AsyncGenerator[str | CreateResult, None], choice: Choice
) -> str | CreateResult | Exception | None:
    """The next piece, or why there is none; None if the stream ended before its result."""
    try:
        async with asyncio.timeout(choice.timeout.total_seconds()):
            return await anext(stream, None)
    except Exception as error:
        return error


def _broken_off(result: CreateResult) -> bool:
    """A connection that closes properly looks like an end: but no reason for it came, nor the tokens asked for."""
    return result.finish_reason == "unknown" and not result.usage.completion_tokens


def _missing(
    client: ChatCompletionClient,
    messages: Sequence[LLMMessage],
    tools: Sequence[Tool | ToolSchema],
    json_output: bool | type[BaseModel] | None,
) -> str:
    able = client.model_info
    if tools and not able["function_calling"]:
        return "cannot call tools and was not asked"
    if json_output is True and not able["json_output"]:
        return "cannot be held to JSON and was not asked"
    if isinstance(json_output, type) and not able.get("structured_output", False):
        return "cannot be held to a schema and was not asked"
    images = any(isinstance(message, UserMessage) and not isinstance(message.content, str) for message in messages)
    return "sees no images and was not asked" if images and not able["vision"] else ""


def _unless_cancelled(token: CancellationToken | None) -> None:
    if token is not None and token.is_cancelled():
        raise asyncio.CancelledError


def _sum(usages: Sequence[RequestUsage]) -> RequestUsage:
    return RequestUsage(sum(u.prompt_tokens for u in usages), sum(u.completion_tokens for u in usages))
