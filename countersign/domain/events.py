"""Events: one stream is the audit log and the outbox that Slack is drawn from."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from countersign.domain.ids import RequestId, RunId, UserId, WorkspaceId


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
    RULES_REPLACED = "rules_replaced"
    """What a worker wrote as the rules of a request, or as its run's, was not what web found; web's count."""
    VOTE_CAST = "vote_cast"
    VOTE_VOIDED = "vote_voided"
    """An approval that was counted does not count any more: who gave it may not decide by now."""
    REQUEST_DECIDED = "request_decided"
    REQUEST_REMINDED = "request_reminded"
    REQUEST_ESCALATED = "request_escalated"
    REQUEST_SNOOZED = "request_snoozed"
    REQUEST_LOOKED_AT = "request_looked_at"
    """Somebody said that they are looking at it; others may decide all the same."""
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
    REPORT_REFUSED = "report_refused"
    """A worker reported what only people and web can do; see countersign.usecases.worker_claims."""
    CARD_NOT_POSTED = "card_not_posted"
    CHANNEL_JOINED = "channel_joined"
    """The app was invited to a channel, which is greeted."""
    SETTINGS_CHANGED = "settings_changed"
    SETTINGS_PROPOSED = "settings_proposed"
    """Somebody wanted to make a channel's rules milder, which takes an admin or a second reviewer."""
    SETTINGS_REFUSED = "settings_refused"


REQUEST_CHANGED: Final = frozenset(
    {
        EventType.REQUEST_ASKED,
        EventType.RULES_REPLACED,
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
"""After these a request stands otherwise on its card, and in the lists of who has it to decide."""


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
