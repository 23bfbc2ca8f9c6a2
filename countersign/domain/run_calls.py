"""Calls from a worker to `web` about one run.

Each call is a value that carries the type of its answer. A worker calls under its lease: `web` refuses a call whose
fence is not the run's. Every call may be repeated, because its answer may have been lost.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, Final, Generic, Self, TypeVar

from countersign.domain.activity import Delay, Usage, Writing
from countersign.domain.calls import Call
from countersign.domain.executions import Begun
from countersign.domain.ids import AttemptId, Digest, ExecutionId, RequestId, TeamName
from countersign.domain.made_files import LARGEST, LeftOut, MadeFile, Why, clean
from countersign.domain.requests import Kind, Question, Request
from countersign.domain.runs import LONGEST_REPORT, LONGEST_RESULT, Run
from countersign.domain.runs import Verb as RunVerb

R = TypeVar("R")


class RunCall(Generic[R]):
    """A call whose answer is an `R`; `name` is its part of the address."""

    name: ClassVar[str]
    answer: ClassVar[Any]


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to `Claim`.

    `run` is None if there is nothing to do: the run is `over`, or rests until somebody decides. `elsewhere`: another
    worker has the run's team, and this one does not.
    """

    run: Run | None
    over: bool = False
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Claim(RunCall[Claimed]):
    """Advance the run from now on, and invalidate older fences.

    `teams` are those of the worker; `script` says that the caller is the run's own program.
    """

    name, answer = "claim", Claimed
    teams: tuple[TeamName, ...] = ()
    script: bool = False


@dataclass(frozen=True, slots=True)
class Ask(RunCall[Request]):
    """Ask people, or find the request that was asked before.

    Another question in the same place of the run withdraws the one asked there before. Refused, with an event, if
    nobody could decide on it. GivenUp, with nothing asked, if the run has asked `limit` questions already (0: no
    limit), or asks too much. `team_says` is the judgement of the team's own code, for the audit log.
    """

    name, answer = "ask", Request
    question: Question
    limit: int = 0
    team_says: str = "ask"


@dataclass(frozen=True, slots=True)
class Find(RunCall[Request | None]):
    """Read a request of the run; None if it does not exist."""

    name, answer = "find", Request | None
    request: RequestId


@dataclass(frozen=True, slots=True)
class CardLink(RunCall[str]):
    """Find the link to a request's card in Slack; "" until it is posted."""

    name, answer = "card_link", str
    request: RequestId


@dataclass(frozen=True, slots=True)
class TakeBack(RunCall[None]):
    """Withdraw a request that the run no longer waits for, and free its place."""

    name, answer = "take_back", None
    request: RequestId
    why: str


@dataclass(frozen=True, slots=True)
class Deliver(RunCall[None]):
    """Record that the agent has received the decision.

    The run continues if no other question is open. `not_done` is the reason why an approval is not acted on, for its
    card.
    """

    name, answer = "deliver", None
    request: RequestId
    not_done: str = ""

    def __post_init__(self) -> None:
        """Send hardly more text than is kept."""
        object.__setattr__(self, "not_done", self.not_done[: LONGEST_REPORT + 1])


@dataclass(frozen=True, slots=True)
class Ruling:
    """The judgement of a call by the workspace's policy.

    `effect` is `pass`, `ask` or `refuse`; `clause` is the rule that applied, `version` the policy's.
    """

    then: str
    clause: str = ""
    why: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Judge(RunCall[Ruling]):
    """Judge a call by the workspace's policy.

    A pass or a refusal is recorded once, and the run counts passed calls. `team_says` is the effect that the team's own
    code wants, if any, and `team_why` its reason. `edited`: reviewers approved the call with their edits, so only a
    refusal is recorded. `once` identifies the judgement, so that a repeat is recognised.
    """

    name, answer = "judge", Ruling
    agent: str
    call: Call
    once: AttemptId
    kind: Kind = Kind.TOOL
    team_says: str | None = None
    team_why: str = ""
    edited: bool = False


@dataclass(frozen=True, slots=True)
class Say(RunCall[None]):
    """Add a line of progress, for the requester's thread.

    `at` is the line's time, so that a repeat after a lost answer adds nothing.
    """

    name, answer = "say", None
    agent: str
    words: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Write(RunCall[None]):
    """Show the text that an agent is writing in the requester's thread."""

    name, answer = "write", None
    text: Writing


