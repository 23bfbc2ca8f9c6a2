"""The life of a run: one task given to one team."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, RequestId, RunId, TeamName, UserId, WorkspaceId

LONGEST_TASK: Final = 10_000
"""Characters of a task. A slash command holds fewer, a modal's input 3,000; scripts may say more."""
LONGEST_RESULT: Final = 30_000
KEPT_PROGRESS: Final = 10
KEPT_PASSED: Final = 20
"""Kinds of calls that nobody was asked about, of which a run keeps the number; all others count as one more."""


class Status(StrEnum):
    """The states of a run; finished, failed and stopped are final."""

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    PARKED = "parked"
    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"


class Verb(StrEnum):
    """The verbs on a run."""

    START = "start"
    WAIT = "wait"
    GO_ON = "go on"
    PARK = "park"
    FINISH = "finish"
    FAIL = "fail"
    STOP = "stop"


MOVES: Final[dict[Status, dict[Verb, Status]]] = {
    Status.QUEUED: {Verb.START: Status.RUNNING, Verb.FAIL: Status.FAILED, Verb.STOP: Status.STOPPED},
    Status.RUNNING: {
        Verb.WAIT: Status.WAITING,
        Verb.FINISH: Status.FINISHED,
        Verb.FAIL: Status.FAILED,
        Verb.STOP: Status.STOPPED,
    },
    Status.WAITING: {
        Verb.GO_ON: Status.RUNNING,
        Verb.PARK: Status.PARKED,
        Verb.FAIL: Status.FAILED,
        Verb.STOP: Status.STOPPED,
    },
    Status.PARKED: {Verb.GO_ON: Status.RUNNING, Verb.FAIL: Status.FAILED, Verb.STOP: Status.STOPPED},
    Status.FINISHED: {},
    Status.FAILED: {},
    Status.STOPPED: {},
}


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing an agent did, in a line for the requester's thread."""

    at: datetime
    agent: str
    words: str


@dataclass(frozen=True, slots=True)
class Writing:
    """A text that an agent's model is writing, or has just written (`done`).

    Its length so far, and its end.
    """

    agent: str
    characters: int
    words: str
    done: bool = False


@dataclass(frozen=True, slots=True)
class Usage:
    """The calls of a run's models and what they took.

    Tokens are those of answers that models gave, not of the `cached` ones among `calls`. `models` are the names of
    those that answered, `fallbacks` sentences about those that did not, each with how often.
    """

    prompt_tokens: int
    completion_tokens: int
    calls: int
    cached: int = 0
    models: tuple[tuple[str, int], ...] = ()
    fallbacks: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Passed:
    """Calls of a tool that a policy let pass for the same reason.

    `tool` is empty for all that have no room.
    """

    tool: str
    why: str
    times: int


@dataclass(frozen=True, slots=True)
class Run:
    """One task given to one team. `open` maps the place of a question in the run to its undecided request.

    `options` are what was chosen when it was started, by name.
    """

    id: RunId
    workspace: WorkspaceId
    channel: ChannelId
    requester: UserId
    team: str
    task: str
    created_at: datetime
    status: Status = Status.QUEUED
    open: dict[str, RequestId] = field(default_factory=dict)
    progress: tuple[Progress, ...] = ()
    ended_at: datetime | None = None
    result: str = ""
    """The outcome in a sentence, then the agents' final words: what the requester reads."""
    words: str = ""
    stopped_by: UserId | None = None
    asked: int = 0
    """How many questions it has put to people."""
    options: dict[str, str] = field(default_factory=dict)
    by_script: bool = False
    """Somebody's own program advances it, and no worker does."""
    writing: Writing | None = None
    """What is shown of a text under way until it is a line of progress; nothing depends on it."""
    usage: Usage | None = None
    """Known at the end, where a worker saw to it."""
    passed: tuple[Passed, ...] = ()
    """Calls that nobody was asked about."""
    salt: str = ""
    """Drawn by lot, and in no record: what the digests of its questions are made with."""

    def __post_init__(self) -> None:
        TeamName(self.team)

    @property
    def known_as(self) -> str:
        """The team's name; of somebody's own program it says so, as no team's name can."""
        return f"{self.team} (a program)" if self.by_script else self.team

    @property
    def over(self) -> bool:
        """Tell whether nothing will happen to this run any more."""
        return not MOVES[self.status]


