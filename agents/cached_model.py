"""A model client that gives kept answers again: the same question, word for word, is put to the model once.

AutoGen ships a cache (autogen-ext 0.7.5, `ChatCompletionCache`), but its Redis store blocks the event loop and keeps
everything for ever, and its key names neither the model nor `tool_choice`, so a call that must use a tool could be
given the answer of one that must not.
"""

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Literal

from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, CreateResult, LLMMessage
from autogen_core.tools import Tool, ToolSchema
from pydantic import BaseModel, ValidationError

from agents.usage import Answer
from agents.wrapped_model import WrappedModel, asked
from bot.core.errors import StoreUnavailable
from bot.core.ids import Digest, digest_of
from bot.core.ports import Answers

log = logging.getLogger(__name__)


class CachedModel(WrappedModel):
    """Keeps each answer for as long as `kept`. `identity` tells one configuration's answers from another's.

    A cache that does not answer is none: the model is asked. Answers with nothing in them are not kept.
    """

    def __init__(self, model: ChatCompletionClient, answers: Answers, kept: timedelta, identity: str) -> None:
        super().__init__(model)
        self._answers = answers
        self._kept = kept
        self._identity = identity

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
        key = digest_of(self._identity, *asked(messages, tools, tool_choice, json_output, extra))
        if (kept := await self._found(key)) is not None:
            return kept
        result = await self._model.create(
            messages,
            tools=tools,
            tool_choice=tool_choice,
            json_output=json_output,
            extra_create_args=extra,
            cancellation_token=cancellation_token,
        )
        await self._keep(key, result)
        return result

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
        """Live as the model streams; a kept answer's whole text at once, then the result."""
        extra = dict(extra_create_args or {})
        key = digest_of(self._identity, *asked(messages, tools, tool_choice, json_output, extra))
        if (kept := await self._found(key)) is not None:
            if isinstance(kept.content, str):
                yield kept.content
            yield kept
            return
        stream = self._model.create_stream(
            messages,
            tools=tools,
            tool_choice=tool_choice,
            json_output=json_output,
            extra_create_args=extra,
            cancellation_token=cancellation_token,
        )
        async with aclosing(stream):
            async for piece in stream:
                if isinstance(piece, CreateResult):
                    await self._keep(key, piece)
                yield piece

    async def _found(self, key: Digest) -> Answer | None:
        try:
            raw = await self._answers.get(key)
            return None if raw is None else Answer.of(Answer.model_validate_json(raw), cached=True)
        except StoreUnavailable as away:
            log.warning("Kept answers were not looked for, the model is asked: %s", away)
        except ValidationError:
            log.warning("A kept answer was written by another version, the model is asked.")
        return None

    async def _keep(self, key: Digest, result: CreateResult) -> None:
        if isinstance(result.content, str) and not result.content.strip():
            return
        try:
            await self._answers.put(key, result.model_dump_json().encode(), self._kept)
        except StoreUnavailable as away:
            log.warning("An answer was not kept: %s", away)
        except ValueError:
            log.warning("An answer was not kept: it is no text that could be stored.")
