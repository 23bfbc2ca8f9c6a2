"""Metrics for Prometheus: decisions, what waits, what fails, and repairs.

Requests, attempts and runs are counted from the record, by the one process that draws Slack, when it ticks an event
off: sum them over all `web` processes. What waits is read from the store at each scrape, and is the same in every
`web`: take the maximum. Calls and repairs are counted by the process that makes them.

No label can grow by what people, agents, programs or Slack send: its values are listed here, or the first hundred
are told apart, and the rest are `other`.
"""

import math
import platform
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import Enum, StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from countersign.domain import schedule
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.events import Event, EventType
from countersign.domain.ids import RequestId
from countersign.domain.requests import How, Status

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
MOST_VALUES: Final = 100
"""Values of a label that are told apart, where they are not listed."""
_REMEMBERED: Final = 10_000
"""Decisions that are remembered until their run has them."""
_OTHER: Final = "other"


class Repair(StrEnum):
    """Kinds of repairs: the rows of the table in docs/operations.md."""

    HINT_LOST = "hint_lost"
    UNDELIVERED = "undelivered"
    NEVER_POSTED = "never_posted"
    NEVER_INDEXED = "never_indexed"
    JOB_LOST = "job_lost"
    JOB_DOUBLED = "job_doubled"
    PROJECTOR_STOPPED = "projector_stopped"
    EVENT_OVERLOOKED = "event_overlooked"
    DEADLINE_MISSED = "deadline_missed"
    STRAY = "stray"
    QUESTION_LOST = "question_lost"


class NotStarted(StrEnum):
    """Reasons why a task was not started."""

    NO_WORKER = "no_worker"
    UNKNOWN_TEAM = "unknown_team"
    BROKEN_TEAM = "broken_team"
    NO_REVIEWERS = "no_reviewers"
    INPUT = "input"
    """The task or its options cannot be used."""


class Cause(StrEnum):
    """Causes of trouble with Redis."""

    UNREACHABLE = "unreachable"
    PASSWORD = "password"
    MEMORY = "memory"
    DISK = "disk"
    REPLICA = "replica"
    """Fewer replicas are connected than REDIS_WAIT wants."""
    LATENCY = "latency"


class WaitingKind(StrEnum):
    """Kinds of what waits in the store."""

    REQUESTS = "requests"
    UNPOSTED_REQUESTS = "unposted_requests"
    RUNS = "runs"
    UNHELD_RUNS = "unheld_runs"
    PARKED_RUNS = "parked_runs"


REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"countersign_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"countersign_{name}", text, labels, registry=REGISTRY)


def _state(name: str, text: str) -> Gauge:
    """Make a gauge that is NaN until this process knows it: many are known to `web` or to a worker alone."""
    gauge = _gauge(name, text)
    gauge.set(math.nan)
    return gauge


def _histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(f"countersign_{name}", text, labels, buckets=buckets, registry=REGISTRY)


