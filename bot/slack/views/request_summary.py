"""Requests in a line: what is asked, and what came of it."""

from datetime import datetime
from typing import Final

from countersign.domain.activity import Reported
from countersign.domain.requests import Decision, How, Kind, Question, Request, Status
from countersign.domain.runs import LONGEST_STATE, UNREPORTED, Run
from countersign.domain.runs import Status as RunStatus
from countersign.text.safe_text import one_line, quoted, typed

from . import button_labels
from .block_kit import TITLE
from .slack_markup import escape, people, when

_DOES: Final = (Status.APPROVED, Status.EDITED)
_JOINED: Final = "\u00a0·\u00a0"
"""Unbroken, so that no phone shows the outcome alone on a line."""


def sentence(request: Request, decision: Decision, shown_at: datetime | None = None) -> str:
    """Write who decided what, when, and how; their words are drawn apart.

    `shown_at`: the moment of the list it stands in; without it, that of its card counts.
    """
    who, at = people(decision.by), when(decision.at, shown_at or request.created_at)
    if who and decision.instead_of:
        who += f" (in place of {people(decision.instead_of)})"
    match decision.outcome, decision.how:
        case Status.APPROVED, How.TIMEOUT:
            return f":warning: *Approved by timeout* at {at} · nobody decided, so this channel's settings approved it"
        case Status.EXPIRED, _:
            then = button_labels.of(request.question).unanswered.rstrip(",")
            return f":alarm_clock: *Expired* at {at} · nobody decided · {then}"
        case Status.WITHDRAWN, _:
            return (
                ":leftwards_arrow_with_hook: *Withdrawn*"
                + (f" by {who}" if who else "")
                + f" at {at} · no longer needed"
            )
        case _, How.PERMISSION:
            return f":white_check_mark: *Auto-approved* by {who}'s standing permission at {at}"
        case _, How.BREAK_GLASS:
            return f":rotating_light: *Break-glass*: approved by the requester, {who}, alone at {at}"
        case outcome, how:
            by = who or ("a rule for this channel" if how is How.POLICY else "nobody")
            return f"{button_labels.of(request.question).outcomes[outcome]} by {by} at {at}"


def settled_line(request: Request, decision: Decision, run: Run | None, shown_at: datetime | None = None) -> str:
    """Write who decided, and in the team's word what came of it.

    The reason why it failed is drawn apart; `shown_at` as in `sentence`.
    """
    line, one = sentence(request, decision, shown_at), reported(request, run) if run else None
    if one is None:
        unknown = run is not None and run.ended_as == UNREPORTED and decision.outcome in _DOES
        return f"{line}{_JOINED}no outcome was reported" if unknown and request.question.call is not None else line
    if one.failed:
        return f"{line.replace(':white_check_mark:', ':warning:', 1)}{_JOINED}*failed*"
    return f"{line}{_JOINED}{escape(quoted(one.done, LONGEST_STATE)) or 'done'}"


def reported(request: Request, run: Run) -> Reported | None:
    """Return what came of the action, as its program or its worker reported it."""
    if run.program is not None and run.told_outcome:
        return Reported(request.id, run.status is RunStatus.FAILED, run.result)
    return next((one for one in run.reported if one.request == request.id), None)


def why_failed(request: Request, run: Run | None) -> str:
    """Return the words about an action that failed, as they came; "" if it did not."""
    one = reported(request, run) if run else None
    return one.words.strip() if one is not None and one.failed else ""


def gist(question: Question) -> str:
    """Write title and beginning for a list; whoever draws it makes it safe."""
    return " – ".join(part for part in (typed(question.title), beginning(question)) if part)


def beginning(question: Question) -> str:
    """Return the first line that tells the content from others of its title.

    "" for a call: its title does.
    """
    if question.kind not in (Kind.MESSAGE, Kind.CODE, Kind.TURN, Kind.END):
        return ""
    lines = (line.strip() for line in question.content.splitlines())
    told = (line for line in lines if line.rpartition(": ")[2].rstrip(":") and not line.startswith(("#", "```")))
    found = (line for line in told if not line.endswith(":") and line.rpartition(": ")[2] not in question.title)
    return one_line(typed(next(found, ""), hidden=question.call is not None), TITLE)
