"""A model client that records answers and gives them again in a rebuilt run."""

import asyncio
import json
import sys
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Final

from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import ChatCompletionClient, CreateResult
from pydantic import BaseModel

from countersign.domain.errors import CountersignError, NoAnswer
from countersign.domain.redaction import hide
from countersign.frameworks.autogen.models.usage import MODEL, Budget
from countersign.frameworks.autogen.models.wrapper import Answer, ModelRequest, Pieces, WrappedModel
from countersign.runs.entries import Entry, whole
from countersign.runs.run_journal import RunJournal

PIECES_EVERY: Final = timedelta(milliseconds=250)
"""What a model streams within this time is handed on in one piece: each piece costs AutoGen a message."""
NOTHING: Final = "(The model answered nothing.)"
"""Takes the place of an answer with nothing in it, so that agents and people do not judge an empty text."""
_PLAIN: Final = (str, int, float, bool, type(None))


class JournaledModel(WrappedModel):
    """A model client that asks once: a rebuilt run gets the recorded answer.

    `failed` is called with what ends the run (LeaseLost, UnknownSchema, NoAnswer, GivenUp when the `budget` is used
    up), because AutoGen turns exceptions into text. `token` is the run's own, and each call ends with it, whatever the
    caller passes on and whether the model's client looks at it or not: MagenticOne passes none for a ledger in
    structured output, and the clients of Anthropic and Azure ignore it while they stream (autogen-ext 0.7.5).
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

    async def answer(self, request: ModelRequest) -> Pieces:
        """Live as the model streams, or the recorded answer."""
        # Without the tools: a server may list them in another order, or describe them better, while the run is under
        # way. A recorded answer stays an answer; a call of a tool that has changed is judged when it is made.
        key = self._journal.key(MODEL, self._agent, *request.content(tools=False))
        if (recorded := await self._recorded(key)) is not None:
            for piece in recorded.pieces():
                yield piece
            return
        token = _for_one_call(self._token, request.token)
        live = _together(replace(request, token=token).put_to(self._model))
        async with self._asking(key), aclosing(live) as pieces:
            while (piece := await token.link_future(asyncio.ensure_future(anext(pieces, None)))) is not None:
                yield piece if isinstance(piece, str) else await self._record(key, piece, request.json_output)

    @asynccontextmanager
    async def _asking(self, key: str) -> AsyncIterator[None]:
        """Turn every error into a cancellation once the run is let go.

        AutoGen 0.7's runtime bears that, but waits for ever after an error in a message whose sender was cancelled.
        """
        try:
            with self._budget.call(key):
                async with self._journal.executing(key):
                    try:
                        yield
                    except Exception as error:
                        if not isinstance(error, CountersignError) and not self._token.is_cancelled():
                            # The team's own client may ask again.
                            await self._journal.record_result(key, Entry("failed", dump_error(error)))
                        raise
        except Exception as error:
            if isinstance(error, CountersignError):
                self._failed(error)
            if self._token.is_cancelled():
                raise asyncio.CancelledError from error
            raise

    async def _recorded(self, key: str) -> Answer | None:
        entry = await self._journal.replayed(key)
        if entry is not None and entry.state == "failed":
            raise load_error(entry.value)
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
                        "ended. What was done before stays done. Start the task again."
                    )
                answer.content = NOTHING
        else:
            answer.content = [FunctionCall(whole(c.id), whole(c.arguments), whole(c.name)) for c in answer.content]
        answer.thought = answer.thought and whole(answer.thought)
        try:
            stands = await self._journal.record_result(
                key, Entry("done", answer.model_dump_json(exclude_defaults=True))
            )
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._failed(error)
            raise
        return Answer.model_validate_json(stands.value)

    async def close(self) -> None:
        """Leave the model open: it belongs to the process."""


def _for_one_call(run: CancellationToken, caller: CancellationToken | None) -> CancellationToken:
    """Make a token that is cancelled with either, and forgotten with the call.

    A token keeps all that was ever linked to it, and some clients link each piece of a stream.
    """
    token = CancellationToken()
    weakly = weakref.ref(token)

    def cancel() -> None:
        if (still := weakly()) is not None:
            still.cancel()

    for of in {run, caller or run}:
        of.add_callback(cancel)
    return token


async def _together(live: Pieces) -> Pieces:
    """Join the pieces of a stream that come fast after one another."""
    loop = asyncio.get_running_loop()
    held, since = "", loop.time()
    async with aclosing(live):
        async for piece in live:
            if isinstance(piece, str):
                held += piece
                if loop.time() - since < PIECES_EVERY.total_seconds():
                    continue
            if held:
                yield held
                held, since = "", loop.time()
            if not isinstance(piece, str):
                yield piece


class ModelError(Exception):
    """An error of a model's client of which this process does not know the class."""


def dump_error(error: Exception) -> str:
    """Write the error as JSON, without secrets, for a rebuilt run to raise again."""
    fields = {name: _shown(value) for name, value in vars(error).items() if isinstance(value, _PLAIN)}
    classes = [(kind.__module__, kind.__qualname__) for kind in type(error).__mro__]
    return json.dumps({"classes": classes, "words": hide(str(error))[0], "said": fields})


def load_error(recorded: str) -> Exception:
    """Make the error again, of the nearest class that this process has loaded.

    A client that retries decides by the error's class and attributes (`status_code`, `code`). The class is only looked
    up, and nothing of it is called.
    """
    fields = json.loads(recorded)
    kind = next((known for path in fields["classes"] if (known := _loaded(*path)) is not None), ModelError)
    try:
        error = kind.__new__(kind, fields["words"])
    except TypeError:  # it cannot be made from outside
        error = ModelError()
    error.args = (fields["words"],)
    error.__dict__.update(fields["said"])
    return error


def _shown(value: object) -> object:
    return hide(value)[0] if isinstance(value, str) else value


def _loaded(module: str, name: str) -> type[Exception] | None:
    value: object = sys.modules.get(module)
    for part in name.split("."):
        value = getattr(value, part, None)
    if isinstance(value, type) and issubclass(value, Exception) and value is not Exception:
        return value
    return None
