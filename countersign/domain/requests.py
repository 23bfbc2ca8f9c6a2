"""The life of a request: one question to people, decided once."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from countersign.domain.api_keys import AskingProgram
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.calls import Call
from countersign.domain.channel_settings import OnTimeout, Rules
from countersign.domain.events import Event, EventType
from countersign.domain.ids import (
    AttemptId,
    ChannelId,
    Digest,
    PermissionId,
    RequestId,
    RunId,
    UserId,
    WorkspaceId,
    digest_of,
    short_name,
)
from countersign.domain.people import Reviewers


class Kind(StrEnum):
    """The kinds of questions."""

    MESSAGE = "message"
    TOOL = "tool"
    CODE = "code"
    CHOICE = "choice"  # which of the options; reject to choose none
    FORM = "form"  # a JSON schema to fill in, kept as a call without arguments
    TURN = "turn"
    """Whether a conversation goes on: approve, respond with what is said next, or reject to stop."""
    END = "end"
    """Whether a conversation whose agents say that they are finished ends: approve, or respond with what comes next."""
    IN_DOUBT = "in_doubt"
    """Whether something happened: respond "it ran" with what it returned, approve another try, or reject to stop."""
    DIVERGED = "diverged"
    """Whether a run whose code changed under it goes on: approve, or reject to stop."""


ABOUT_THE_RUN: Final = frozenset({Kind.IN_DOUBT, Kind.DIVERGED})
"""Kinds that people must answer themselves: no timeout approves them."""


class Verb(StrEnum):
    """The verbs of people, the clock and the run on a request."""

    APPROVE = "approve"
    REJECT = "reject"
    RESPOND = "respond"
    CHOOSE = "choose"
    EDIT = "edit"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"


class Status(StrEnum):
    """The states of a request; all but pending are final."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    ANSWERED = "answered"
    EDITED = "edited"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


MOVES: Final[dict[Status, dict[Verb, Status]]] = {
    Status.PENDING: {
        Verb.APPROVE: Status.APPROVED,
        Verb.REJECT: Status.REJECTED,
        Verb.RESPOND: Status.ANSWERED,
        Verb.CHOOSE: Status.ANSWERED,
        Verb.EDIT: Status.EDITED,
        Verb.EXPIRE: Status.EXPIRED,
        Verb.WITHDRAW: Status.WITHDRAWN,
    },
    **{status: {} for status in Status if status is not Status.PENDING},
}


class How(StrEnum):
    """The ways in which a decision comes about."""

    REVIEWERS = "reviewers"
    TIMEOUT = "timeout"
    POLICY = "policy"
    PERMISSION = "permission"
    BREAK_GLASS = "break_glass"
    """The requester alone, in an emergency, where the channel lets them; everybody named is told."""
    RUN = "run"


@dataclass(frozen=True, slots=True)
class Vote:
    """One person's approval, or choice, of a request that needs several."""

    workspace: WorkspaceId
    user: UserId
    at: datetime
    attempt: AttemptId
    chosen: tuple[str, ...] = ()
    seat: UserId | None = None
    """Whose place they took, if they stood in for somebody."""
    name: str = ""
    """The user's name at that moment; "" when Slack did not say."""


@dataclass(frozen=True, slots=True)
class Looking:
    """A note that somebody is looking at the request; others may still decide."""

    user: UserId
    since: datetime


@dataclass(frozen=True, slots=True)
class Raised:
    """A step of the escalation that was taken; `number` counts from 0 in the rules.

    Steps left out were overtaken.
    """

    number: int
    at: datetime
    joined: Reviewers = field(default_factory=Reviewers)
    """Who may decide since then and could not before."""


