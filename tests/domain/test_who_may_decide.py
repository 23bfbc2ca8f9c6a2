"""Who may decide: every line of the tables in `tests/data/who_may_decide.md`, whose answers were written by hand."""

from countersign.domain import standing_permissions
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.decision_attempts import allow
from countersign.domain.events import EventType
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
    *(Refusal.LOGIN_NOT_FRESH, Refusal.PASSKEY_UNKNOWN, Refusal.PASSKEY_REVOKED, Refusal.PASSKEY_COPIED),
    *(Refusal.PROOF_LATE, Refusal.PROOF_NOT_YOURS, Refusal.PROOF_WRONG),
    *(Refusal.FORM_NOT_YOURS, Refusal.SIGNED_OUT),
}
"""Two are told when it is asked, one is about no request at all (`tests/usecases/test_usecases.py`), two are told to
who wants to see something (`tests/slack/test_grid_and_shared_channels.py`), one is about texts that are changed
(`tests/domain/test_edits_and_choices.py`), and the others are found before the attempt
(`tests/bot/test_passkeys.py`, `tests/pages`)."""
OUTCOMES = {"approved", "rejected", "answered", "edited"}


def test_rules_agree_with_every_line_of_the_tables() -> None:
    """R3, R7, R9–R12, R17, R20, R24, R25: counted, or refused with a reason that is on record, and nothing changed."""
    assert {str(row): answer for row in ROWS if (answer := answer_to(row)) != row.answer} == {}


def answer_to(row: Row) -> str:
    """What the rules say to a line, in the words of the tables."""
    there = scene(row)
    if row.does == "revoke":
        refusal = standing_permissions.why_not_revoke(permission(BOB), actor(row), there.request.rules, admins(row))
        return refusal.name.lower() if refusal else "revoked"
    if row.does == "allowed it":
        step = allow(there.request, permission(actor(row).user), actor(row), TEAM, there.now)
        return str(step.request.status) if step.changes else "people are asked"
    again = row.does.endswith(AGAIN)
    does = row.does.removesuffix(AGAIN)
    step = tried(there.request, actor(row), does, there.now, "before" if again else "now", voters(row))
    if step.refusal is not None:
        assert step.request == there.request, row
        (event,) = step.events
        assert (event.type, event.data["refusal"]) == (EventType.ATTEMPT_REFUSED, step.refusal.name.lower()), row
    return outcome(does, there, step, again)


def outcome(does: str, there: Scene, step: Step, again: bool) -> str:
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


def test_tables_cover_every_refusal_and_case() -> None:
    """R7, R25: each reason that a click can meet is met here."""
    assert len(ROWS) >= 200
    assert len({(row.who, row.stands_for, row.request, row.before, row.does) for row in ROWS}) == len(ROWS), "twice"
    answers = {row.answer for row in ROWS}
    assert {r.name.lower() for r in Refusal if r not in TOLD_OTHERWISE} <= answers
    assert answers >= OUTCOMES | {"vote"}
    assert set(DOES) <= {row.does for row in ROWS}
    befores = " ".join(row.before for row in ROWS)
    assert [word for word in DID if word not in befores] == []
