"""Requests in a line: what is asked, and what came of it."""

from typing import Final

from countersign.domain.activity import Reported
from countersign.domain.requests import Decision, Kind, Question, Request
from countersign.domain.runs import LONGEST_STATE, Run
from countersign.domain.runs import Status as RunStatus
from countersign.text.safe_text import one_line, quoted, typed

from .block_kit import TITLE
from .request_text import sentence
from .slack_markup import escape

_JOINED: Final = "\u00a0·\u00a0"
"""Unbroken, so that no phone shows the outcome alone on a line."""


def settled_line(request: Request, decision: Decision, run: Run | None) -> str:
    """Write who decided, and in the team's word what came of it; why it failed is drawn apart."""
    line, one = sentence(request, decision), reported(request, run) if run else None
    if one is None:
        return line
    if one.failed:
        return f"{line.replace(':white_check_mark:', ':warning:', 1)}{_JOINED}*failed*"
    return f"{line}{_JOINED}{escape(quoted(one.done, LONGEST_STATE)) or 'done'}"


def reported(request: Request, run: Run) -> Reported | None:
    """Return what came of the action, as its program or its worker reported it."""
    if run.program is not None and run.over and run.result:
        return Reported(request.id, run.status is RunStatus.FAILED, run.result)
    return next((one for one in run.reported if one.request == request.id), None)


def why_failed(request: Request, run: Run | None) -> str:
    """Return the words about an action that failed, as they came; "" if it did not."""
    one = reported(request, run) if run else None
    return one.words.strip() if one is not None and one.failed else ""


def gist(question: Question) -> str:
    """Write title and beginning for a list, where the reader sees no more of it; made safe by who draws it."""
    return " – ".join(part for part in (typed(question.title), beginning(question)) if part)


def beginning(question: Question) -> str:
    """Return the first line of the content that tells it from others of its title; "" for a call: its title does."""
    if question.kind not in (Kind.MESSAGE, Kind.CODE, Kind.TURN, Kind.END):
        return ""
    lines = (line.strip() for line in question.content.splitlines())
    told = (line for line in lines if line.rpartition(": ")[2].rstrip(":") and not line.startswith(("#", "```")))
    found = (line for line in told if not line.endswith(":") and line.rpartition(": ")[2] not in question.title)
    return one_line(typed(next(found, ""), hidden=question.call is not None), TITLE)
