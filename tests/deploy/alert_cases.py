"""Faults as Prometheus sees them, and the alert of each.

A fault is the series that differ from those of a healthy installation: promtool's notation of values, one every five
seconds, of which the last repeats. `None`: the series is gone, or NaN, for which promtool has no notation.
"""

from typing import Final, NamedTuple

WEB: Final = 'job="countersign-web",instance="web-1"'
WORKER: Final = 'job="countersign-worker",instance="worker-1"'
STEP: Final = 5
"""Seconds between two values."""


class Case(NamedTuple):
    """A fault, and the alerts that fire after these seconds, with their labels besides name and severity."""

    name: str
    changes: dict[str, str | None]
    seconds: int
    firing: tuple[str, str] | None


def _web(name: str, labels: str = "") -> str:
    return f"countersign_{name}{{{WEB}{labels and ',' + labels}}}"


def _worker(name: str, labels: str = "") -> str:
    return f"countersign_{name}{{{WORKER}{labels and ',' + labels}}}"


def _redis(cause: str) -> str:
    return _web("redis_problem", f'cause="{cause}"')


_UP_WEB, _UP_WORKER = f"up{{{WEB}}}", f"up{{{WORKER}}}"
_GOOD: Final = {"card_posted": "10.0", "click_acked": "2.5", "decision_delivered": "10.0", "audit_entry": "10.0"}
_UNPOSTED, _UNRECORDED = _web("oldest_unposted_seconds"), _web("oldest_unrecorded_seconds")
_CONNECTED, _WORKERS, _HEARD = _web("slack_connected"), _web("workers"), _worker("decisions_heard")
_UNHELD, _BROKEN = _web("waiting", 'what="unheld_runs"'), _web("teams", 'state="broken"')
_MEMORY, _UNCONFIRMED = _web("redis_memory_used_ratio"), _web("not_replicated_total")
_COPY_AWAY, _COPY_AGE = _web("audit_copy_away"), _web("audit_copy_age_seconds")
_CLOCK = _web("clock_ahead_seconds")
_MISSED, _LOST = (_web("repairs_total", f'kind="{kind}"') for kind in ("deadline_missed", "job_lost"))
_FAILED_CALLS = _web("slack_calls_total", 'method="auth.test",code="http_503"')
_REFUSED = _web("slack_token_refused", 'workspace="T1",why="token_revoked"')

HEALTHY: Final[dict[str, str]] = {
    **dict.fromkeys((_UP_WEB, _UP_WORKER, _CONNECTED, _WORKERS, _HEARD), "1"),
    **dict.fromkeys((_UNPOSTED, _UNRECORDED, _UNHELD, _BROKEN, _UNCONFIRMED, _CLOCK, _MISSED, _LOST), "0"),
    **dict.fromkeys((_COPY_AWAY, _COPY_AGE), "0"),
    **{_redis(cause): "0" for cause in ("unreachable", "password", "memory", "disk", "replica", "latency")},
    _web("slack_calls_total", 'method="auth.test",code="ok"'): "0+1",
    **{_web(f"{slo}_seconds_bucket", f'le="{le}"'): "0+1" for slo, le in _GOOD.items()},
    **{_web(f"{slo}_seconds_count"): "0+1" for slo in _GOOD},
}


def _gone(labels: str) -> dict[str, str | None]:
    """All that a process says is gone."""
    return {f"up{{{labels}}}": "0", **dict.fromkeys(name for name in HEALTHY if labels in name and name[0] != "u")}


