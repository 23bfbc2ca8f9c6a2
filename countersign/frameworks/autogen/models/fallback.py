"""Several models in order of preference: if one fails, the next is asked.

Whatever a client raises, a time-out and an answer with nothing in it count as no answer. A request that one model
refuses is put to the next too, which may have the longer context. A model that failed rests, which means that it is
asked after the others, not that it is never asked: a run fails only when every model has.

What went wrong is told in words for people, never the provider's own, which may quote a key. Providers have no
exceptions in common, so `failure_of` reads what they do have: names of classes, `status_code`, `code`.
"""

import asyncio
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from autogen_core import CancellationToken
from autogen_core.models import ChatCompletionClient, CreateResult, RequestUsage, UserMessage

from countersign.domain.durations import say_duration
from countersign.domain.errors import NoAnswer
from countersign.frameworks.autogen.models.wrapper import DELAYED, Answer, ModelRequest, Pieces, WrappedModel

log = logging.getLogger(__name__)

REST: Final = timedelta(seconds=30)
"""How long a model that failed is asked after the others, unless it said itself for how long."""
LONGEST_REST: Final = timedelta(minutes=10)
LONGEST_PAUSE: Final = timedelta(minutes=1)
"""A provider that asks to wait longer before it is asked again is not waited for."""
AGAIN: Final = 2
"""How often the last model is asked again, unless the file says that its client does so itself."""
_FIRST_PAUSE: Final = timedelta(seconds=0.5)


@dataclass(frozen=True, slots=True)
class Choice:
    """A model to ask.

    `timeout` limits its whole answer, or each piece of one that is streamed. `streaming` are arguments for each call
    that streams: OpenAI's clients count tokens there only on request. `again`: how often it is asked again after a
    failure that may pass.
    """

    name: str
    client: ChatCompletionClient
    timeout: timedelta
    streaming: Mapping[str, Any]
    again: int = 0


@dataclass(frozen=True, slots=True)
class Failure:
    """A model's failure; `sentence` follows the model's name.

    `rests`: it would fail again, for as long as `rest` if the provider said how long. `transient`: it may answer soon.
    """

    sentence: str
    rests: bool = False
    rest: timedelta | None = None
    transient: bool = False

    def pause(self, pauses: int) -> timedelta | None:
        """Return how long to wait before the model is asked again; None if that is no use.

        `pauses`: how many there were so far.
        """
        pause = self.rest if self.rest is not None else _FIRST_PAUSE * 2**pauses
        return pause if self.transient and pause <= LONGEST_PAUSE else None


class FallbackModel(WrappedModel):
    """A model client that asks its models in order until one answers.

    The answer is an `Answer`; NoAnswer if there is none. Teams are built for the first model, whose `model_info` this
    is. A model that cannot do what a call needs, by its own `model_info`, is skipped. `redact` takes secrets out of the
    log; `clock` counts seconds.
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

    async def answer(self, request: ModelRequest) -> Pieces:
        """Ask the models in order.

        A model that breaks off after its first piece is followed by the next, which starts over; a piece says so.
        """
        attempts, shown = _Attempts(), False
        for choice, pauses in ((c, n) for c in self._in_order(attempts, request) for n in range(c.again + 1)):
            if pauses and not attempts.waits:
                continue
            attempts.waits = False
            _unless_cancelled(request.token)
            if shown:
                yield f"\n— {attempts.last} broke off; {choice.name} starts over —\n"
                shown = False
            async with aclosing(request.put_to(choice.client, **choice.streaming)) as pieces:
                while isinstance(piece := await _piece(pieces, choice), str):
                    shown = True
                    yield piece
            _unless_cancelled(request.token)
            if isinstance(piece, Exception):
                failure = failure_of(piece, choice.timeout)
                pause = failure.pause(pauses) if pauses < choice.again else None
                if pause is not None:
                    await self._wait(attempts, choice, failure, pause)
                    continue
                self._failed(attempts, choice, failure, piece)
            elif piece is None or (request.streamed and _broken_off(piece)):
                self._failed(attempts, choice, Failure("broke off in the middle of its answer"))
            elif (answer := self._answer(attempts, choice, piece)) is not None:
                yield answer
                return
        yield attempts.empty_or_error()

    async def _wait(self, attempts: "_Attempts", choice: Choice, failure: Failure, pause: timedelta) -> None:
        log.warning("The model %s %s; asking it again in %s s.", choice.name, failure.sentence, pause.total_seconds())
        attempts.last, attempts.waits = choice.name, True
        if pause > timedelta(seconds=1):
            DELAYED.get()(f"{choice.name} {failure.sentence}", pause)
        await asyncio.sleep(pause.total_seconds())

    def _in_order(self, attempts: "_Attempts", request: ModelRequest) -> list[Choice]:
        now = self._clock()
        fit = []
        for choice in self._choices:
            missing = _missing(choice.client, request)
            if missing:
                attempts.reasons.append(f"{choice.name} {missing}")
            else:
                fit.append(choice)
        return sorted(fit, key=lambda choice: max(self._rests.get(choice.name, 0) - now, 0))

    def _answer(self, attempts: "_Attempts", choice: Choice, result: CreateResult) -> Answer | None:
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
    """The attempts of one call: failed models, with the reasons, and skipped ones."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.reasons: list[str] = []
        self.last = ""
        self.empty: Answer | None = None
        self.waits = False
        """The last one is to be asked again."""

    def empty_or_error(self) -> Answer:
        """Return an empty answer if a model gave one, else raise NoAnswer.

        No model is left to ask, and an empty answer is not ours to judge.
        """
        if self.empty is not None:
            return self.empty
        raise NoAnswer(
            f"No model answered, so the run has ended: {'; '.join(self.reasons)}. What was done before stays done, and "
            "nothing was repeated. Start the task again once this is fixed; see the agents' log."
        )


