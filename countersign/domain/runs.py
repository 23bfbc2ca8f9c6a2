"""The life of a run: one task given to one team."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from countersign.domain.activity import (
    KEPT_STEPS,
    NOT_DONE,
    UNKNOWN,
    ActionReport,
    Delay,
    Passed,
    Planned,
    Progress,
    Usage,
    Writing,
    step_title,
)
from countersign.domain.events import Event, EventType
from countersign.domain.executions import ExecutionOutcome, Grant, doubt, note
from countersign.domain.ids import ApiKeyId, ChannelId, RequestId, RunId, TeamName, UserId, WorkspaceId

LONGEST_TASK: Final = 10_000
"""Most characters of a task. A slash command takes fewer, a modal's input 3,000; scripts may send more."""
LONGEST_RESULT: Final = 30_000
KEPT_PROGRESS: Final = 10
KEPT_REPORTS: Final = 20
LONGEST_REPORT: Final = 150
"""Most characters of an outcome on a card."""
KEPT_RECENT: Final = 8
"""Number of a run's newest questions that its thread lists."""
LONGEST_STATE: Final = 20
TEXT_HEADINGS: Final = ("Draft (not sent)", "Approved text")
"""Headings, on a line of their own, that label a team's final text; without a heading it is a summary."""
KEPT_PASSED: Final = 20
"""Kinds of passed calls that a run counts separately; all others share one count."""


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


UNREPORTED: Final = "unreported"
"""End of a program's request without a report: the outcome is unknown."""
TRY_AGAIN: Final = frozenset({"failed", "expired"})
"""Endings after which the same task can be started again."""


@dataclass(frozen=True, slots=True)
class Run:
    """One task given to one team.

    `open` maps the place of a question in the run to its undecided request. `options` maps names to the choices made at
    its start.
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
    """The outcome in a sentence, then the agents' final text, for the requester."""
    words: str = ""
    stopped_by: UserId | None = None
    asked: int = 0
    """The number of questions that it has put to people."""
    options: dict[str, str] = field(default_factory=dict)
    by_script: bool = False
    """A script of `run_here`, or a program that asks over HTTP, advances it instead of a worker."""
    writing: Writing | None = None
    """Preview of an unfinished text, until it becomes a line of progress; nothing depends on it."""
    usage: Usage | None = None
    """Set at the end of runs that a worker ended."""
    passed: tuple[Passed, ...] = ()
    """Calls that nobody was asked about."""
    reported: tuple[ActionReport, ...] = ()
    """The outcomes of the newest approved actions; the events have all of them."""
    program: ApiKeyId | None = None
    """The key of the program that asks over HTTP."""
    salt: str = ""
    """A random secret, in no record, from which the salts of its questions are derived."""
    recent: tuple[RequestId, ...] = ()
    """The newest questions that it has asked, oldest first."""
    delay: Delay | None = None
    """A wait that is shown until the next line of progress; nothing depends on it."""
    ended_as: str = ""
    """A special way of finishing: `rejected`, `expired`, `failed`, `unreported`, or the team's own word."""
    plan: tuple[Planned, ...] = ()
    """The steps of its newest plan, shown until they are done; nothing depends on them."""
    plans: int = 0
    """Number of plans that its team has announced."""
    area: str = ""
    """The workers' area in which it is advanced: the id of their key, or "" for workers without their own key."""
    key: ApiKeyId | None = None
    """The key of the program that started it and advances it itself."""
    fence: int = 0
    """The greatest fence under which a worker has claimed it; a call under a lower one changes nothing."""
    grants: dict[str, Grant] = field(default_factory=dict)
    """The executions of decided actions by name, in the order of their grants."""
    acted: bool = False
    """True once an agent received a decision or began an action: from then on its worker's journal is not empty."""

    def __post_init__(self) -> None:
        TeamName(self.team)

    @property
    def known_as(self) -> str:
        """The team's name, or a name for a person's own program that no team can have.

        The name of a program with a key includes the key, because keys may share a name.
        """
        if self.program is not None:
            return f"{self.team} (the key {self.program})"
        return f"{self.team} (a program)" if self.by_script else self.team

    @property
    def over(self) -> bool:
        """Tell whether this run has ended."""
        return not MOVES[self.status]

    @property
    def told_outcome(self) -> bool:
        """Tell whether its program reported an outcome."""
        return self.status in (Status.FINISHED, Status.FAILED) and self.ended_as != UNREPORTED

    @property
    def can_be_tried_again(self) -> bool:
        """Tell whether it failed or expired, and a worker could start its task again."""
        failed = self.status is Status.FAILED or (self.status is Status.FINISHED and self.ended_as in TRY_AGAIN)
        return failed and not self.by_script


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
    area: str = "",
    key: ApiKeyId | None = None,
    salt: str = "",
) -> Step:
    """Make a new run, queued."""
    new = Run(run, workspace, channel, requester, team, task, now, by_script=by_script, area=area, key=key, salt=salt)
    new = replace(new, options=dict(options or {}))
    data = {"team": team, **({"options": said(new)} if new.options else {})}
    return Step(new, (event(EventType.RUN_QUEUED, new, now, user=requester, **data),))


