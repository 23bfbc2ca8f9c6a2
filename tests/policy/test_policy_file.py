"""`approvals.yaml`: read whole, or refused with every problem and its line."""

from datetime import timedelta
from pathlib import Path

import pytest

from countersign.domain.actions import Action
from countersign.domain.channel_settings import OnTimeout, Risk
from countersign.domain.errors import WrongSettings
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import Reviewers
from countersign.policy import file

GOOD = """\
version: 1
risks: {refund: medium, "drop_*": high}
rules:
  - name: small refunds
    team: support
    tool: refund
    if: amount <= 20
    then: allow
  - name: big refunds
    tool: refund
    if: amount > 500
    then: ask
    reviewers: [U0BOB, S0FINANCE, members]
    quorum: 2
    own_requests: false
    timeout: 4h
    on_timeout: reject
    send_to: C0MONEY
  - name: never drop
    tool: "drop_*"
    then: deny
    why: Nobody drops tables by hand.
"""


def test_policy_keeps_the_line_of_each_rule() -> None:
    """And everything else that the file says."""
    book = file.understand(GOOD)
    assert [(c.name, c.then, c.line) for c in book.clauses] == [
        ("small refunds", Action.ALLOW, 4),
        ("big refunds", Action.ASK, 9),
        ("never drop", Action.DENY, 19),
    ]
    terms = book.clauses[1].terms
    assert terms.reviewers == Reviewers(frozenset({UserId("U0BOB")}), frozenset({GroupId("S0FINANCE")}), members=True)
    assert (terms.quorum, terms.own_requests, terms.timeout) == (2, False, timedelta(hours=4))
    assert (terms.on_timeout, terms.approvals_channel) == (OnTimeout.REJECT, ChannelId("C0MONEY"))
    assert book.risk_of("drop_table") is Risk.HIGH


BAD = """\
version: 1
risks: {refund: enormous}
rules:
  - name: one
    then: permit
  - name: two
    tool: refund
    if: amount >
    then: ask
    timeout: soon
    reviewers: ["@bob"]
  - name: three
    then: allow
    tols: refund
  - then: allow
"""


def test_all_policy_problems_are_reported_with_their_lines() -> None:
    """Together, in one error."""
    with pytest.raises(WrongSettings) as wrong:
        file.understand(BAD)
    lines = [problem.split(":")[0] for problem in wrong.value.problems]
    assert lines == ["line 2", "line 5", "line 8", "line 10", "line 11", "line 14", "line 15"]
    told = str(wrong.value)
    for part in (
        "“amount >” is not a condition",
        "“soon” is not a duration",
        "there is no setting “tols”",
        "“name” is missing",
    ):
        assert part in told


def policy(*rules: str) -> str:
    return "version: 1\nrules:\n" + "".join(f"  - {{{rule}}}\n" for rule in rules)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: this is not a policy"),
        ("- a", "line 1: this is not a policy"),
        ("version: 2", "line 1: version"),
        ("version: 1\n  rules: {", "line 2: this is not YAML"),
        ("version: 1\nrules: &a [*a]", "this is not YAML (RecursionError)"),
        ("version: 1\nrules: [{name: 2024-99-99, then: allow}]", "this is not YAML (ValueError)"),
        ("version: 1\nrules: []\nrules: []", "line 3: “rules” stands here twice"),
        (
            policy("name: a, then: allow, tool: x", "name: b, then: ask, tool: x"),
            "line 4: “b” says ask of the same actions",
        ),
        (policy("name: a, then: allow", "name: a, then: allow, tool: x"), "another rule is called “a” too"),
        (policy("name: a, then: allow, quorum: 2"), "asks nobody, so quorum would mean nothing"),
        (policy("name: a, then: ask, quorum: 2, reviewers: [U0BOB]"), "needs 2 approvals, but only 1 may approve"),
        (policy("name: a, then: ask, reviewers: []"), "reviewers"),
        (policy("name: a, then: ask, reviewers: [everybody]"), "reviewers"),
        (policy("name: a, then: ask, quorum: 0"), "quorum"),
        (policy("name: a, then: allow, if: "), "line 3: rules.if"),
    ],
)
def test_meaningless_policy_is_refused(text: str, problem: str) -> None:
    with pytest.raises(WrongSettings) as wrong:
        file.understand(text)
    assert problem in str(wrong.value)


def test_missing_or_binary_policy_file_is_refused_by_name(tmp_path: Path) -> None:
    """So is a version that is not known."""
    with pytest.raises(WrongSettings, match=r"nowhere.yaml: the policy cannot be read: there is no such file"):
        file.read(tmp_path / "nowhere.yaml")
    (tmp_path / "a.yaml").write_bytes(b"version: \xff")
    with pytest.raises(WrongSettings, match=r"not UTF-8"):
        file.read(tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("version: 3")
    with pytest.raises(WrongSettings, match=r"a\.yaml, line 1: version"):
        file.read(tmp_path / "a.yaml")


def test_rule_may_set_reminders_and_escalation() -> None:
    """A rule may also turn them off."""
    text = """\
version: 1
rules:
  - name: slow
    then: ask
    timeout: 4h
    remind: 20m
    escalate:
      - {after: 1h, reviewers: [S0LEADS], send_to: C0LEADS}
      - {after: 2h, reviewers: [U0BOSS]}
  - name: quick
    tool: refund
    then: ask
    remind: "off"
    escalate: []
"""
    slow, quick = (clause.terms for clause in file.understand(text).clauses)
    assert slow.remind_after == timedelta(minutes=20)
    assert slow.escalation is not None
    assert [(step.after, step.channel) for step in slow.escalation] == [
        (timedelta(hours=1), ChannelId("C0LEADS")),
        (timedelta(hours=2), None),
    ]
    assert (quick.remind_after, quick.escalation) == (timedelta(0), ())


def test_circular_or_late_escalation_is_refused_with_its_line() -> None:
    """R10"""
    text = """\
version: 1
rules:
  - name: circle
    then: ask
    reviewers: [U0BOB]
    timeout: 1h
    escalate:
      - {after: 10m, reviewers: [U0BOB]}
      - {after: 5m, reviewers: [U0CAROL]}
      - {after: 3h, reviewers: [U0DAVE]}
  - name: idle
    tool: refund
    then: deny
    remind: soon
"""
    with pytest.raises(WrongSettings) as wrong:
        file.understand(text.replace("    remind: soon\n", "    remind: 5m\n"))
    problems = "\n".join(wrong.value.problems)
    for sentence in ("line 3", "circle", "later than", "never happen", "asks nobody, so remind would mean nothing"):
        assert sentence in problems, problems
    with pytest.raises(WrongSettings, match=r"line 14: rules\.remind"):
        file.understand(text)
