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
from countersign.domain.proof import Proof


class Kind(StrEnum):
    """The kinds of questions."""

    MESSAGE = "message"
    TOOL = "tool"
    CODE = "code"
    CHOICE = "choice"  # choose one of the options; reject to choose none
    FORM = "form"  # fill in a JSON schema, which is kept as a call without arguments
    TURN = "turn"
    """Continue a conversation? Approve, respond with the next message, or reject to stop."""
    END = "end"
    """End a conversation whose agents say that they are finished? Approve, or respond with the next message."""
    IN_DOUBT = "in_doubt"
    """Did an action happen? Respond "it ran" with its result, approve another try, or reject to stop."""
    DIVERGED = "diverged"
    """Continue a run whose code changed while it waited? Approve, or reject to stop."""


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
    """The requester alone, in an emergency, if the channel allows it; all reviewers are notified."""
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
    """The person in whose place they voted, if they stood in for somebody."""
    name: str = ""
    """The user's name at that moment; "" when Slack did not say."""
    proof: Proof = Proof.SLACK


@dataclass(frozen=True, slots=True)
class Looking:
    """A note that somebody is looking at the request; others may still decide."""

    user: UserId
    since: datetime


@dataclass(frozen=True, slots=True)
class Raised:
    """An executed step of the escalation; `number` is its index in the rules.

    Missing numbers are steps that a later step overtook.
    """

    number: int
    at: datetime
    joined: Reviewers = field(default_factory=Reviewers)
    """The reviewers added by this step."""


class Scope(StrEnum):
    """Breadth of a permission, narrowest first; always for one team in one channel."""

    CALL = "call"
    """Exactly the shown call, by the same agent."""
    ARGUMENTS = "arguments"
    """The tool with the same arguments, for any agent of the team."""
    TOOL = "tool"
    """The tool, whatever its arguments."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The permission that was given with a decision, or that made it."""

    permission: PermissionId
    scope: Scope
    until: datetime
    this_run: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision on a request; `by` is empty if no person decided.

    `words` are the reason or the answer. `arguments` (canonical JSON of an edited call) or `content` (an edited text)
    replace the original. `chosen` are options of a choice. `standing` is the permission that was given with the
    decision, or that made it.
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
    """The absent people in whose place stand-ins decided."""
    standing: Standing | None = None
    names: tuple[str, ...] = ()
    """Names of the deciders at that moment, in the order of `by`; "" if Slack did not say."""
    proof: Proof = Proof.SLACK
    """The weakest proof of all deciders."""


@dataclass(frozen=True, slots=True)
class Question:
    """A question; `asked` is its number, from 0, among this agent's in the run.

    `content` is the text that people read; for a call (kinds tool and code) its renderer makes it from the arguments.
    `options` and `several` (more than one may be chosen) belong to a choice. `notes` are further sentences for people;
    `claimed` if a program or its agent wrote them. `before` is the content that was last refused in this place, and
    `reply` the text of that refusal. `batch` is a title template for several such calls. `about` is the execution that
    a question in doubt asks about. `salt`: see `countersign.domain.question_salts`.
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

    Each step of the escalation adds its reviewers to those of the rules. `reminded` counts the reminders; the last was
    at `reminded_at`, and a snoozed one comes at `snoozed_until`. Before `held_until`, only the deadline can take
    effect. `callback` is the URL of the asking `program`.
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
        """Agent and number: the question's place in the run, independent of its text."""
        return slot_of(self.question)

    @property
    def digest(self) -> Digest:
        """Digest all content that a decision is bound to."""
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


_SENDS_BACK: Final = frozenset({Kind.MESSAGE, Kind.TOOL, Kind.CODE})
"""Kinds for which a free answer asks for changes, if the question can be approved."""


def approves(question: Question, verb: Verb) -> bool:
    """Tell whether this answer lets an action continue, so that it needs a proof.

    A rejection or a request for changes does not. An answer that replaces a result, a choice or a form does.
    """
    if verb is Verb.RESPOND:
        return not (question.kind in _SENDS_BACK and Verb.APPROVE in question.offers)
    return verb in (Verb.APPROVE, Verb.EDIT, Verb.CHOOSE)


def needed_proof(request: "Request", verb: Verb) -> Proof:
    """Return the proof that this answer needs."""
    return request.rules.proof if approves(request.question, verb) else Proof.SLACK


def slot_of(question: Question) -> str:
    """Name a question's place in its run."""
    match question.kind:
        case Kind.IN_DOUBT:  # several may be open at once, together with the agent's own questions
            return f"in doubt {digest(replace(question, salt=''))[:16]}"
        case Kind.DIVERGED:
            return f"diverged {question.agent}#{question.asked}"
        case Kind.TOOL | Kind.CODE | Kind.CHOICE:  # the gate counts them apart from questions about messages
            return f"{question.agent} {question.kind}#{question.asked}"
    return f"{question.agent}#{question.asked}"


def digest(question: Question) -> Digest:
    """Digest everything that a reviewer judges."""
    parts = [] if (call := question.call) is None else ["call", call.tool, call.arguments]
    if question.options:  # with their number, so that no option passes for a note
        parts += ["several" if question.several else "one", str(len(question.options)), *question.options]
    parts += ["notes", *question.notes] if question.notes else []
    parts += ["about", question.about] if question.about else []
    parts += ["salt", question.salt] if question.salt else []
    return digest_of(question.kind, question.title, question.content, *question.offers, *parts)


def digest_of_answer(salt: str, arguments: str, content: str, chosen: tuple[str, ...], words: str) -> Digest | str:
    """Digest a person's input, with the question's salt; "" without input."""
    entered = any((arguments, content, chosen, words))
    return digest_of("answer", salt, arguments, content, words, *chosen) if entered else ""


def request_id(run: RunId, question: Question) -> RequestId:
    """Derive the id by which a rebuilt run finds its earlier request."""
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