class Scope(StrEnum):
    """Breadth of a permission, the narrower first; always of one team in one channel."""

    CALL = "call"
    """Exactly what was shown, by the same agent."""
    ARGUMENTS = "arguments"
    """The tool with the same arguments, whichever agent of the team wants it."""
    TOOL = "tool"
    """The tool, whatever its arguments."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The permission that was given with a decision, or by which it came about."""

    permission: PermissionId
    scope: Scope
    until: datetime
    this_run: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a request. `by` is empty when no person decided.

    `words` are the reason or the answer. `arguments` of an edited call, canonical JSON, or `content` of an edited text
    count instead of what was asked. `chosen` are options of a choice. `standing` came with it, or brought it about.
    """

    outcome: Status
    how: How
    at: datetime
    by: tuple[UserId, ...] = ()
    words: str = ""
    attempt: AttemptId | None = None
    arguments: str = ""
    content: str = ""
    chosen: tuple[str, ...] = ()
    instead_of: tuple[UserId, ...] = ()
    """In whose place those decided who stood in for somebody."""
    standing: Standing | None = None
    names: tuple[str, ...] = ()
    """Their names at that moment, in the order of `by`; "" where Slack did not say."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question; `asked` counts those of this agent in this run, from 0.

    `content` is what people read; of a call (kinds tool and code) what its renderer made of the arguments. `options`,
    and whether `several` may be chosen, are those of a choice. `notes` are what people must know besides, a sentence
    each; `claimed` if a program or its agent wrote them. `before` is the content that was refused last in this place,
    and `reply` the words that came with the refusal. `batch` is a template of the title of several such calls.
    `about` is the execution of which a question in doubt asks. `salt`: see `countersign.domain.question_salts`.
    """

    agent: str
    asked: int
    kind: Kind
    title: str
    content: str
    offers: tuple[Verb, ...] = (Verb.APPROVE, Verb.REJECT, Verb.RESPOND)
    call: Call | None = None
    options: tuple[str, ...] = ()
    several: bool = False
    notes: tuple[str, ...] = ()
    claimed: bool = False
    before: str = ""
    reply: str = ""
    salt: str = ""
    batch: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """One question to people, with the rules that were in force when it was asked.

    With each step of the escalation its reviewers join those of the rules. `reminded` counts the reminders, of which
    the last was at `reminded_at`; the next comes at `snoozed_until` if somebody put it off. Nothing but the deadline
    comes before `held_until`. `callback` is the URL of the `program` that asks.
    """

    id: RequestId
    run: RunId
    workspace: WorkspaceId
    channel: ChannelId
    requester: UserId
    question: Question
    rules: Rules
    created_at: datetime
    deadline: datetime | None = None
    status: Status = Status.PENDING
    votes: tuple[Vote, ...] = ()
    decision: Decision | None = None
    raised: tuple[Raised, ...] = ()
    reminded: int = 0
    reminded_at: datetime | None = None
    snoozed_until: datetime | None = None
    snoozed_by: UserId | None = None
    held_until: datetime | None = None
    looking: tuple[Looking, ...] = ()
    callback: str = ""
    program: AskingProgram | None = None

    @property
    def slot(self) -> str:
        """Agent and count: where in the run this was asked, whatever the words were."""
        return slot_of(self.question)

    @property
    def digest(self) -> Digest:
        """Digest everything that a decision is bound to."""
        return digest(self.question)


@dataclass(frozen=True, slots=True)
class Step:
    """The request as a rule leaves it, with the events to record."""

    request: Request
    events: tuple[Event, ...] = ()
    refusal: Refusal | None = None

    @property
    def changes(self) -> bool:
        """Tell whether there is anything to store."""
        return bool(self.events)


def slot_of(question: Question) -> str:
    """Name a question's place in its run."""
    match question.kind:
        case Kind.IN_DOUBT:  # several may stand beside each other, and beside the agent's own questions
            return f"in doubt {digest(replace(question, salt=''))[:16]}"
        case Kind.DIVERGED:
            return f"diverged {question.agent}#{question.asked}"
        case Kind.TOOL | Kind.CODE | Kind.CHOICE:  # counted by the gate, beside what an agent's words are asked about
            return f"{question.agent} {question.kind}#{question.asked}"
    return f"{question.agent}#{question.asked}"


def digest(question: Question) -> Digest:
    """Digest everything that a reviewer judges."""
    parts = [] if (call := question.call) is None else ["call", call.tool, call.arguments]
    if question.options:  # they are counted, so that none passes for a note
        parts += ["several" if question.several else "one", str(len(question.options)), *question.options]
    parts += ["notes", *question.notes] if question.notes else []
    parts += ["about", question.about] if question.about else []
    parts += ["salt", question.salt] if question.salt else []
    return digest_of(question.kind, question.title, question.content, *question.offers, *parts)


def request_id(run: RunId, question: Question) -> RequestId:
    """Derive the id that a rebuilt run finds its earlier request by."""
    return RequestId("q" + short_name(run, slot_of(question), digest(question), length=16))


def ask(
    question: Question,
    *,
    run: RunId,
    workspace: WorkspaceId,
    channel: ChannelId,
    requester: UserId,
    rules: Rules,
    now: datetime,
) -> Step:
    """Make a new request, with its event."""
    request = Request(
        id=request_id(run, question),
        run=run,
        workspace=workspace,
        channel=channel,
        requester=requester,
        question=question,
        rules=rules,
        created_at=now,
        deadline=None if rules.on_timeout is OnTimeout.WAIT else now + rules.timeout,
    )
    return Step(request, (event(EventType.REQUEST_ASKED, request, now),))


def event(
    kind: EventType,
    request: Request,
    now: datetime,
    *,
    user: UserId | None = None,
    workspace: WorkspaceId | None = None,
    **data: str,
) -> Event:
    """Make an event about the request."""
    texts = {k: str(v) for k, v in data.items()}
    return Event(kind, now, request.run, request.id, workspace or request.workspace, user, texts)
