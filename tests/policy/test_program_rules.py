"""Rules about programs: what a program says of itself widens none of them (R43)."""

from dataclasses import replace
from pathlib import Path

import pytest

from countersign.domain.actions import Action
from countersign.domain.channel_settings import ChannelSettings
from countersign.domain.errors import WrongSettings
from countersign.domain.people import Reviewers
from countersign.policy import cli, file
from countersign.policy.evaluation import Clause, Rulebook, WantedAction, judge
from countersign.policy.simulation import Recorded, ReplayOutcome, replay
from countersign.policy.suggestion import Suggestions, as_rule
from tests.sample_requests import CAROL, DAVE, GENERAL, NOW, rules

BY_TEAM = Clause("team", Action.ALLOW, 1, team="clerk", tool="refund")
BY_AGENT = Clause("agent", Action.ALLOW, 2, agent="clerk", tool="refund")
BY_KEY = Clause("key", Action.ALLOW, 3, program="ci", tool="refund")
CAROL_ASKED = ChannelSettings(reviewers=Reviewers(frozenset({CAROL})))
DAVE_ASKED = ChannelSettings(reviewers=Reviewers(frozenset({DAVE})))


def refund(program: str, agent: str = "clerk") -> WantedAction:
    return WantedAction(program or "clerk", agent, "refund", {}, GENERAL, program)


@pytest.mark.parametrize(
    ("clauses", "action", "then"),
    [
        ((BY_TEAM,), refund(""), Action.ALLOW),
        ((BY_TEAM,), refund("clerk"), Action.ASK),
        ((BY_AGENT,), refund(""), Action.ALLOW),
        ((BY_AGENT,), refund("ci"), Action.ASK),
        ((BY_KEY,), refund("ci"), Action.ALLOW),
        ((BY_KEY,), refund("CI"), Action.ASK),
        ((BY_KEY,), replace(refund(""), team="ci"), Action.ASK),
        ((replace(BY_KEY, program="*"),), refund("other"), Action.ALLOW),
        ((replace(BY_KEY, program="*"),), refund(""), Action.ASK),
        ((replace(BY_AGENT, then=Action.DENY), BY_KEY), refund("ci"), Action.DENY),
        ((replace(BY_AGENT, then=Action.ASK), BY_KEY), refund("ci"), Action.ASK),
    ],
)
def test_allow_rules_match_programs_by_key_only(
    clauses: tuple[Clause, ...], action: WantedAction, then: Action
) -> None:
    """R43"""
    assert judge(Rulebook(clauses), action).then is then


def test_claims_of_programs_never_choose_the_reviewers() -> None:
    """R43: an `ask` rule that a program fits by its word leaves the terms to rules that fit by its key."""
    by_claim = Clause("claimed", Action.ASK, 1, agent="clerk", terms=replace(DAVE_ASKED, quorum=9))
    for_all = Clause("all", Action.ASK, 2, terms=CAROL_ASKED)
    said = judge(Rulebook((by_claim, for_all)), refund("ci"))
    assert (said.clause, said.terms) == ("all", CAROL_ASKED)
    alone = judge(Rulebook((by_claim,)), refund("ci"))
    assert (alone.then, alone.terms) == (Action.ASK, ChannelSettings())
    assert judge(Rulebook((by_claim,)), refund("")).terms.reviewers == DAVE_ASKED.reviewers


@pytest.mark.parametrize("claim", ["team: support", "agent: clerk"])
def test_rule_for_a_program_names_no_team_or_agent(claim: str) -> None:
    with pytest.raises(WrongSettings, match="line 2: “ci” is for programs by their key"):
        file.understand(f"version: 1\nrules: [{{name: ci, then: allow, program: ci, {claim}}}]")


def test_replay_judges_programs_by_their_key() -> None:
    """R43"""
    was = Recorded(
        1, NOW, Action.ASK, team="ci", agent="clerk", tool="refund", arguments={}, channel=GENERAL, team_says=(None,),
        rules=rules(), settings=rules(), program="ci",
    )  # fmt: skip
    assert replay(Rulebook((BY_AGENT,)), was).outcome is ReplayOutcome.SAME
    assert replay(Rulebook((BY_KEY,)), was).outcome is ReplayOutcome.ASKED_PASSES
    suggestions = Suggestions(Rulebook())
    for number in range(5):
        suggestions.asked(replace(was, request=str(number)))
        suggestions.decided(str(number), approved=True)
    (made,) = suggestions.made(5)
    assert (made.clause.program, made.clause.team, "team" in as_rule(made.clause)) == ("ci", "*", False)


def test_explain_tells_a_program_from_a_team(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "approvals.yaml"
    path.write_text("version: 1\nrules: [{name: small, then: allow, program: ci}]")
    assert cli.main(["explain", str(path), "--program", "ci", "--tool", "refund"]) == 0
    assert capsys.readouterr().out.startswith("allow: “small”")
    assert cli.main(["explain", str(path), "--team", "ci", "--tool", "refund"]) == 0
    assert capsys.readouterr().out.startswith("ask: no rule applies")
    assert cli.main(["explain", str(path), "--team", "ci", "--program", "ci"]) == 2
