"""What a workspace's policy says of an action."""

from dataclasses import replace
from datetime import timedelta

import pytest

from countersign.domain.actions import Action
from countersign.domain.channel_settings import ChannelSettings, Escalation, OnTimeout, Risk
from countersign.domain.ids import ChannelId, GroupId
from countersign.domain.people import Reviewers
from countersign.policy.evaluation import Clause, Rulebook, WantedAction, apply, judge
from tests.sample_requests import CAROL, DAVE, GENERAL, rules

SMALL = Clause("small refunds", Action.ALLOW, 3, tool="refund", condition="amount <= 20")
BIG = Clause("big refunds", Action.ASK, 7, tool="refund", condition="amount > 500", terms=ChannelSettings(quorum=2))
FROZEN = Clause("no refunds in the sandbox", Action.DENY, 12, team="sandbox*", tool="refund", why="Use staging.")
BOOK = Rulebook((SMALL, BIG, FROZEN), (("refund", Risk.MEDIUM), ("drop_*", Risk.HIGH)))


def refund(amount: object, team: str = "support", tool: str = "refund") -> WantedAction:
    return WantedAction(team, "clerk", tool, {"amount": amount}, GENERAL)


@pytest.mark.parametrize(
    ("action", "team_says", "then", "clause"),
    [
        (refund(10), None, Action.ALLOW, "small refunds"),
        (refund(100), None, Action.ASK, ""),
        (refund(600), None, Action.ASK, "big refunds"),
        (refund(600), Action.ALLOW, Action.ASK, "big refunds"),
        (refund(100), Action.ALLOW, Action.ALLOW, ""),
        (refund(10), Action.ASK, Action.ASK, ""),
        (refund(10), Action.DENY, Action.DENY, ""),
        (refund(10, team="sandbox-1"), None, Action.DENY, "no refunds in the sandbox"),
        (refund(600, team="sandbox-1"), Action.ALLOW, Action.DENY, "no refunds in the sandbox"),
        (refund(10, tool="ship"), None, Action.ASK, ""),
        (refund("ten"), None, Action.ASK, "big refunds"),
        (refund("10"), None, Action.ASK, "big refunds"),
        (refund(True), None, Action.ASK, "big refunds"),
        (refund(10, tool="Refund"), None, Action.ASK, ""),
        (refund(600, tool="Refund"), Action.ALLOW, Action.ASK, "big refunds"),
        (refund(10, team="SANDBOX-1"), None, Action.DENY, "no refunds in the sandbox"),
    ],
)
def test_strictest_matching_rule_wins_and_default_asks(
    action: WantedAction, team_says: Action | None, then: Action, clause: str
) -> None:
    """Where a condition cannot be judged, people are asked."""
    said = judge(BOOK, action, team_says)
    assert (said.then, said.clause) == (then, clause)


def test_first_of_equally_strict_rules_counts() -> None:
    first = Clause("first", Action.ASK, 1, terms=ChannelSettings(timeout=timedelta(hours=4)))
    second = Clause("second", Action.ASK, 2, terms=ChannelSettings(timeout=timedelta(hours=1)))
    assert judge(Rulebook((first, second)), refund(1)).clause == "first"
    more = Clause("two people", Action.ASK, 3, terms=ChannelSettings(quorum=2))
    assert judge(Rulebook((first, second, more)), refund(1)).clause == "two people"


def test_policy_judgement_explains_every_rule() -> None:
    """Why it counts or does not."""
    trail = judge(BOOK, refund(600)).trail
    assert trail == (
        "line 3, small refunds (allow): not so: amount <= 20",
        "line 7, big refunds (ask): fits",
        "line 12, no refunds in the sandbox (deny): the team is support, not sandbox*",
        "counts: big refunds",
    )
    assert (
        "cannot be judged (there is no “amount”), so it lets nothing pass"
        in judge(BOOK, WantedAction("support", "clerk", "refund", {}, GENERAL)).trail[0]
    )


def test_rule_may_be_limited_to_channels_or_risk() -> None:
    """Only actions there, or of that risk, are judged by it."""
    here = Clause("here", Action.DENY, 1, channels=frozenset({ChannelId("C0OTHER")}))
    risky = Clause("risky", Action.DENY, 2, risk=Risk.HIGH)
    book = Rulebook((here, risky), BOOK.risks)
    assert judge(book, refund(1)).then is Action.ASK
    assert judge(book, refund(1, tool="drop_table")).clause == "risky"
    assert judge(book, refund(1, tool="drop_table")).risk is Risk.HIGH


def test_policy_makes_channel_settings_only_stricter() -> None:
    """R10, R23: but whom it asks and how long they have is the policy's to say."""
    mild = ChannelSettings(
        reviewers=Reviewers(frozenset({CAROL})),
        quorum=1,
        own_requests=True,
        timeout=timedelta(hours=4),
        on_timeout=OnTimeout.APPROVE,
        approvals_channel=ChannelId("C0MONEY"),
    )
    book = Rulebook((Clause("mild", Action.ASK, 1, terms=mild),))
    under = apply(judge(book, refund(1)), rules(quorum=2))
    assert under == rules(
        quorum=2,
        reviewers=Reviewers(frozenset({CAROL})),
        timeout=timedelta(hours=4),
        approvals_channel=ChannelId("C0MONEY"),
        clause="mild",
    )
    strict = Rulebook((Clause("strict", Action.ASK, 1, terms=ChannelSettings(quorum=3, own_requests=False)),))
    under = apply(judge(strict, refund(1)), rules(own_requests=True, on_timeout=OnTimeout.APPROVE))
    assert (under.quorum, under.own_requests, under.on_timeout) == (3, False, OnTimeout.APPROVE)


def test_policy_members_are_those_of_its_own_channel() -> None:
    """R9"""
    finance = ChannelId("C0FINANCE")
    terms = ChannelSettings(reviewers=Reviewers(members=True), approvals_channel=finance)
    book = Rulebook((Clause("money", Action.ASK, 1, terms=terms),))
    assert apply(judge(book, refund(1)), rules()).reviewers == Reviewers(groups=frozenset({GroupId(finance)}))


def test_high_risk_is_never_approved_by_timeout() -> None:
    """R23: whatever the channel says."""
    under = apply(judge(BOOK, refund(1, tool="drop_table")), rules(on_timeout=OnTimeout.APPROVE))
    assert under.on_timeout is OnTimeout.REJECT


def test_rule_with_reviewers_drops_the_channels_escalation() -> None:
    """R9: a policy that names finance is not made milder by a channel that escalates to somebody else."""
    leads = (Escalation(timedelta(minutes=30), Reviewers(frozenset({CAROL}))),)
    channel = rules(escalation=leads, remind_after=timedelta(minutes=5))
    finance = ChannelSettings(reviewers=Reviewers(frozenset({DAVE})))
    named = Rulebook((Clause("finance", Action.ASK, 1, terms=finance),))
    assert apply(judge(named, refund(1)), channel).escalation == ()
    own = replace(finance, escalation=(*leads,), remind_after=timedelta(0))
    told = Rulebook((Clause("finance", Action.ASK, 1, terms=own),))
    assert apply(judge(told, refund(1)), channel).escalation == leads
    assert apply(judge(told, refund(1)), channel).remind_after == timedelta(0)
    silent = Rulebook((Clause("two", Action.ASK, 1, terms=ChannelSettings(quorum=2)),))
    assert apply(judge(silent, refund(1)), channel).escalation == leads
    none = Rulebook((Clause("none", Action.ASK, 1, terms=ChannelSettings(escalation=())),))
    assert apply(judge(none, refund(1)), channel).escalation == ()