_BUILD: Final = _gauge("build_info", "1, with the version", "version", "python")
_REPAIRS: Final = _counter("repairs", "Found undone, and done", "kind")
_REQUESTS: Final = _counter("requests_decided", "Requests settled", "outcome", "how")
_REFUSED: Final = _counter("attempts_refused", "Attempts that did not count", "why")
_RUNS: Final = _counter("runs_ended", "Runs that ended", "end")
_NOT_STARTED: Final = _counter("starts_refused", "Tasks that were not started", "why")
_SECONDS: Final = _histogram(
    "decision_seconds",
    "From the question to its end",
    (5, 15, 60, 300, 900, 3600, 4 * 3600, 86400, 7 * 86400),
    "outcome",
)
_POSTED: Final = _histogram("card_posted_seconds", "From the question to its card", (1, 2, 5, 10, 30, 60, 300, 1800))
_ACKED: Final = _histogram(
    "click_acked_seconds", "From a click or command to our answer", (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
)
_DELIVERED: Final = _histogram(
    "decision_delivered_seconds", "From a decision until its run has it", (0.25, 0.5, 1, 2, 5, 10, 30, 60, 300)
)
_RECORDED: Final = _histogram(
    "audit_entry_seconds", "From an event until it is in the audit log", (0.1, 0.5, 1, 2, 5, 10, 30, 60)
)
_UNREADABLE: Final = _counter("unreadable", "Reads of a stored record that failed", "kind")
_CALLS: Final = _counter("slack_calls", "Calls of Slack's Web API", "method", "code")
_CONNECTED: Final = _state("slack_connected", "1 while Socket Mode is connected")
_TOKENS: Final = _gauge("slack_token_refused", "1 while Slack refuses the token", "workspace", "why")
_LIMITED: Final = _counter("slack_events_limited", "Minutes in which Slack dropped events", "workspace")
_STANDING: Final = _gauge("waiting", "What stands in the store now", "what")
_UNPOSTED_AGE: Final = _state("oldest_unposted_seconds", "Age of the oldest request whose card is not posted yet")
_UNRECORDED_AGE: Final = _state("oldest_unrecorded_seconds", "Age of the oldest event that is not in the audit log yet")
_WORKERS: Final = _state("workers", "Workers that are announced now")
_TEAMS: Final = _gauge("teams", "Teams that are announced now", "state")
_STREAMS: Final = _gauge("worker_streams", "Streams of decisions that workers have open here")
_HEARD: Final = _state("decisions_heard", "1 while this worker hears decisions")
_HELD: Final = _gauge("worker_runs", "Runs that this worker holds")
_REDIS: Final = _gauge("redis_problem", "1 while Redis has this problem", "cause")
_ROUND_TRIP: Final = _state("redis_round_trip_seconds", "Time of a write")
_MEMORY: Final = _state("redis_memory_used_ratio", "Used part of Redis' maxmemory")
_REPLICAS: Final = _state("redis_replicas", "Replicas that are connected")
_REPLICAS_WANTED: Final = _state("redis_replicas_wanted", "REDIS_WAIT: replicas that must confirm a write")
_NOT_REPLICATED: Final = _counter("not_replicated", "Writes that too few replicas, or no disk, confirmed in time")
_CLOCK: Final = _state("clock_ahead_seconds", "This machine's clock compared with that of Redis")
_COPY_AGE: Final = _state("audit_copy_age_seconds", "Since the SQL copy last held the whole audit log")
_COPY_AWAY: Final = _state("audit_copy_away", "1 while the SQL copy cannot be written")
_ENDS: Final = {
    EventType.RUN_FINISHED: "finished",
    EventType.RUN_FAILED: "failed",
    EventType.RUN_STOPPED: "stopped",
}
_OUTCOMES: Final = frozenset(Status)
_HOWS: Final = frozenset(How)
_REFUSALS: Final = frozenset(refusal.name.lower() for refusal in Refusal)
_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")

_refused_tokens: Final[dict[str, tuple[str, str]]] = {}
_decided: Final[OrderedDict[RequestId, datetime]] = OrderedDict()
_told_apart: Final[dict[str, set[str]]] = {}
_copied_at: Final[list[float]] = []


def _all_shown(metric: Counter | Gauge, values: Iterable[Enum]) -> None:
    """Show these labels as 0 from the start, so that their first growth is seen."""
    for value in values:
        metric.labels(value.value)


_all_shown(_REPAIRS, Repair)
_all_shown(_NOT_STARTED, NotStarted)
_all_shown(_REDIS, Cause)
for _end in _ENDS.values():
    _RUNS.labels(_end)


def _version() -> str:
    try:
        return version("countersign-slack")
    except PackageNotFoundError:
        return "checkout"


_BUILD.labels(_version(), platform.python_version()).set(1)


def _listed(value: str, values: frozenset[str]) -> str:
    return value if value in values else _OTHER


def _bounded(label: str, value: str) -> str:
    """Return the value, or `other` for a new one beyond `MOST_VALUES`."""
    known = _told_apart.setdefault(label, set())
    if value not in known and len(known) < MOST_VALUES:
        known.add(value)
    return value if value in known else _OTHER


def repaired(kind: Repair, times: int = 1) -> None:
    """Count repairs of this kind."""
    _REPAIRS.labels(kind.value).inc(times)


def unreadable(kind: str) -> None:
    """Count a stored record of this kind that could not be read."""
    _UNREADABLE.labels(_bounded("kind", kind)).inc()


def slack_called(method: str, code: str) -> None:
    """Count a call of Slack's Web API.

    `code` is `ok`, Slack's error, `http_503` for an answer without one, `no_answer`, or `cancelled` by this process.
    """
    plain = _bounded("code", code if _CODE.fullmatch(code) else _OTHER)
    _CALLS.labels(_bounded("method", method), plain).inc()


def slack_connected(connected: bool) -> None:
    """Show whether Socket Mode is connected."""
    _CONNECTED.set(connected)


def token_refused(workspace: str, why: str) -> None:
    """Show that Slack refuses this workspace's token, or with "" that it accepts it."""
    if (before := _refused_tokens.pop(workspace, None)) and before not in _refused_tokens.values():
        _TOKENS.remove(*before)
    if why:
        shown = _bounded("workspace", workspace), _bounded("code", why if _CODE.fullmatch(why) else _OTHER)
        _refused_tokens[workspace] = shown
        _TOKENS.labels(*shown).set(1)


def events_limited(workspace: str) -> None:
    """Count a minute in which Slack dropped this workspace's events."""
    _LIMITED.labels(_bounded("workspace", workspace)).inc()


def start_refused(why: NotStarted) -> None:
    """Count a task that was not started."""
    _NOT_STARTED.labels(why.value).inc()


def card_posted(seconds: float) -> None:
    """Count a request whose card stands, by the time since it was asked."""
    _POSTED.observe(max(0.0, seconds))


def click_acked(seconds: float) -> None:
    """Count a click, command or window that was acknowledged."""
    _ACKED.observe(seconds)


def entry_recorded(seconds: float) -> None:
    """Count an event that is in the audit log, by the time since it happened."""
    _RECORDED.observe(max(0.0, seconds))


def not_replicated() -> None:
    """Count a write that was stored and not confirmed in time."""
    _NOT_REPLICATED.inc()


def decisions_heard(heard: bool) -> None:
    """Show whether this worker hears decisions."""
    _HEARD.set(heard)


def runs_held(count: int) -> None:
    """Show how many runs this worker holds."""
    _HELD.set(count)


def worker_streams(count: int) -> None:
    """Show how many streams of decisions workers have open here."""
    _STREAMS.set(count)


def copied(*, away: bool = False) -> None:
    """Note that the SQL copy holds the whole audit log, or cannot be written."""
    if not _copied_at or not away:
        _copied_at[:] = [time.monotonic()]
    _COPY_AWAY.set(away)
    _COPY_AGE.set_function(_copy_age)


def copies_no_more() -> None:
    """Note that another process copies the audit log now, or none does."""
    _copied_at.clear()
    _COPY_AWAY.set(math.nan)


def _copy_age() -> float:
    return time.monotonic() - _copied_at[0] if _copied_at else math.nan


def happened(event: Event) -> None:
    """Count an event; the caller sees to it that each is counted once."""
    if event.type is EventType.REQUEST_DECIDED:
        outcome = _listed(event.data.get("outcome", ""), _OUTCOMES)
        _REQUESTS.labels(outcome, _listed(event.data.get("how", ""), _HOWS)).inc()
        if (waited := _seconds(event, "waited")) is not None:
            _SECONDS.labels(outcome).observe(waited)
        if (_seconds(event, "late") or 0) > schedule.LATE.total_seconds():
            repaired(Repair.DEADLINE_MISSED)
        _remember(event)
    elif event.type is EventType.DECISION_DELIVERED:
        decided = _decided.pop(event.request, None) if event.request else None
        if decided is not None:
            _DELIVERED.observe(max(0.0, (event.at - decided).total_seconds()))
    elif event.type is EventType.ATTEMPT_REFUSED:
        _REFUSED.labels(_listed(event.data.get("refusal", ""), _REFUSALS)).inc()
    elif event.type in _ENDS:
        _RUNS.labels(_ENDS[event.type]).inc()


def _remember(event: Event) -> None:
    if event.request is not None:
        _decided[event.request] = event.at
        if len(_decided) > _REMEMBERED:
            _decided.popitem(last=False)


def _seconds(event: Event, name: str) -> float | None:
    """Read a number from the event; None if it is not one: workers report some."""
    try:
        seconds = float(event.data[name])
    except (KeyError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None


def redis(
    causes: Iterable[Cause],
    *,
    round_trip: float = math.nan,
    memory: float = math.nan,
    replicas: float = math.nan,
    wanted: int = 0,
    clock_ahead: float = math.nan,
) -> None:
    """Show how Redis was at the last look; NaN is what nobody knows."""
    found = frozenset(causes)
    for cause in Cause:
        _REDIS.labels(cause.value).set(cause in found)
    _ROUND_TRIP.set(round_trip)
    _MEMORY.set(memory)
    _REPLICAS.set(replicas)
    _REPLICAS_WANTED.set(wanted)
    _CLOCK.set(clock_ahead)


def standing(
    counts: Mapping[WaitingKind, int] | None = None,
    *,
    workers: float = math.nan,
    teams: float = math.nan,
    broken_teams: float = math.nan,
    unposted_age: float = math.nan,
    unrecorded_age: float = math.nan,
) -> None:
    """Show what stands in the store; without counts, that it does not say."""
    for what in WaitingKind:
        _STANDING.labels(what.value).set(math.nan if counts is None else counts.get(what, 0))
    _WORKERS.set(workers)
    _TEAMS.labels("working").set(teams)
    _TEAMS.labels("broken").set(broken_teams)
    _UNPOSTED_AGE.set(unposted_age)
    _UNRECORDED_AGE.set(unrecorded_age)


def teams(working: int, broken: int) -> None:
    """Show the teams of this worker."""
    _TEAMS.labels("working").set(working)
    _TEAMS.labels("broken").set(broken)


def exposition() -> bytes:
    """Write all metrics in Prometheus' text format."""
    return generate_latest(REGISTRY)
