"""Exchanges with the service, without I/O.

Each is a generator that yields the next request, or a pause, and receives the answer, so that programs may wait in
their own way: `countersign.client.client` drives them with threads and with asyncio.
"""

import json
import logging
import random
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final, Generic, NamedTuple, TypeVar

from countersign.domain.errors import PROBLEM, CountersignError, InvalidInput, NotShown
from countersign.domain.pauses import doubling

R = TypeVar("R")
LONG_POLL: Final = 50
"""Seconds that the service holds an answer; proxies often cut connections after a minute."""
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0
LONGEST_REPORT: Final = 300
"""Most characters of a result or an exception in an adapter's report."""
TRIES_TO_WITHDRAW: Final = 3
"""Tries of a program that is being stopped."""
UNREACHABLE: Final = "unreachable"
"""The `kind` of ServiceRefused when a program gives up."""
TRIES_TO_REPORT: Final = 8
"""Tries to report an outcome: over half a minute in total, enough for a restart of `web`."""
_BUSY: Final = 429
_REFUSED: Final = "refused-"
"""Prefix of the kinds of refusals by the policy, or because nobody could decide."""
_NOBODY_KNOWS: Final = "Nobody knows whether it was done. Do not do it again."
_log = logging.getLogger(__name__)


class ServiceRefused(CountersignError):
    """A refusal by the service.

    `kind` is the reason for programs (`unknown-key`, `conflict` …), the text the reason for people.
    """

    def __init__(self, kind: str, detail: str) -> None:
        self.kind = kind
        super().__init__(detail)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, str(self))


class NotApproved(CountersignError):
    """An action that people, their silence or the policy did not allow.

    `decision` has the deciders, the time and the reason.
    """

    def __init__(self, decision: "Decision") -> None:
        self.decision = decision
        super().__init__(decision.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.decision,)


class AlreadyRan(CountersignError):
    """An action that ran before, or may have, and was not run again.

    `decision` has the deciders, the time and the reported outcome; no outcome if even people don't know whether it ran.
    """

    def __init__(self, decision: "Decision") -> None:
        self.decision = decision
        super().__init__(_NOBODY_KNOWS if decision.reported is None else decision.reported.text)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.decision,)


@dataclass(frozen=True, slots=True)
class Reported:
    """The outcome that a program reported."""

    succeeded: bool
    words: str

    @property
    def text(self) -> str:
        """Return the outcome for a model whose program died after its report."""
        ended = "Done before" if self.succeeded else "Failed before"
        return f"{ended}: {self.words}" if self.words else f"{ended}."


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a request; its truth value is whether it was approved.

    So `if await ask(…)` acts only on an approval; for a question with options read `chosen`. `outcome` is approved,
    edited, rejected, answered, expired or withdrawn; `how` is reviewers, timeout, policy, permission, break_glass or
    run. `by` are Slack ids, empty if no person decided, and `names` the names of the same people. `arguments` are the
    arguments with which a call may run, None if it may not. `message` is the message that may be used, with any changes
    by people, None if it may not. `text` is the whole decision as a text for models. `reported` is the outcome of the
    action if the program reported it before it died and asked again; the action must not be repeated then.
    """

    request: str
    outcome: str
    how: str
    at: datetime
    by: tuple[str, ...]
    words: str
    arguments: Mapping[str, Any] | None
    chosen: tuple[str, ...]
    text: str
    reported: Reported | None = None
    message: str | None = None
    names: tuple[str, ...] = ()
    url: str = ""
    """Link to the request's page, or to its card in Slack; "" if it has neither."""

    @property
    def approved(self) -> bool:
        """True if the action may be done; after an edit, with the changed content."""
        return self.outcome in ("approved", "edited")

    def __bool__(self) -> bool:
        return self.approved


class Submitted(NamedTuple):
    """A question that was asked without waiting.

    `request` is its id, "" if the policy refused it; `decided` tells whether it is decided.
    """

    request: str
    decided: bool


