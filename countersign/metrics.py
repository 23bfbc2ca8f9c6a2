"""Metrics for Prometheus: what was decided, what waits, and what was repaired.

Requests, attempts and runs are counted from the record, by the one process that draws Slack, when it ticks an event
off: sum them over all `web` processes. Waiting requests are read from the store when they are asked for. Repairs are
counted by the process that makes them.
"""

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from countersign.domain import schedule
from countersign.domain.events import Event, EventType

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4


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


REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
_REPAIRS: Final = Counter("countersign_repairs", "Found undone, and done", ["kind"], registry=REGISTRY)
_REQUESTS: Final = Counter("countersign_requests_decided", "Requests settled", ["outcome", "how"], registry=REGISTRY)
_REFUSED: Final = Counter("countersign_attempts_refused", "Attempts that did not count", ["why"], registry=REGISTRY)
_RUNS: Final = Counter("countersign_runs_ended", "Runs that ended", ["end"], registry=REGISTRY)
_SECONDS: Final = Histogram(
    "countersign_decision_seconds",
    "From the question to its end",
    ["outcome"],
    buckets=(5, 15, 60, 300, 900, 3600, 4 * 3600, 86400, 7 * 86400),
    registry=REGISTRY,
)
_UNREADABLE: Final = Counter(
    "countersign_unreadable", "Reads of a stored record that failed", ["kind"], registry=REGISTRY
)
_TOKENS: Final = Gauge(
    "countersign_slack_token_refused", "1 while Slack refuses the token", ["workspace", "why"], registry=REGISTRY
)
_LIMITED: Final = Counter(
    "countersign_slack_events_limited", "Minutes in which Slack dropped events", ["workspace"], registry=REGISTRY
)
_refused_tokens: Final[dict[str, str]] = {}
_STANDING: Final = Gauge("countersign_waiting", "What stands in the store now", ["what"], registry=REGISTRY)
_ENDS: Final = {
    EventType.RUN_FINISHED: "finished",
    EventType.RUN_FAILED: "failed",
    EventType.RUN_STOPPED: "stopped",
}

for _kind in Repair:
    _REPAIRS.labels(_kind.value)  # shown as 0 from the start, so that its first growth is seen


def repaired(kind: Repair, times: int = 1) -> None:
    """Count repairs of this kind."""
    _REPAIRS.labels(kind.value).inc(times)


def unreadable(kind: str) -> None:
    """Count a stored record of this kind that could not be read."""
    _UNREADABLE.labels(kind).inc()


def token_refused(workspace: str, why: str) -> None:
    """Show that Slack refuses this workspace's token, or with "" that it accepts it."""
    if before := _refused_tokens.pop(workspace, ""):
        _TOKENS.remove(workspace, before)
    if why:
        _refused_tokens[workspace] = why
        _TOKENS.labels(workspace, why).set(1)


def events_limited(workspace: str) -> None:
    """Count a minute in which Slack dropped this workspace's events."""
    _LIMITED.labels(workspace).inc()


def happened(event: Event) -> None:
    """Count an event; the caller sees to it that each is counted once."""
    if event.type is EventType.REQUEST_DECIDED:
        outcome = event.data.get("outcome", "")
        _REQUESTS.labels(outcome, event.data.get("how", "")).inc()
        if (waited := _seconds(event, "waited")) is not None:
            _SECONDS.labels(outcome).observe(waited)
        if (_seconds(event, "late") or 0) > schedule.LATE.total_seconds():
            repaired(Repair.DEADLINE_MISSED)
    elif event.type is EventType.ATTEMPT_REFUSED:
        _REFUSED.labels(event.data.get("refusal", "")).inc()
    elif event.type in _ENDS:
        _RUNS.labels(_ENDS[event.type]).inc()


def _seconds(event: Event, name: str) -> float | None:
    """Read a number from the event; None if it is not one: workers report some."""
    try:
        seconds = float(event.data[name])
    except (KeyError, ValueError):
        return None
    return seconds if math.isfinite(seconds) else None


def exposition(standing: Mapping[str, int] | None = None) -> bytes:
    """Write all metrics in Prometheus' text format.

    `standing`: counts of what waits now; None if the store does not say.
    """
    for kind in standing or ("requests", "runs", "parked_runs"):
        _STANDING.labels(kind).set(standing[kind] if standing is not None else math.nan)
    return generate_latest(REGISTRY)