def said(run: Run) -> str:
    """Write the chosen options as people type them: `mode=never replies=3`."""
    return " ".join(f"{name}={choice}" for name, choice in run.options.items())


def move(run: Run, verb: Verb, now: datetime) -> Run | None:
    """Return the run after the verb; None if its state does not allow it."""
    status = MOVES[run.status].get(verb)
    if status is None:
        return None
    return replace(run, status=status, ended_at=None if MOVES[status] else now)


def claim(run: Run, fence: int, owner: str, now: datetime) -> Step:
    """Let the worker with this fence continue the run."""
    run = replace(run, fence=fence)
    if run.status is Status.PARKED:
        woken = move(run, Verb.GO_ON, now) or run
        return Step((move(woken, Verb.WAIT, now) or woken) if run.open else woken)
    started = move(run, Verb.START, now)
    if started is None:
        return Step(run)
    return Step(started, (event(EventType.RUN_STARTED, started, now, owner=owner),))


def note_progress(run: Run, agent: str, words: str, now: datetime) -> Step:
    """Add a line of progress; the run keeps the newest ten, the events all of them."""
    lines = (*run.progress, Progress(now, agent, words))[-KEPT_PROGRESS:]
    noted = replace(run, progress=lines, writing=None, delay=None)
    return _progressed(noted, now, words, agent)


def _progressed(noted: Run, now: datetime, words: str, agent: str = "") -> Step:
    return Step(noted, (event(EventType.RUN_PROGRESSED, noted, now, agent=agent, words=words),))


def note_writing(run: Run, writing: Writing, now: datetime) -> Step:
    """Note the text being written; events contain only its length."""
    noted = replace(run, writing=writing, delay=None)
    words = f"{'has written' if writing.done else 'is writing'} {writing.characters:,} characters"
    return _progressed(noted, now, words, writing.agent)


def note_delay(run: Run, delay: Delay, now: datetime) -> Step:
    """Note why the run pauses for a while."""
    return _progressed(replace(run, delay=delay), now, delay.why)


def note_plan(run: Run, number: int, titles: Sequence[str], now: datetime) -> Step:
    """Note the team's plan of this number, from 1, once: a rebuilt run repeats it."""
    if number <= run.plans:
        return Step(run)
    plan = tuple(Planned(now, step_title(title)) for title in titles[:KEPT_STEPS])
    return _progressed(replace(run, plan=plan, plans=number), now, f"plans {len(plan)} steps")


def note_step(run: Run, number: int, place: int, now: datetime) -> Step:
    """Note that the step in this place of that plan was done, once."""
    if number != run.plans or not 0 <= place < len(run.plan) or run.plan[place].done_at is not None:
        return Step(run)
    done = replace(run.plan[place], done_at=now)
    return _progressed(replace(run, plan=(*run.plan[:place], done, *run.plan[place + 1 :])), now, done.title)


def note_passed(run: Run, tool: str, why: str) -> Run:
    """Count a call that a policy let pass; each of them is an event too."""
    kind = (tool[:60], why[:200])
    times = {(passed.tool, passed.why): passed.times for passed in run.passed}
    if kind not in times and len(times) >= KEPT_PASSED:
        kind = ("", "")
    times[kind] = times.get(kind, 0) + 1
    return replace(run, passed=tuple(Passed(*passed, count) for passed, count in times.items()))