async def _piece(pieces: Pieces, choice: Choice) -> str | CreateResult | Exception | None:
    """Return the next piece, or the failure; None if the stream ended too early."""
    try:
        async with asyncio.timeout(choice.timeout.total_seconds()):
            return await anext(pieces, None)
    except Exception as error:
        return error


def _broken_off(result: CreateResult) -> bool:
    """Say whether the connection was cut: it has neither finish reason nor tokens.

    A connection that closes properly looks like the end of the answer.
    """
    return result.finish_reason == "unknown" and not result.usage.completion_tokens


def _missing(client: ChatCompletionClient, request: ModelRequest) -> str:
    able, output = client.model_info, request.json_output
    if request.tools and not able["function_calling"]:
        return "cannot call tools and was not asked"
    if output is True and not able["json_output"]:
        return "cannot be held to JSON and was not asked"
    if isinstance(output, type) and not able.get("structured_output", False):
        return "cannot be held to a schema and was not asked"
    users = [message for message in request.messages if isinstance(message, UserMessage)]
    images = any(not isinstance(message.content, str) for message in users)
    return "sees no images and was not asked" if images and not able["vision"] else ""


def _unless_cancelled(token: CancellationToken | None) -> None:
    if token is not None and token.is_cancelled():
        raise asyncio.CancelledError


def _sum(usages: Sequence[RequestUsage]) -> RequestUsage:
    return RequestUsage(sum(u.prompt_tokens for u in usages), sum(u.completion_tokens for u in usages))


def failure_of(error: Exception, timeout: timedelta) -> Failure:
    """Classify an exception of a model client."""
    status = getattr(error, "status_code", None)
    names = " ".join(kind.__name__ for kind in type(error).__mro__)
    if isinstance(status, int):
        return _by_status(status, error)
    if "Timeout" in names:
        return Failure(f"did not answer within {say_duration(timeout)}", rests=True)
    if re.search("Protocol|ReadError|IncompleteRead|PayloadError", names):
        return Failure("broke off in the middle of its answer", rests=True)
    if "Connect" in names:
        return Failure("could not be reached", rests=True, transient=True)
    if "RateLimit" in names:
        return Failure("is rate-limited", rests=True, transient=True)
    return Failure(f"gave an answer that cannot be used ({type(error).__name__})", rests=True)


def _by_status(status: int, error: Exception) -> Failure:
    code = getattr(error, "code", None)
    why = f", {code}" if isinstance(code, str) and re.fullmatch(r"[a-z][a-z_]{2,40}", code) else ""
    http = f"(HTTP {status}{why})"
    if status == 429:
        return Failure(f"is rate-limited {http}", rests=True, rest=_retry_after(error), transient=True)
    if status in (401, 403):
        return Failure(f"refused our key {http}", rests=True)
    if status == 404:
        return Failure(f"is not known at its address {http}", rests=True)
    if status == 408 or status >= 500:
        return Failure(f"failed {http}", rests=True, rest=_retry_after(error), transient=True)
    # This request alone was refused, for its length or content.
    return Failure(f"refused the request {http}")


def _retry_after(error: Exception) -> timedelta | None:
    """RFC 9110, 10.2.3: seconds, or a date."""
    headers = getattr(getattr(error, "response", None), "headers", None) or {}
    value = str(headers.get("retry-after") or "")
    if re.fullmatch(r"\d{1,9}(\.\d+)?", value):
        return timedelta(seconds=float(value))
    try:
        return max(parsedate_to_datetime(value) - datetime.now(UTC), timedelta(0))
    except (ValueError, TypeError):
        return None
