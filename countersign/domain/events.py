"""Events: one stream is both the audit log and the outbox that feeds Slack.

Their data are plain texts without secrets. A value that was hidden or cut in the record is read back as `Unrecorded`,
never as a value.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from datetime import datetime, time, timedelta
from enum import Enum, StrEnum
from typing import Any, Final

from countersign.domain.ids import RequestId, RunId, UserId, WorkspaceId
from countersign.domain.json_comparison import Unrecorded
from countersign.domain.redaction import MARK, TYPED, hide, hide_in


class EventType(StrEnum):
    """The types of events, in the past tense."""

    RUN_QUEUED = "run_queued"
    RUN_STARTED = "run_started"
    RUN_PROGRESSED = "run_progressed"
    RUN_FINISHED = "run_finished"
    RUN_FAILED = "run_failed"
    RUN_STOPPED = "run_stopped"
    START_REFUSED = "start_refused"
    """Somebody wanted to start a task, and it was not started."""
    STOP_REFUSED = "stop_refused"
    REQUEST_ASKED = "request_asked"
    VOTE_CAST = "vote_cast"
    VOTE_VOIDED = "vote_voided"
    """A counted approval no longer counts, because its voter may not decide any more."""
    REQUEST_DECIDED = "request_decided"
    REQUEST_REMINDED = "request_reminded"
    REQUEST_ESCALATED = "request_escalated"
    REQUEST_SNOOZED = "request_snoozed"
    REQUEST_LOOKED_AT = "request_looked_at"
    """Somebody said that they are looking at it; others may still decide."""
    STAND_IN_NAMED = "stand_in_named"
    STAND_IN_ENDED = "stand_in_ended"
    ATTEMPT_REFUSED = "attempt_refused"
    DECISION_DELIVERED = "decision_delivered"
    ACTION_REPORTED = "action_reported"
    """An approved action was done, or failed."""
    CALL_PASSED = "call_passed"
    """A policy let a call pass without asking people."""
    CALL_REFUSED = "call_refused"
    """A policy refused a call without asking people."""
    PERMISSION_GIVEN = "permission_given"
    PERMISSION_REVOKED = "permission_revoked"
    KEY_CREATED = "key_created"
    """An operator made a key for a program."""
    KEY_ROTATED = "key_rotated"
    KEY_REVOKED = "key_revoked"
    PASSKEY_CODE_MADE = "passkey_code_made"
    """An admin or the operator made a code with which somebody enrols a passkey."""
    PASSKEY_ENROLLED = "passkey_enrolled"
    PASSKEY_REVOKED = "passkey_revoked"
    ENROLMENT_REFUSED = "enrolment_refused"
    """Somebody wanted to enrol a passkey, or to make a code for it, and may not."""
    SESSIONS_ENDED = "sessions_ended"
    """All sessions of a person on the pages were ended."""
    CARD_NOT_POSTED = "card_not_posted"
    CHANNEL_JOINED = "channel_joined"
    """The app was invited to a channel, and greets it."""
    SETTINGS_CHANGED = "settings_changed"
    SETTINGS_PROPOSED = "settings_proposed"
    """Somebody proposed milder rules for a channel, which an admin or a second reviewer must confirm."""
    SETTINGS_REFUSED = "settings_refused"


REQUEST_CHANGED: Final = frozenset(
    {
        EventType.REQUEST_ASKED,
        EventType.VOTE_CAST,
        EventType.VOTE_VOIDED,
        EventType.REQUEST_REMINDED,
        EventType.REQUEST_ESCALATED,
        EventType.REQUEST_SNOOZED,
        EventType.REQUEST_LOOKED_AT,
        EventType.STAND_IN_NAMED,
        EventType.STAND_IN_ENDED,
        EventType.REQUEST_DECIDED,
    }
)
"""Events that change a request's card and the lists of requests to decide."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    `at` is the server's time of the step; `data` are plain texts for the record.
    """

    type: EventType
    at: datetime
    run: RunId | None = None
    request: RequestId | None = None
    workspace: WorkspaceId | None = None
    user: UserId | None = None
    data: dict[str, str] = field(default_factory=dict)


LONGEST_RECORDED: Final = 3000
"""Most characters of arguments recorded for a call that nobody was asked about; the digest covers all of them."""


def plain(value: Any) -> Any:
    """Write a record as JSON, without secrets.

    Sets are sorted, durations are in seconds, times in ISO 8601; any other value becomes text, because recording must
    not fail.
    """
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, frozenset | set):
        return sorted(plain(inner) for inner in value)
    if isinstance(value, tuple | list):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if value is None or isinstance(value, bool | int | float):
        return value
    return hide(str(value))[0]


def without_secrets(arguments: str, paths: tuple[str, ...] = ()) -> str:
    """Hide secrets in a call's arguments, or in another text.

    Hides `paths` and values that look like secrets.
    """
    try:
        return json.dumps(hide_in(json.loads(arguments), paths)[0], sort_keys=True, ensure_ascii=False)
    except (ValueError, RecursionError):
        return hide(arguments)[0]


def escape_marks(value: Any, *, names: bool = True) -> Any:
    """Copy a JSON value or a text, escaping marks of secrets that it already contains.

    Call it before hiding secrets, and only for text that is shown: every later mark is then ours. `names`: escape in
    names too.
    """
    if isinstance(value, str):
        return MARK.sub(lambda mark: f"{TYPED}{mark[0][1:]}", value)
    if isinstance(value, dict):
        return {escape_marks(key) if names else key: escape_marks(inner, names=names) for key, inner in value.items()}
    return [escape_marks(inner, names=names) for inner in value] if isinstance(value, list) else value


def shortened(text: str) -> str:
    """Cut the text to `LONGEST` characters, and append its full length."""
    return f"{text[:LONGEST_RECORDED]}… ({len(text):,} characters)" if len(text) > LONGEST_RECORDED else text


def read_arguments(recorded: str) -> dict[str, Any] | Unrecorded:
    """Read the arguments in an entry of the record.

    Hidden values, or all of them if the text was cut, are Unrecorded.
    """
    try:
        arguments = _with_gaps(json.loads(recorded))
    except (ValueError, RecursionError):
        return Unrecorded()
    return arguments if isinstance(arguments, dict) else Unrecorded()


def _with_gaps(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_gaps(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_gaps(inner) for inner in value]
    return Unrecorded() if isinstance(value, str) and MARK.search(value) else value