@dataclass(frozen=True, slots=True)
class Wait(RunCall[None]):
    """Show in the requester's thread why an agent waits."""

    name, answer = "wait", None
    delay: Delay


@dataclass(frozen=True, slots=True)
class Plan(RunCall[None]):
    """Show the coming steps in the requester's thread."""

    name, answer = "plan", None
    number: int
    titles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StepDone(RunCall[None]):
    """Mark a step of the plan as done in the requester's thread."""

    name, answer = "step_done", None
    number: int
    place: int


@dataclass(frozen=True, slots=True)
class Report(RunCall[None]):
    """Record the outcome of an execution once, for the card of its approval.

    The report is evidence: it counts whenever it arrives, and changes nothing else. InvalidInput if the execution was
    never granted.
    """

    name, answer = "report", None
    execution: ExecutionId
    words: str
    failed: bool = False
    done: str = ""

    def __post_init__(self) -> None:
        """Send hardly more text than is kept."""
        object.__setattr__(self, "words", self.words[: LONGEST_REPORT + 1])


@dataclass(frozen=True, slots=True)
class Begin(RunCall[Begun]):
    """Ask for the right to start an action, right before it; only `GRANTED` allows it.

    Without a `request`, nobody decided on the action, and it is granted if the run is still the caller's. With a
    `request`, the execution is granted once, its `digest` must match the decision, and the decision counts as
    delivered. `step` distinguishes several actions that share a decision. `again` is the question whose approval lets
    the action run again. An `idempotent` execution may start again.
    """

    name, answer = "begin", Begun
    execution: ExecutionId
    request: RequestId | None = None
    digest: Digest | None = None
    step: str = ""
    again: RequestId | None = None
    idempotent: bool = False


@dataclass(frozen=True, slots=True)
class Park(RunCall[bool]):
    """Park the run, so that it may leave memory, and close its fence, in one step.

    False if the run has something to do: all of `awaited` must still be undecided in that step, so no decision gets
    lost in between (R5).
    """

    name, answer = "park", bool
    awaited: frozenset[RequestId]


@dataclass(frozen=True, slots=True)
class Finish(RunCall[None]):
    """Finish or fail the run, and withdraw its requests."""

    name, answer = "finish", None
    verb: RunVerb
    result: str
    words: str = ""
    usage: Usage | None = None
    ended_as: str = ""

    def __post_init__(self) -> None:
        """Send no more text than is kept."""
        object.__setattr__(self, "result", self.result[:LONGEST_RESULT])
        object.__setattr__(self, "words", self.words[:LONGEST_RESULT])


@dataclass(frozen=True, slots=True)
class Attach(RunCall[None]):
    """Store files that approved code made until they are in the run's thread.

    The thread lists the files that are `left` out. `files` are pairs of a name and the content in base64.
    """

    name, answer = "attach", None
    files: tuple[tuple[str, str], ...]
    left: tuple[LeftOut, ...] = ()

    @classmethod
    def of(cls, files: Sequence[MadeFile], left: Sequence[LeftOut] = ()) -> Self:
        """Encode the files, leaving out files that are too large."""
        small = [file for file in files if len(file.content) <= LARGEST]
        large = [LeftOut(Why.LARGE, file.name) for file in files if len(file.content) > LARGEST]
        return cls(tuple((file.name, b64encode(file.content).decode()) for file in small), (*left, *large))

    def decoded(self) -> list[MadeFile]:
        """Decode the files. ValueError if one is not base64."""
        return [MadeFile(clean(name), b64decode(content, validate=True)) for name, content in self.files]


@dataclass(frozen=True, slots=True)
class Start(RunCall[Run]):
    """Start a run that the caller itself advances.

    A repeated run id returns the same run. `channel` is an id or a name like `#general`, `requester` an id
    or a name like `@alice`.
    """

    name, answer = "start", Run
    channel: str
    requester: str
    team: TeamName
    task: str


@dataclass(frozen=True, slots=True)
class Read(RunCall[Run]):
    """Read the run for the program that advances it."""

    name, answer = "read", Run


RUN_CALLS: Final[Mapping[str, type[RunCall[Any]]]] = {
    kind.name: kind
    for kind in (
        Claim,
        Ask,
        Find,
        CardLink,
        TakeBack,
        Deliver,
        Judge,
        Say,
        Write,
        Wait,
        Plan,
        StepDone,
        Report,
        Begin,
        Park,
        Finish,
        Attach,
        Start,
        Read,
    )
}
"""Every call by its name."""
