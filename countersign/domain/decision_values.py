"""Decisions as values that programs read, and what a reviewer changed."""

import json
from dataclasses import dataclass
from typing import Final

from countersign.domain.call_words import code_in
from countersign.domain.diffs import changed_fields, changed_lines
from countersign.domain.event_data import told_apart
from countersign.domain.ids import Digest, RequestId, UserId
from countersign.domain.redaction import hide, hide_in
from countersign.domain.requests import How, Kind, Request, Status

LONGEST_CHANGE: Final = 500
"""Characters of a value in the list of what was changed."""


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision for code; `by` are Slack user ids, empty when no person decided."""

    request: RequestId
    digest: Digest
    outcome: Status
    how: How
    by: tuple[UserId, ...] = ()
    words: str = ""
    chosen: tuple[str, ...] = ()
    content: str = ""
    """The text as a reviewer changed it; "" if they did not."""

    def who(self) -> str:
        """Name those who decided, like “reviewers U0BOB and U0EVE”.

        "nobody" when it was no person, or a rule of the workspace.
        """
        if not self.by:
            return "a rule of the workspace" if self.how is How.POLICY else "nobody"
        if self.how is How.BREAK_GLASS:
            return f"{self.by[0]} alone, who started the run, in an emergency (break-glass)"
        return f"reviewer{'s' if len(self.by) > 1 else ''} {' and '.join(self.by)}"


def decided(request: Request) -> Decided:
    """Return the decision of a settled request; ValueError if it still waits."""
    if request.decision is None:
        raise ValueError(f"Request {request.id} is not decided.")
    decision = request.decision
    return Decided(
        request.id,
        request.digest,
        decision.outcome,
        decision.how,
        decision.by,
        decision.words,
        decision.chosen,
        decision.content,
    )


def quoted(words: str) -> str:
    """Words of a person, every line behind `> `."""
    return "\n".join(f"> {line}" for line in words.splitlines())


def approved_content(request: Request) -> str | None:
    """Return the text that may be used; None if none was approved.

    It is the one that was shown, or what a reviewer made of it.
    """
    if request.decision is None or request.status not in (Status.APPROVED, Status.EDITED):
        return None
    return request.decision.content or request.question.content


def changed_text(request: Request) -> tuple[str, str] | None:
    """Return words or code before and after an edit, secrets hidden; None if neither."""
    call, decision = request.question.call, request.decision
    if decision is None or not (decision.content or decision.arguments):
        return None
    if call is None:
        return hide(request.question.content)[0], hide(decision.content)[0]
    if request.question.kind is not Kind.CODE:
        return None
    before, after = (
        code_in(hide_in(told_apart(json.loads(arguments)), call.hidden)[0])
        for arguments in (call.arguments, decision.arguments)
    )
    return None if before is None or after is None else (before, after)


def changes(request: Request) -> list[str]:
    """List what a reviewer changed, places of a call or lines, with secrets hidden."""
    if (text := changed_text(request)) is not None:
        return [_short(line) for line in changed_lines(*text)]
    call, decision = request.question.call, request.decision
    if call is None or decision is None or not decision.arguments:
        return []
    fields = changed_fields(json.loads(call.arguments), json.loads(decision.arguments), call.hidden)
    return [f"{path}: {_short(before)} → {_short(after)}" for path, before, after in fields]


def _short(value: str) -> str:
    if not value:
        return "(nothing)"
    return value if len(value) <= LONGEST_CHANGE else f"{value[:LONGEST_CHANGE]}… ({len(value):,} characters)"
