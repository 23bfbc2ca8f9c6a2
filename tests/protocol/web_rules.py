"""The rules by which `web` answers a worker's calls, as pure functions over one run.

This is the model of docs/decisions/0008-one-writer.md; executions are granted by the product's own rule. Each rule
takes the run as stored and returns the next value and the reply; the caller commits both in one step, so a repeated
call meets the state that its first copy left. A refusal changes nothing, but that a beginning delivers its decision.
Otherwise it shares no code with the product, so it shares no error either.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, cast

from countersign.domain import executions
from countersign.domain.executions import Begun, ExecutionOutcome, Grant, Grants
from countersign.domain.ids import RequestId


class Status(Enum):
    """The state of a request."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Phase(Enum):
    """The state of a run, as far as the protocol needs it."""

    ACTIVE = "active"
    PARKED = "parked"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


class Refusal(Enum):
    """Why a call changed nothing."""

    STALE = "another worker has claimed the run"
    OVER = "the run has ended"
    DECIDED = "an awaited request is decided"
    NOT_APPROVED = "the request is not approved"
    CHANGED = "the content is not what was approved"
    TAKEN = "another execution of the request was granted"
    IN_DOUBT = "the execution may have started"
    REPORTED = "the execution has a result"
    NEVER_GRANTED = "there is no such execution"


