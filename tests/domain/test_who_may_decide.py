"""Who may decide: every line of the tables in `tests/data/who_may_decide.md`, whose answers were written by hand."""

import pytest

from countersign.domain import permissions
from countersign.domain.decision_rules import allow
from countersign.domain.events import EventType
from countersign.domain.refusal_reasons import Refusal
from countersign.domain.requests import Step
from tests.sample_requests import BOB
from tests.who_may_decide import (
    AGAIN,
    DID,
    DOES,
    TEAM,
    Row,
    Scene,
    actor,
    admins,
    permission,
    rows,
    scene,
    tried,
    voters,
)

ROWS = rows()
TOLD_OTHERWISE = {
    *(Refusal.BY_POLICY, Refusal.NOBODY_COULD, Refusal.UNKNOWN),
    *(Refusal.OUTSIDER, Refusal.NOT_KNOWN, Refusal.NOT_A_TEXT),
}
"""Two are told when it is asked, one is about no request at all (`tests/usecases/test_usecases.py`), two are told to
who wants to see something (`tests/slack/test_grid_and_shared_channels.py`), one is about texts that are changed
(`tests/domain/test_edits_and_choices.py`)."""
OUTCOMES = {"approved", "rejected", "answered", "edited"}


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_every_line_of_the_tables_is_what_the_rules_say(row: Row) -> None:
    """R3, R7, R9–R12, R17, R20, R24, R25: counted, or refused with a reason that is on record, and nothing changed."""
    there = scene(row)
    if row.does == "revoke":
        refusal = permissions.why_not_revoke(permission(BOB), actor(row), there.request.rules, admins(row))
        assert row.answer == (refusal.name.lower() if refusal else "revoked")
        return
    if row.does == "allowed it":
        step = allow(there.request, permission(actor(row).user), actor(row), TEAM, there.now)
        assert row.answer == (str(step.request.status) if step.changes else "people are asked")
        return
    again = row.does.endswith(AGAIN)
    does = row.does.removesuffix(AGAIN)
    step = tried(there.request, actor(row), does, there.now, "before" if again else "now", voters(row))
    assert row.answer == said(does, there, step, again)
    if step.refusal is not None:
        assert step.request == there.request
        (told,) = step.events
        assert (told.type, told.data["refusal"]) == (EventType.ATTEMPT_REFUSED, row.answer)


def said(does: str, there: Scene, step: Step, again: bool) -> str:
    """What became of it, in the words of the tables."""
    if step.refusal is not None:
        return step.refusal.name.lower()
    if not step.changes:
        return "counted before" if again else "nothing changes"
    if does in ("look", "snooze"):
        return {"look": "noted", "snooze": "put off"}[does]
    if step.request.status is not there.request.status:
        return str(step.request.status)
    return "vote instead" if any(e.type is EventType.VOTE_VOIDED for e in step.events) else "vote"


def test_the_tables_are_long_and_leave_no_refusal_and_no_word_out() -> None:
    """R7, R25: each reason that a click can meet is met here."""
    assert len(ROWS) >= 200
    assert len({(row.who, row.stands_for, row.request, row.before, row.does) for row in ROWS}) == len(ROWS), "twice"
    answers = {row.answer for row in ROWS}
    assert {r.name.lower() for r in Refusal if r not in TOLD_OTHERWISE} <= answers
    assert answers >= OUTCOMES | {"vote"}
    assert set(DOES) <= {row.does for row in ROWS}
    befores = " ".join(row.before for row in ROWS)
    assert [word for word in DID if word not in befores] == []
