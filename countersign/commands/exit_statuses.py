"""Exit statuses of `countersign run` and `countersign ask`, as in docs/run.md."""

from enum import IntEnum
from typing import Final

from countersign.client.exchange import UNREACHABLE, Decision, ServiceRefused


class ExitStatus(IntEnum):
    """The reason why nothing ran, or why there is no answer.

    Most are 80 and above, because few programs end with these.
    """

    OK = 0
    WRONG_USAGE = 2
    REJECTED = 80
    CHANGES_REQUESTED = 81
    EXPIRED = 82
    WITHDRAWN = 83
    REFUSED = 84
    SERVICE_AWAY = 85
    IN_DOUBT = 86
    RAN_AND_FAILED = 87
    DIFFERS = 88
    NOT_EXECUTABLE = 126
    NOT_FOUND = 127


_OUTCOMES: Final = {
    "approved": ExitStatus.OK,
    "edited": ExitStatus.OK,
    "rejected": ExitStatus.REJECTED,
    "answered": ExitStatus.CHANGES_REQUESTED,
    "expired": ExitStatus.EXPIRED,
    "withdrawn": ExitStatus.WITHDRAWN,
}


def status_of(decision: Decision) -> ExitStatus:
    """Return the exit status for a decision; an option that was chosen is an answer."""
    return ExitStatus.OK if decision.chosen else _OUTCOMES[decision.outcome]


def status_of_refusal(refused: ServiceRefused) -> ExitStatus:
    """Return the exit status for a service that refuses, or does not answer."""
    return ExitStatus.SERVICE_AWAY if refused.kind == UNREACHABLE else ExitStatus.REFUSED


def reason_of(decision: Decision) -> str:
    """Say in one sentence why nothing may be done."""
    by = f" by {' and '.join(decision.names)}" if decision.names else ""
    said = f": {decision.words}" if decision.words else "."
    ends = {
        "rejected": f"Rejected{by}{said}",
        "answered": f"Not approved. Changes were requested{by}{said}",
        "expired": "Nobody decided in time.",
        "withdrawn": f"The request was withdrawn{said}",
    }
    return ends[decision.outcome]