def deliver(run: Run, request: RequestId, now: datetime) -> Step:
    """Note that the agent has received the decision.

    The run continues if no other question is open.
    """
    if request not in run.open.values():
        return Step(run)
    freed = replace(run, open={slot: name for slot, name in run.open.items() if name != request}, acted=True)
    if not freed.open:
        freed = move(freed, Verb.GO_ON, now) or freed
    return Step(freed, (replace(event(EventType.DECISION_DELIVERED, run, now), request=request),))


def report(
    run: Run, execution: str, words: str, now: datetime, *, failed: bool, done: str = "", late: bool = False
) -> Step:
    """Note the outcome of a granted execution, once.

    The outcome of a replaced execution is only an event.
    """
    grant = run.grants[execution]
    if grant.outcome in (ExecutionOutcome.DONE, ExecutionOutcome.FAILED):
        return Step(run)
    one = ActionReport(grant.request, failed, _cut(words), done[:LONGEST_STATE], late)
    if grant.outcome is ExecutionOutcome.REPLACED:
        return Step(run, (_reported(run, one, now),))
    outcome = ExecutionOutcome.FAILED if failed else ExecutionOutcome.DONE
    return _with_report(replace(run, grants=dict(note(run.grants, execution, outcome))), one, now)


def report_not_done(run: Run, request: RequestId, why: str, now: datetime) -> Step:
    """Note once why an approval is not acted on."""
    return _with_report(run, ActionReport(request, True, _cut(why), NOT_DONE), now)


def _with_report(run: Run, one: ActionReport, now: datetime) -> Step:
    known = [other for other in run.reported if other.request == one.request and other.done != UNKNOWN]
    if known:
        return Step(run)
    others = [other for other in run.reported if other.request != one.request]
    return Step(replace(run, reported=(*others, one)[-KEPT_REPORTS:]), (_reported(run, one, now),))


def _reported(run: Run, one: ActionReport, now: datetime) -> Event:
    failed = "unknown" if one.done == UNKNOWN else "yes" if one.failed else "no"
    about = event(EventType.ACTION_REPORTED, run, now, words=one.words, failed=failed)
    return replace(about, request=one.request, data={**about.data, **({"late": "yes"} if one.late else {})})


def _cut(words: str) -> str:
    return words if len(words) <= LONGEST_REPORT else words[: LONGEST_REPORT - 1] + "…"


def end(
    run: Run,
    verb: Verb,
    now: datetime,
    *,
    result: str,
    words: str = "",
    user: UserId | None = None,
    usage: Usage | None = None,
    ended_as: str = "",
) -> Step:
    """End the run; no effect if it has already ended."""
    ended = move(run, verb, now)
    if ended is None:
        return Step(run)
    kinds = {Verb.FINISH: EventType.RUN_FINISHED, Verb.FAIL: EventType.RUN_FAILED, Verb.STOP: EventType.RUN_STOPPED}
    ended = replace(ended, open={}, result=result[:LONGEST_RESULT], words=words[:LONGEST_RESULT], stopped_by=user)
    ended = replace(ended, writing=None, delay=None, usage=usage, ended_as=ended_as[:LONGEST_STATE])
    told = _doubts_told(ended, now)
    return Step(told.run, (*told.events, event(kinds[verb], ended, now, user=user, result=ended.result)))


def _doubts_told(run: Run, now: datetime) -> Step:
    """Report, on their cards, executions without an outcome at the run's end."""
    events: list[Event] = []
    for execution, grant in run.grants.items():
        if grant.outcome is ExecutionOutcome.OPEN:
            step = Step(replace(run, grants=dict(doubt(run.grants, execution))))
            if run.program is None:  # the card of a program's request says itself that no outcome was reported
                step = _with_report(step.run, ActionReport(grant.request, False, "", UNKNOWN), now)
            run = step.run
            events += step.events
    return Step(run, tuple(events))


def event(kind: EventType, run: Run, now: datetime, *, user: UserId | None = None, **data: str) -> Event:
    """Make an event about the run."""
    return Event(kind, now, run=run.id, workspace=run.workspace, user=user, data=data)