_NOT_GRANTED: Final = {
    Begun.TAKEN: Refusal.TAKEN,
    Begun.GRANTED_BEFORE: Refusal.IN_DOUBT,
    Begun.DONE: Refusal.REPORTED,
    Begun.FAILED: Refusal.REPORTED,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as `web` stores it. `about` is the execution whose outcome is in doubt, if it asks about one."""

    digest: str
    deadline: int
    about: str = ""
    status: Status = Status.PENDING
    decided_at: int | None = None
    delivered: bool = False


@dataclass(frozen=True, slots=True)
class WebRun:
    """A run as `web` stores it.

    `closed` is the greatest fence that may not write any more. `generation` numbers the jobs that advance the run.
    `told` are the executions of which people read, at the run's end, that nobody knows how they ended.
    """

    phase: Phase = Phase.ACTIVE
    fence: int = 0
    closed: int = 0
    generation: int = 1
    outbox: frozenset[int] = frozenset({1})
    requests: Mapping[str, Asked] = field(default_factory=dict)
    grants: Grants = field(default_factory=dict)
    told: frozenset[str] = frozenset()

    @property
    def over(self) -> bool:
        """Say whether the run has ended."""
        return self.phase in OVER

    @property
    def untold(self) -> list[str]:
        """List granted executions without a result that people have not been told about."""
        return [name for name, grant in self.grants.items() if grant.outcome is ExecutionOutcome.OPEN]


OVER: Final = frozenset({Phase.FINISHED, Phase.FAILED, Phase.STOPPED})
LONGEST: Final = 20
"""Ticks that a request stays open."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The worker got the run's lease; the fence comes with the lease."""

    fence: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask people; the request id derives from the place in the run and the content."""

    fence: int
    request: str
    digest: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Deliver:
    """The journal holds the decision's place: the agent is about to get it."""

    fence: int
    request: str


@dataclass(frozen=True, slots=True)
class Begin:
    """Ask for the right to act; the decision counts as delivered.

    `doubt` is the approved question that permits another execution of the same request.
    """

    fence: int
    request: str
    execution: str
    digest: str
    doubt: str = ""
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of an execution. Evidence: it needs no fence and may come after the run's end."""

    execution: str


@dataclass(frozen=True, slots=True)
class Park:
    """The worker lets the run leave memory while these requests are pending."""

    fence: int
    awaited: frozenset[str]


@dataclass(frozen=True, slots=True)
class Finish:
    """The team has ended, or cannot continue."""

    fence: int
    failed: bool = False


Call = Claim | Ask | Deliver | Begin | Report | Park | Finish
Answer = tuple[WebRun, Refusal | None]


def answer(run: WebRun, call: Call, now: int) -> Answer:
    """Judge a worker's call; the next value of the run, and a refusal if the call changed nothing."""
    if isinstance(call, Report):
        return _report(run, call)
    if isinstance(call, Claim):
        return _claim(run, call)
    if isinstance(call, Finish) and call.fence == run.fence and run.phase is _end_of(call):
        return run, None  # the reply to the first copy was lost
    if isinstance(call, Park) and call.fence == run.closed and run.phase is Phase.PARKED:
        return run, None
    if run.over:
        return run, Refusal.OVER
    if call.fence != run.fence or call.fence <= run.closed:
        return run, Refusal.STALE
    match call:
        case Ask():
            asked = Asked(call.digest, now + LONGEST, call.about)
            grants = executions.doubt(run.grants, call.about)
            return replace(run, requests={call.request: asked, **run.requests}, grants=grants), None
        case Deliver():
            return _change(run, call.request, delivered=True), None
        case Begin():
            return _begin(run, call)
        case Park():
            return _park(run, call)
        case Finish():
            return _finish(run, call)


def decide(run: WebRun, request: str, status: Status, now: int) -> WebRun:
    """Decide a pending request before its deadline; a parked run gets a job in the same commit."""
    asked = run.requests[request]
    if run.over or asked.status is not Status.PENDING:
        return run
    if (status is Status.EXPIRED) != (now >= asked.deadline):
        return run
    return _wake(_change(run, request, status=status, decided_at=now))


def stop(run: WebRun) -> WebRun:
    """Stop the run: no call under any fence counts from now on, and open grants are told to people."""
    return run if run.over else _ended(run, Phase.STOPPED)


def _claim(run: WebRun, call: Claim) -> Answer:
    if run.over:
        return run, Refusal.OVER
    if call.fence < run.fence or call.fence <= run.closed:
        return run, Refusal.STALE
    return replace(run, fence=call.fence, phase=Phase.ACTIVE), None


def _begin(run: WebRun, call: Begin) -> Answer:
    asked = run.requests[call.request]
    if asked.status is not Status.APPROVED:
        return run, Refusal.NOT_APPROVED
    if asked.digest != call.digest:
        return run, Refusal.CHANGED
    doubt = run.requests.get(call.doubt)
    if call.doubt and (doubt is None or doubt.status is not Status.APPROVED):
        return run, Refusal.TAKEN
    wanted = Grant(cast(RequestId, call.request), call.fence)
    replaces = "" if doubt is None else doubt.about
    grants, begun = executions.grant(run.grants, call.execution, wanted, replaces=replaces, idempotent=call.idempotent)
    return _change(replace(run, grants=grants), call.request, delivered=True), _NOT_GRANTED.get(begun)


def _report(run: WebRun, call: Report) -> Answer:
    grant = run.grants.get(call.execution)
    if grant is None:
        return run, Refusal.NEVER_GRANTED
    if grant.outcome in (ExecutionOutcome.DONE, ExecutionOutcome.FAILED, ExecutionOutcome.REPLACED):
        return run, None
    return replace(run, grants=executions.note(run.grants, call.execution, ExecutionOutcome.DONE)), None


def _park(run: WebRun, call: Park) -> Answer:
    if any(run.requests[name].status is not Status.PENDING for name in call.awaited):
        return run, Refusal.DECIDED
    return replace(run, phase=Phase.PARKED, closed=call.fence), None


def _finish(run: WebRun, call: Finish) -> Answer:
    return _ended(run, _end_of(call)), None


def _end_of(call: Finish) -> Phase:
    return Phase.FAILED if call.failed else Phase.FINISHED


def _ended(run: WebRun, phase: Phase) -> WebRun:
    requests = {
        name: replace(asked, status=Status.WITHDRAWN) if asked.status is Status.PENDING else asked
        for name, asked in run.requests.items()
    }
    told, grants = run.told | {*run.untold}, run.grants
    for execution in run.untold:
        grants = executions.doubt(grants, execution)
    ended = replace(run, requests=requests, grants=grants, told=told)
    return replace(ended, phase=phase, outbox=frozenset())


def _wake(run: WebRun) -> WebRun:
    if run.phase is not Phase.PARKED:
        return run
    return replace(run, generation=run.generation + 1, outbox=run.outbox | {run.generation + 1})


def _change(run: WebRun, request: str, **changes: object) -> WebRun:
    asked: Asked = replace(run.requests[request], **changes)  # type: ignore[arg-type]
    return replace(run, requests={**run.requests, request: asked})