@dataclass(frozen=True, slots=True)
class Step:
    """The run as a rule leaves it; no events means that nothing changes."""

    run: Run
    events: tuple[Event, ...] = ()


def start(
    run: RunId,
    *,
    workspace: WorkspaceId,
    channel: ChannelId,
    requester: UserId,
    team: str,
    task: str,
    now: datetime,
    options: Mapping[str, str] | None = None,
    by_script: bool = False,
    salt: str = "",
) -> Step:
    """A new run, queued."""
    new = Run(run, workspace, channel, requester, team, task, now, by_script=by_script, salt=salt)
    new = replace(new, options=dict(options or {}))
    data = {"team": team, **({"options": said(new)} if new.options else {})}
    return Step(new, (event(EventType.RUN_QUEUED, new, now, user=requester, **data),))


def said(run: Run) -> str:
    """Write the chosen options as people do: `mode=never replies=3`."""
    return " ".join(f"{name}={choice}" for name, choice in run.options.items())


def move(run: Run, verb: Verb, now: datetime) -> Run | None:
    """The run after the verb; None if its life does not allow it."""
    status = MOVES[run.status].get(verb)
    if status is None:
        return None
    return replace(run, status=status, ended_at=None if MOVES[status] else now)


def note_progress(run: Run, agent: str, words: str, now: datetime) -> Step:
    """Add a line of progress; the run keeps the newest ten, the events all of them."""
    lines = (*run.progress, Progress(now, agent, words))[-KEPT_PROGRESS:]
    noted = replace(run, progress=lines, writing=None)
    return Step(noted, (event(EventType.RUN_PROGRESSED, noted, now, agent=agent, words=words),))


def note_writing(run: Run, writing: Writing, now: datetime) -> Step:
    """Note what is being written; events hold its length only."""
    noted = replace(run, writing=writing)
    words = f"{'has written' if writing.done else 'is writing'} {writing.characters:,} characters"
    return Step(noted, (event(EventType.RUN_PROGRESSED, noted, now, agent=writing.agent, words=words),))


def note_passed(run: Run, tool: str, why: str) -> Run:
    """The run with one more call that a policy let pass; each of them is an event too."""
    kind = (tool[:60], why[:200])
    times = {(one.tool, one.why): one.times for one in run.passed}
    if kind not in times and len(times) >= KEPT_PASSED:
        kind = ("", "")
    times[kind] = times.get(kind, 0) + 1
    return replace(run, passed=tuple(Passed(*one, count) for one, count in times.items()))


def end(
    run: Run,
    verb: Verb,
    now: datetime,
    *,
    result: str,
    words: str = "",
    user: UserId | None = None,
    usage: Usage | None = None,
) -> Step:
    """The run at its end; nothing if it has ended already."""
    ended = move(run, verb, now)
    if ended is None:
        return Step(run)
    kinds = {
        Verb.FINISH: EventType.RUN_FINISHED,
        Verb.FAIL: EventType.RUN_FAILED,
        Verb.STOP: EventType.RUN_STOPPED,
    }
    ended = replace(ended, open={}, result=result[:LONGEST_RESULT], words=words[:LONGEST_RESULT], stopped_by=user)
    ended = replace(ended, writing=None, usage=usage)
    return Step(ended, (event(kinds[verb], ended, now, user=user, result=ended.result),))


def event(kind: EventType, run: Run, now: datetime, *, user: UserId | None = None, **data: str) -> Event:
    """An event about the run."""
    return Event(kind, now, run=run.id, workspace=run.workspace, user=user, data=data)
