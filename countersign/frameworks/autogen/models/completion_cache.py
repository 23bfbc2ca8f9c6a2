"""A model client that asks the same question, word for word, once.

AutoGen ships a cache (autogen-ext 0.7.5, `ChatCompletionCache`), but its Redis store blocks the event loop and keeps
everything for ever, and its key names neither the model nor `tool_choice`, so a call that must use a tool could be
given the answer of one that must not.
"""

import logging
from contextlib import aclosing
from datetime import timedelta

from autogen_core.models import ChatCompletionClient, CreateResult
from pydantic import ValidationError

from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import Digest, digest_of
from countersign.frameworks.autogen.models.wrapper import Answer, ModelRequest, Pieces, WrappedModel
from countersign.usecases.ports import Answers

log = logging.getLogger(__name__)


class CachedModel(WrappedModel):
    """A model client that keeps each answer for as long as `kept`.

    `identity` tells one configuration's answers from another's. If the cache does not answer, the model is asked.
    Answers with nothing in them are not kept.
    """

    def __init__(self, model: ChatCompletionClient, answers: Answers, kept: timedelta, identity: str) -> None:
        super().__init__(model)
        self._answers = answers
        self._kept = kept
        self._identity = identity

    async def answer(self, request: ModelRequest) -> Pieces:
        """Live as the model streams, or the kept answer."""
        key = digest_of(self._identity, *request.content())
        if (kept := await self._found(key)) is not None:
            for piece in kept.pieces():
                yield piece
            return
        async with aclosing(request.put_to(self._model)) as pieces:
            async for piece in pieces:
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