CASES: Final = (
    Case("nothing", {}, 300, None),
    Case("Slack answers 503", {_FAILED_CALLS: "0+1", _UNPOSTED: "0+5", _CONNECTED: "0"}, 30, ("SlackFailing", "")),
    Case(
        "the token is revoked, and cards wait",
        {_REFUSED: "1", _UNPOSTED: "0+5"},
        120,
        ("SlackTokenRefused", 'why="token_revoked",workspace="T1"'),
    ),
    Case("Socket Mode is lost", {_CONNECTED: "0"}, 30, ("SlackDisconnected", 'instance="web-1",job="countersign-web"')),
    Case(
        "Slack drops events",
        {_web("slack_events_limited_total", 'workspace="T1"'): "0 1"},
        60,
        ("SlackEventsDropped", 'workspace="T1"'),
    ),
    Case("cards wait for their turn", {_UNPOSTED: "0+5"}, 90, ("CardsLate", "")),
    Case("a card waits for a moment", {_UNPOSTED: "0 5 10 15 20 0"}, 90, None),
    Case("all web are gone", {**_gone(WEB), _HEARD: "0"}, 60, ("NoWeb", "")),
    Case("all workers are dead", {**_gone(WORKER), _WORKERS: "0", _UNHELD: "3"}, 120, ("NoWorkers", "")),
    Case("a process is down", {_UP_WORKER: "0"}, 360, ("ProcessDown", 'instance="worker-1",job="countersign-worker"')),
    Case("runs have no worker", {_UNHELD: "3"}, 90, ("RunsWaitForWorkers", "")),
    Case("a worker hears nothing", {_HEARD: "0"}, 45, ("WorkerDeaf", 'instance="worker-1",job="countersign-worker"')),
    Case("a team is broken", {_BROKEN: "1"}, 90, ("TeamBroken", "")),
    Case("a clock is wrong", {_CLOCK: "-400"}, 15, ("ClockWrong", 'instance="web-1",job="countersign-web"')),
    Case(
        "Redis is away",
        {_redis("unreachable"): "1", **dict.fromkeys((_WORKERS, _UNPOSTED, _UNRECORDED, _UNHELD)), _HEARD: "0"},
        120,
        ("RedisUnreachable", ""),
    ),
    Case("Redis fails over", {_redis("unreachable"): "0 1 0"}, 15, None),
    Case("Redis refuses the password", {_redis("password"): "1"}, 15, ("RedisRefusesPassword", "")),
    Case("Redis has no memory", {_redis("memory"): "1", _MEMORY: "1.1"}, 120, ("RedisOutOfMemory", "")),
    Case("Redis has no disk", {_redis("disk"): "1"}, 15, ("RedisDiskFull", "")),
    Case("a replica is lost", {_redis("replica"): "1", _UNCONFIRMED: "0+1"}, 60, ("RedisReplicaLost", "")),
    Case("Redis is slow", {_redis("latency"): "1"}, 90, ("RedisSlow", "")),
    Case("memory is short", {_MEMORY: "0.95"}, 90, ("RedisMemoryShort", "")),
    Case("replicas do not confirm", {_UNCONFIRMED: "0+1"}, 30, ("WritesUnconfirmed", "")),
    Case("the audit log is late", {_UNRECORDED: "0+5"}, 90, ("AuditLogLate", "")),
    Case("the SQL copy is away", {_COPY_AWAY: "1", _COPY_AGE: "0+5"}, 360, ("AuditCopyAway", "")),
    Case("the SQL copy is behind", {_COPY_AGE: "0+5"}, 360, ("AuditCopyLate", "")),
    Case(
        "a record is damaged", {_web("unreadable_total", 'kind="Run"'): "0 1"}, 60, ("RecordUnreadable", 'kind="Run"')
    ),
    Case("a deadline is missed", {_MISSED: "0 1"}, 60, ("DeadlineMissed", "")),
    Case("repairs are many", {_LOST: "0+1"}, 300, ("ManyRepairs", 'kind="job_lost"')),
    Case(
        "cards miss their objective",
        {_web("card_posted_seconds_bucket", 'le="10.0"'): "0"},
        600,
        ("ObjectiveMissed", 'slo="card_posted"'),
    ),
)


def promtool_test(case: Case, severity: str) -> dict[str, object]:
    """Write the case as a test of promtool."""
    count = case.seconds // STEP + 2
    series = {**HEALTHY, **case.changes}
    firing = []
    if case.firing is not None:
        name, labels = case.firing
        more = f',severity="{severity}"{labels and "," + labels}'
        firing = [{"labels": f'ALERTS{{alertname="{name}",alertstate="firing"{more}}}', "value": 1}]
    return {
        "name": case.name,
        "interval": f"{STEP}s",
        "input_series": [
            {"series": name, "values": _notation(values, count)} for name, values in series.items() if values
        ],
        "promql_expr_test": [
            {"expr": 'ALERTS{alertstate="firing"}', "eval_time": f"{case.seconds}s", "exp_samples": firing}
        ],
    }


def _notation(values: str, count: int) -> str:
    """Repeat the last of these values; one with a slope continues."""
    *first, last = values.split()
    return " ".join([*first, f"{last}x{count}"])
