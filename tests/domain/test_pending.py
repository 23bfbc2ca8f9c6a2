"""Which requests wait for whom: judged by the rule that judges the answer."""

from dataclasses import replace
from typing import Any

import pytest

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.decision_attempts import decide, waits_for
from countersign.domain.ids import UserId, WorkspaceId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.request_endings import withdraw
from countersign.domain.requests import Question, Verb
from tests.sample_requests import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    HERE,
    LEADS,
    NOW,
    attempt,
    call,
    choice,
    later,
    question,
    request,
)


def somebody(user: UserId = BOB, **changes: Any) -> Actor:
    return Actor(HERE, user, **changes)


@pytest.mark.parametrize("asked", [question(), question(offers=(Verb.RESPOND, Verb.REJECT)), call(), choice("a", "b")])
@pytest.mark.parametrize("quorum", [1, 2])
def test_request_waits_for_everybody_who_may_decide(asked: Question, quorum: int) -> None:
    """R9"""
    waits = request(asked=asked, quorum=quorum)
    assert [waits_for(waits, somebody(user), NOW) for user in (BOB, CAROL, DAVE, ALICE)] == [True, True, False, False]


@pytest.mark.parametrize(
    "who",
    [
        Actor(WorkspaceId("T0OTHER"), BOB),
        somebody(checked=False),
        somebody(is_bot=True),
        somebody(is_guest=True),
        somebody(is_deactivated=True),
        somebody(is_stranger=True),
    ],
)
def test_request_waits_for_no_unverified_or_barred_account(who: Actor) -> None:
    """R9: a failed look-up lists nothing."""
    assert not waits_for(request(), who, NOW)


def test_group_counts_while_slack_confirms_its_members() -> None:
    """R9"""
    waits = request(reviewers=Reviewers(groups=frozenset({LEADS})))
    assert waits_for(waits, somebody(DAVE, groups=frozenset({LEADS})), NOW)
    assert not waits_for(waits, somebody(DAVE), NOW)
    assert not waits_for(waits, somebody(DAVE, groups=None), NOW)


def test_own_request_waits_for_its_requester_where_allowed() -> None:
    """R10"""
    named = Reviewers(frozenset({ALICE, BOB}))
    assert not waits_for(request(reviewers=named), somebody(ALICE), NOW)
    assert waits_for(request(reviewers=named, own_requests=True), somebody(ALICE), NOW)


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.CHOOSE])
def test_reviewer_who_voted_is_not_waited_for(verb: Verb) -> None:
    """R11"""
    asked = choice("a", "b") if verb is Verb.CHOOSE else question()
    waits = request(asked=asked, quorum=2)
    voted = decide(waits, attempt(waits, BOB, verb, chosen=("a",) if verb is Verb.CHOOSE else ()), NOW).request
    assert voted.votes
    assert [waits_for(voted, somebody(user), NOW) for user in (BOB, CAROL)] == [False, True]


def test_tied_choice_waits_for_all_its_voters() -> None:
    """R11: each of them may choose anew, and nobody else could end it."""
    waits = request(asked=choice("eu", "us"), quorum=2)
    stand_in = somebody(DAVE, stands_for=(somebody(BOB),))
    one = decide(waits, attempt(waits, BOB, Verb.CHOOSE, chosen=("eu",)), NOW).request
    assert not waits_for(one, somebody(BOB), NOW)
    tied = decide(one, attempt(one, CAROL, Verb.CHOOSE, chosen=("us",)), NOW).request
    assert [waits_for(tied, somebody(user), NOW) for user in (BOB, CAROL, ALICE)] == [True, True, False]
    assert not waits_for(tied, stand_in, NOW)  # the place that they would decide from has chosen
    done = decide(tied, attempt(tied, BOB, Verb.CHOOSE, "anew", chosen=("us",)), NOW).request
    assert done.decision is not None
    assert not waits_for(done, somebody(BOB), NOW)


def test_settled_or_overdue_request_waits_for_nobody() -> None:
    """R17"""
    waits = request()
    assert not waits_for(decide(waits, attempt(waits), NOW).request, somebody(CAROL), NOW)
    assert not waits_for(withdraw(waits, NOW, "the run ended").request, somebody(), NOW)
    assert waits_for(waits, somebody(), later(minutes=59))
    assert not waits_for(waits, somebody(), later(hours=1))


def test_stand_in_is_not_awaited_after_the_absent_voted() -> None:
    """R11: each place counts once; what the list shows would be refused."""
    waits = request(quorum=2)
    stand_in = somebody(DAVE, stands_for=(somebody(BOB),))
    assert waits_for(waits, stand_in, NOW)
    voted = decide(waits, attempt(waits, BOB), NOW).request
    assert not waits_for(voted, stand_in, NOW)
    assert decide(voted, replace(attempt(voted, DAVE), actor=stand_in), NOW).refusal is Refusal.SEAT_TAKEN
