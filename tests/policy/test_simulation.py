"""What another policy would have done, as far as the record tells; never more than that."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from countersign.domain.actions import Action
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.events import read_arguments
from countersign.domain.json_comparison import Unrecorded
from countersign.policy.evaluation import Rulebook
from countersign.policy.file import understand
from countersign.policy.simulation import Recorded, ReplayOutcome, replay
from tests.sample_requests import ALICE, BOB, GENERAL, NOW, rules


def policy(*written: str, risks: str = "{}") -> Rulebook:
    lines = [f"  - {{name: rule {number}, {rule}}}" for number, rule in enumerate(written, 1)]
    return understand("\n".join(["version: 1", f"risks: {risks}", "rules:" if lines else "rules: []", *lines]))


def action(**changes: Any) -> Recorded:
    """Nobody's code says anything of a refund; people were asked under the channel's own rules."""
    asked = Recorded(
        n=1,
        at=NOW,
        then=Action.ASK,
        team="support",
        agent="clerk",
        tool="refund",
        arguments={
            "amount": 20,
            "card": Unrecorded(),
            "tags": ["new", Unrecorded()],
            "old": ["new", "x"],
            "to": {"iban": Unrecorded()},
        },
        channel=GENERAL,
        requester=ALICE,
        team_says=(None,),
        rules=rules(),
        settings=rules(),
    )
    return replace(asked, **changes)


PASSED: dict[str, Any] = {"then": Action.ALLOW, "rules": None, "settings": None}
REFUSED = {"then": Action.DENY, "rules": None, "settings": None}


@pytest.mark.parametrize(
    ("was", "rule", "outcome", "how"),
    [
        ({}, "then: allow", ReplayOutcome.ASKED_PASSES, ""),
        ({}, "then: deny, why: Never.", ReplayOutcome.ASKED_REFUSED, "Never."),
        ({}, "then: ask", ReplayOutcome.SAME, ""),
        ({}, "then: ask, quorum: 2", ReplayOutcome.OTHERWISE, "quorum: 1 → 2"),
        ({}, "then: ask, timeout: 2h", ReplayOutcome.OTHERWISE, "timeout: 1 h → 2 h"),
        ({}, "then: ask, reviewers: [U0DAVE]", ReplayOutcome.OTHERWISE, "reviewers: U0BOB, U0CAROL → U0DAVE"),
        ({}, "then: ask, reviewers: [U0ALICE]", ReplayOutcome.ASKED_REFUSED, "nobody could decide on its requests: "),
        (PASSED, "then: allow", ReplayOutcome.SAME, ""),
        (PASSED, "then: ask, quorum: 2, timeout: 30m", ReplayOutcome.PASSED_ASKS, "quorum: 2; timeout: 30 min"),
        (PASSED, "then: deny", ReplayOutcome.PASSED_REFUSED, ""),
        (REFUSED, "then: deny", ReplayOutcome.SAME, ""),
        (REFUSED, "then: ask", ReplayOutcome.REFUSED_ASKS, ""),
        (REFUSED, "then: allow", ReplayOutcome.REFUSED_PASSES, ""),
        ({"team_says": (Action.ASK,)}, "then: allow", ReplayOutcome.SAME, ""),
    ],
)
def test_replay_compares_the_past_with_the_policy(
    was: dict[str, Any], rule: str, outcome: ReplayOutcome, how: str
) -> None:
    """S10: whom it asks, how many and how long are part of that."""
    found = replay(policy(rule), action(**was))
    assert found.outcome is outcome
    assert found.how.startswith(how)
    assert bool(found.how) == bool(how)


def test_old_policy_terms_are_not_taken_for_channel_settings() -> None:
    """Only what the new policy changes is reported."""
    was = action(rules=rules(quorum=2, timeout=timedelta(minutes=5), clause="old"), settings=rules())
    found = replay(policy("then: ask, timeout: 30m"), was)
    assert (found.outcome, found.how) == (ReplayOutcome.OTHERWISE, "timeout: 5 min → 30 min; quorum: 2 → 1")
    approving = rules(on_timeout=OnTimeout.APPROVE)
    found = replay(policy("then: ask", risks="{refund: high}"), action(rules=approving, settings=approving))
    assert found.how == "on timeout: approve → reject; risk: low → high"


@pytest.mark.parametrize(
    "looks",
    [
        "card == 'x'",
        "not card == 'x'",
        "card like '4*'",
        "len(card) > 3",
        "card.number == 1",
        "tags contains 'old'",
        "'old' in tags",
        "tags == old",
        "tags[1] == 'x'",
        "tags contains true",
        "not true in tags",
        "to.iban like 'DE*'",
        "amount > 10 and card == 'x'",
    ],
)
@pytest.mark.parametrize("then", ["allow", "deny"])
def test_missing_logged_value_leaves_the_replay_undecided(looks: str, then: str) -> None:
    """Neither that the condition held nor that it did not."""
    found = replay(policy(f'if: "{looks}", then: {then}'), action())
    assert (found.outcome, found.then) == (ReplayOutcome.UNTOLD, None)
    assert "rule “rule 1”: the record does not hold" in found.how


@pytest.mark.parametrize("looks", ["amount > 500 and card == 'x'", "tags contains 'old' and amount > 500"])
def test_condition_decidable_without_the_missing_value_counts(looks: str) -> None:
    """A value is missing only to conditions that look at it."""
    found = replay(policy(f'if: "{looks}", then: deny'), action())
    assert found.outcome is ReplayOutcome.SAME
    assert replay(policy("if: \"tags contains 'new'\", then: allow"), action()).outcome is ReplayOutcome.ASKED_PASSES
    assert replay(policy('if: "len(tags) == 2", then: allow'), action()).outcome is ReplayOutcome.ASKED_PASSES


def test_irrelevant_doubt_does_not_leave_the_replay_undecided() -> None:
    """A stricter rule counts whether the doubtful one fits or not."""
    found = replay(policy("if: \"card == 'x'\", then: allow", "then: deny"), action())
    assert (found.outcome, found.clause) == (ReplayOutcome.ASKED_REFUSED, "rule 2")
    found = replay(policy("if: \"card == 'x'\", then: deny", "then: deny, tool: refund"), action())
    assert found.outcome is ReplayOutcome.ASKED_REFUSED


def test_truly_absent_field_is_judged_as_absent() -> None:
    """It lets nothing pass, and counts for a rule that refuses."""
    assert replay(policy('if: "missing > 3", then: allow'), action()).outcome is ReplayOutcome.SAME
    assert replay(policy('if: "missing > 3", then: deny'), action()).outcome is ReplayOutcome.ASKED_REFUSED


def test_old_entry_is_judged_as_far_as_possible() -> None:
    """Before teams, channels and the team's own wish were on record."""
    old = action(team=None, channel=None, team_says=(None, *Action), settings=None)
    assert replay(policy("then: deny"), old).outcome is ReplayOutcome.ASKED_REFUSED
    assert "what the team's own code wanted" in replay(policy("then: allow"), old).how
    team = replay(policy("team: other, then: deny"), replace(old, team_says=(None,)))
    assert (team.outcome, team.how) == (ReplayOutcome.UNTOLD, "rule “rule 1”: the record does not name the team")
    room = replay(policy("channels: [C0OTHER], then: deny"), replace(old, team_says=(None,)))
    assert room.how == "rule “rule 1”: the record does not name the channel"
    let_pass = replace(old, **PASSED, team_says=(Action.ALLOW,))
    assert replay(policy("team: other, tool: mail, then: deny"), let_pass).outcome is ReplayOutcome.SAME
    both = replay(policy("team: other, channels: [C0OTHER], then: deny"), let_pass)
    assert (both.outcome, both.how) == (
        ReplayOutcome.UNTOLD,
        "rule “rule 1”: the record does not name the team or the channel",
    )
    assert replay(policy("then: ask"), old).outcome is ReplayOutcome.UNTOLD
    assert replay(policy("then: deny"), replace(old, gap="It is gone.")).how == "It is gone."


