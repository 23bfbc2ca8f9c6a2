"""A model client that asks the model once: in a rebuilt run the recorded answer is given."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from typing import Any, Final, Literal

from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel

from agents import recorded_errors
from agents.entries import Entry
from agents.journal import RunJournal
from agents.texts import whole
from agents.usage import MODEL, Answer, Budget
from agents.wrapped_model import WrappedModel, asked
from bot.core.errors import CountersignError, NoAnswer

PIECES_EVERY: Final = timedelta(milliseconds=250)
"""What a model streams within this time is handed on in one piece: each piece costs AutoGen a message."""
NOTHING: Final = "(The model answered nothing.)"
"""Takes the place of an answer with nothing in it, so that agents and people do not judge an empty text."""


class JournaledModel(WrappedModel):
    """A model client that asks the model once: in a rebuilt run the recorded answer is given.

    `failed` is told what ends the run (LeaseLost, UnknownSchema, NoAnswer, GivenUp when the `budget` is used up),
    since AutoGen turns exceptions into text. `token` is the run's own: a call ends with it whatever the caller passes
    on, because MagenticOne passes none for a ledger in structured output, and whether or not the model's client looks
    at it: those of Anthropic and Azure do not while they stream (autogen-ext 0.7.5).
    """

    def __init__(
        self,
        model: ChatCompletionClient,
        journal: RunJournal,
        agent: str,
        failed: Callable[[Exception], None],
        budget: Budget,
        token: CancellationToken | None = None,
    ) -> None:
        super().__init__(model)
        self._journal = journal
        self._agent = agent
        self._failed = failed
        self._budget = budget
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
        token = _for_one_call(self._token, cancellation_token)
        async with self._asking(key):
            call = asyncio.ensure_future(
                self._model.create(
                    messages,
                    tools=tools,
                    tool_choice=tool_choice,
                    json_output=json_output,
                    extra_create_args=extra,
                    cancellation_token=token,
                )
            )
            token.link_future(call)
            return await self._record(key, await call, json_output)

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
        token = _for_one_call(self._token, cancellation_token)
        stream = self._model.create_stream(
            messages,
            tools=tools,
            tool_choice=tool_choice,
            json_output=json_output,
            extra_create_args=extra,
            cancellation_token=token,
        )
        async with self._asking(key), aclosing(stream), aclosing(_together(stream)) as pieces:
            while (piece := await token.link_future(asyncio.ensure_future(anext(pieces, None)))) is not None:
                yield piece if isinstance(piece, str) else await self._record(key, piece, json_output)

    def _key(
        self,
        messages: Sequence[LLMMessage],
        tools: Sequence[Tool | ToolSchema],
        tool_choice: Tool | str,
        json_output: bool | type[BaseModel] | None,
        extra: dict[str, Any],
    ) -> str:
        return self._journal.key(MODEL, self._agent, *asked(messages, tools, tool_choice, json_output, extra))

    @asynccontextmanager
    async def _asking(self, key: str) -> AsyncIterator[None]:
        """Once the run is let go every error is a cancellation: AutoGen 0.7's runtime bears that, and waits for ever
        after an error in a message whose sender was cancelled."""
        try:
            with self._budget.call(key):
                async with self._journal.live(key):
                    try:
                        yield
                    except Exception as error:
                        if not isinstance(error, CountersignError) and not self._token.is_cancelled():
                            # The team's own client may ask again.
                            await self._journal.result(key, Entry("failed", recorded_errors.dump(error)))
                        raise
        except Exception as error:
            if isinstance(error, CountersignError):
                self._failed(error)
            if self._token.is_cancelled():
                raise asyncio.CancelledError from error
            raise

    async def _recorded(self, key: str) -> CreateResult | None:
        entry = await self._journal.again(key)
        if entry is not None and entry.state == "failed":
            raise recorded_errors.load(entry.value)
        return None if entry is None else Answer.model_validate_json(entry.value)

    async def _record(self, key: str, result: CreateResult, json_output: bool | type[BaseModel] | None) -> CreateResult:
        answer = Answer.of(result)
        if not answer.by:
            answer.by = type(self._model).__name__
        if isinstance(answer.content, str):
            answer.content = whole(answer.content)
            if not answer.content.strip():
                if json_output:
                    raise NoAnswer(
                        f"The model {answer.by} answered nothing where “{self._agent}” needs JSON, so the run has "
                        "ended. What was done before stays done. Please start the task anew."
                    )
                answer.content = NOTHING
        else:
            answer.content = [FunctionCall(whole(c.id), whole(c.arguments), whole(c.name)) for c in answer.content]
        answer.thought = answer.thought and whole(answer.thought)
        try:
            stands = await self._journal.result(key, Entry("done", answer.model_dump_json()))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(error)
            raise
        return Answer.model_validate_json(stands.value)

    async def close(self) -> None:
        """The model belongs to the process and stays open."""


def _for_one_call(run: CancellationToken, caller: CancellationToken | None) -> CancellationToken:
    """Cancelled with either, and gone with the call: a token keeps all that was ever linked to it, and some clients
    link each piece of a stream."""
    token = CancellationToken()
    weakly = weakref.ref(token)

    def cancel() -> None:
        if (still := weakly()) is not None:
            still.cancel()

    for of in {run, caller or run}:
        of.add_callback(cancel)
    return token


async def _together(stream: AsyncGenerator[str | CreateResult, None]) -> AsyncGenerator[str | CreateResult, None]:
    """The same, with pieces that come fast after one another in one."""
    loop = asyncio.get_running_loop()
    held, since = "", loop.time()
    async for piece in stream:
        if isinstance(piece, str):
            held += piece
            if loop.time() - since < PIECES_EVERY.total_seconds():
                continue
        if held:
            yield held
            held, since = "", loop.time()
        if not isinstance(piece, str):
            yield piece