@dataclass(frozen=True, slots=True)
class Send:
    """A request to the service: method, path, JSON body, and headers."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceReply:
    """An answer of the service; `status` 0 if there was none."""

    status: int
    body: Mapping[str, Any] = field(default_factory=dict)
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait some seconds before continuing.

    `why` is the service's reason, "" if it does not answer.
    """

    seconds: float
    why: str
    away: bool = False


def failure(error: Exception) -> str:
    """Name an exception in a report."""
    return f"{type(error).__name__}: {error}"[:LONGEST_REPORT]


def succeeded(result: object) -> tuple[bool, str]:
    """Treat any result as a success, without a text for the report."""
    return True, ""


@dataclass(slots=True)
class Act(Generic[R]):
    """Perform the approved action: call this, or await it; it keeps result or error.

    `body` and `key` are those of the question. `outcome` tells whether a result is a success, and the text of the
    report. After an exception in `unfinished`, the action was not done and may begin again.
    """

    call: Callable[[], R]
    body: Mapping[str, Any]
    key: str | None
    idempotent: bool = False
    outcome: Callable[[Any], tuple[bool, str]] = succeeded
    unfinished: tuple[type[Exception], ...] = ()
    result: Any = None
    error: Exception | None = None

    def over(self) -> Any:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result


Exchange = Generator[Send | Pause | Act[Any], ServiceReply, R]


def check(body: Mapping[str, Any]) -> None:
    """Check a question before it is sent.

    NotShown if JSON can't hold it, or if people couldn't judge its call.
    """
    from countersign.domain.json_arguments import read_arguments, written

    if (call := body.get("call")) is not None:
        arguments = call.get("arguments")
        if isinstance(arguments, str):
            read_arguments(arguments)  # raises an error that explains the problem
        written(arguments)
    try:
        json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as wrong:
        reason = str(wrong).split("\n")[0][:200]
        raise NotShown(f"Nobody was asked, because the question can't be written as JSON: {reason}.") from None


def ask(body: Mapping[str, Any], key: str, tries: int | None = None) -> Exchange[Mapping[str, Any]]:
    """Ask, and return the service's request; `tries` as for `report`.

    NotShown if people couldn't judge it.
    """
    check(body)
    return (yield from sent(Send("POST", "/v1/requests", body, {"idempotency-key": key}), tries))


def judge(body: Mapping[str, Any], key: str) -> Exchange[Mapping[str, Any] | Decision]:
    """Ask as `ask` does; a refusal by the policy is a decision with its reason.

    So is a call that people can't be shown: its model reads the reason, and the program continues.
    """
    try:
        return (yield from ask(body, key))
    except NotShown as why:
        return not_asked(str(why), str(why))
    except ServiceRefused as refused:
        if not refused.kind.startswith(_REFUSED):
            raise
        from countersign.domain import texts_for_models  # only needed after a refusal

        name = str((body.get("call") or {}).get("tool") or body["title"])
        return not_asked(str(refused), texts_for_models.refused(name, str(refused)))


def not_asked(why: str, text: str) -> "Decision":
    """Make the decision on a question that people are not asked."""
    return Decision("", "rejected", "policy", datetime.now(UTC), (), why, None, (), text)


def submit(body: Mapping[str, Any], key: str | None) -> Exchange[Submitted]:
    """Ask without waiting.

    InvalidInput without a key: nothing could fetch the decision.
    """
    if not key:
        raise InvalidInput("Nobody was asked: give the question a key, by which its decision is fetched later.")
    request = yield from judge(body, key)
    if isinstance(request, Decision):
        return Submitted("", True)
    return Submitted(request["id"], request["status"] != "pending")


def wait(request: str, posted: Callable[[str], None] | None = None) -> Exchange[Decision]:
    """Wait until the request is decided.

    `posted` gets the link to its card, once it is posted: until then the service is asked more often.
    """
    seconds = LONG_POLL if posted is None else 1
    while True:
        answer = yield from sent(Send("GET", f"/v1/requests/{request}?wait={seconds}"))
        if posted is not None and (link := answer.get("card_link")):
            posted(link)
            posted, seconds = None, LONG_POLL
        if answer["status"] != "pending":
            return decision_of(answer)
        seconds = min(2 * seconds, LONG_POLL)