@pytest.mark.parametrize("looks", ["amount > 5", "to.iban == 'x'"])
def test_truncated_arguments_are_treated_as_unknown(looks: str) -> None:
    cut = action(arguments=read_arguments('{"amount": 20, "text": "lo… (9,000 characters)'))
    assert replay(policy(f'if: "{looks}", then: allow'), cut).outcome is ReplayOutcome.UNTOLD
    assert replay(policy('if: "true", then: allow'), cut).outcome is ReplayOutcome.ASKED_PASSES


def test_secret_within_a_text_hides_the_whole_text() -> None:
    """R15: nothing is concluded from the rest of the text."""
    read = read_arguments('{"amount": 20, "note": "the key is ⟦hidden: 40 characters⟧, keep it"}')
    assert not isinstance(read, Unrecorded)
    assert read["amount"] == 20
    assert isinstance(read["note"], Unrecorded)


def test_replay_counts_the_requester_only_where_rules_allow() -> None:
    """R10"""
    only = rules(own_requests=True)
    found = replay(policy("then: ask, reviewers: [U0BOB]"), action(requester=BOB, settings=only))
    assert found.outcome is ReplayOutcome.OTHERWISE
    found = replay(policy("then: ask, reviewers: [U0BOB], own_requests: false"), action(requester=BOB, settings=only))
    assert found.outcome is ReplayOutcome.ASKED_REFUSED
