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
def test_whatever_is_asked_it_waits_for_those_who_may_decide(asked: Question, quorum: int) -> None:
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
def test_it_waits_for_no_account_that_may_not_decide(who: Actor) -> None:
    """R9: a failed look-up lists nothing."""
    assert not waits_for(request(), who, NOW)


def test_a_group_counts_as_long_as_slack_says_who_is_in_it() -> None:
    """R9"""
    waits = request(reviewers=Reviewers(groups=frozenset({LEADS})))
    assert waits_for(waits, somebody(DAVE, groups=frozenset({LEADS})), NOW)
    assert not waits_for(waits, somebody(DAVE), NOW)
    assert not waits_for(waits, somebody(DAVE, groups=None), NOW)


def test_own_requests_wait_for_their_requester_only_where_the_channel_says_so() -> None:
    """R10"""
    named = Reviewers(frozenset({ALICE, BOB}))
    assert not waits_for(request(reviewers=named), somebody(ALICE), NOW)
    assert waits_for(request(reviewers=named, own_requests=True), somebody(ALICE), NOW)


@pytest.mark.parametrize("verb", [Verb.APPROVE, Verb.CHOOSE])
def test_who_has_voted_is_not_waited_for(verb: Verb) -> None:
    """R11"""
    asked = choice("a", "b") if verb is Verb.CHOOSE else question()
    waits = request(asked=asked, quorum=2)
    voted = decide(waits, attempt(waits, BOB, verb, chosen=("a",) if verb is Verb.CHOOSE else ()), NOW).request
    assert voted.votes
    assert [waits_for(voted, somebody(user), NOW) for user in (BOB, CAROL)] == [False, True]


def test_after_a_tie_it_waits_for_all_who_chose_different_things() -> None:
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


def test_what_is_settled_or_out_of_time_waits_for_nobody() -> None:
    """R17"""
    waits = request()
    assert not waits_for(decide(waits, attempt(waits), NOW).request, somebody(CAROL), NOW)
    assert not waits_for(withdraw(waits, NOW, "the run ended").request, somebody(), NOW)
    assert waits_for(waits, somebody(), later(minutes=59))
    assert not waits_for(waits, somebody(), later(hours=1))


def test_it_does_not_wait_for_a_stand_in_once_the_one_they_stand_for_has_answered() -> None:
    """R11: each place counts once; what the list shows would be refused."""
    waits = request(quorum=2)
    stand_in = somebody(DAVE, stands_for=(somebody(BOB),))
    assert waits_for(waits, stand_in, NOW)
    voted = decide(waits, attempt(waits, BOB), NOW).request
    assert not waits_for(voted, stand_in, NOW)
    assert decide(voted, replace(attempt(voted, DAVE), actor=stand_in), NOW).refusal is Refusal.SEAT_TAKEN