def pending() -> Exchange[list[str]]:
    """List the ids of this key's pending requests."""
    answer = yield from sent(Send("GET", "/v1/requests"))
    return [request["id"] for request in answer["requests"]]


def withdraw(request: str, why: str, tries: int | None = None) -> Exchange[None]:
    """Withdraw the request, unless it is decided; its card says `why`.

    With `tries`, ServiceRefused (UNREACHABLE) if the service does not answer.
    """
    yield from sent(Send("POST", f"/v1/requests/{request}/withdraw", {"why": why}), tries)


def report(request: str, *, succeeded: bool, words: str, tries: int | None = None) -> Exchange[None]:
    """Report the outcome of the action.

    With `tries`, ServiceRefused (UNREACHABLE) if the service does not answer.
    """
    words = words[:2000].encode(errors="replace").decode()  # an action's result may contain an unpaired surrogate
    outcome = {"succeeded": succeeded, "words": words}
    yield from sent(Send("POST", f"/v1/requests/{request}/outcome", outcome), tries)


def tell(request: str, *, succeeded: bool, words: str) -> Exchange[None]:
    """Report the outcome of an action that ran, without raising errors.

    A failure to report is logged.
    """
    try:
        yield from report(request, succeeded=succeeded, words=words, tries=TRIES_TO_REPORT)
    except ServiceRefused as refused:
        _log.warning("What was approved ran, but its outcome couldn't be reported: %s", refused)


def try_to_report(request: str, *, succeeded: bool, words: str) -> Exchange[bool]:
    """Report for half a minute or so; False if the service does not respond.

    Also True if the service refuses: it has a report already, or will not accept one later.
    """
    try:
        yield from report(request, succeeded=succeeded, words=words, tries=TRIES_TO_REPORT)
    except ServiceRefused as refused:
        return refused.kind != UNREACHABLE
    return True


def decision_of(request: Mapping[str, Any]) -> Decision:
    """Read the decision of a settled request."""
    given = request["decision"]
    return Decision(
        request["id"],
        given["outcome"],
        given["how"],
        datetime.fromisoformat(given["at"]),
        tuple(given["by"]),
        given["words"],
        given["arguments"],
        tuple(given["chosen"]),
        given["text"],
        reported_in(request),
        given.get("message"),
        tuple(given.get("names", ())),
        request.get("card_link") or "",
    )


def reported_in(request: Mapping[str, Any]) -> Reported | None:
    """Read the reported outcome; None without a report."""
    outcome = request["outcome"]
    return None if outcome is None else Reported(outcome["succeeded"], outcome["words"])


def sent(send: Send, tries: int | None = None) -> Exchange[Mapping[str, Any]]:
    """Send until the service answers; a repeated request counts once.

    ServiceRefused if it refuses for good. With `tries` it also gives up, as `unreachable`.
    """
    pauses, away = doubling(_FIRST_PAUSE, _LONGEST_PAUSE), 0
    for number in count(1):
        reply = yield send
        if 200 <= reply.status < 300:
            if away:
                _log.info("The service responds again.")
            return reply.body
        if reply.status and reply.status < 500 and reply.status not in (408, 425, _BUSY):
            kind = str(reply.body.get("type", "")).removeprefix(PROBLEM) or str(reply.status)
            raise ServiceRefused(
                kind, str(reply.body.get("detail") or f"The service answered with status {reply.status}.")
            )
        why = str(reply.body.get("detail", ""))
        away = away + 1 if reply.status != _BUSY else 0
        if away == 1:  # at once, even without a terminal: Python shows warnings on standard error by default
            trying = reply.body.get("trying", "Trying again until it does.")
            _log.warning("%s %s", why or "The service isn't responding.", trying)
        if number == tries:
            raise ServiceRefused(UNREACHABLE, why or "The service isn't responding.")
        yield Pause(reply.retry_after or next(pauses) * random.uniform(0.5, 1.0), why, away > 0)
    raise AssertionError("it ends by an answer")
