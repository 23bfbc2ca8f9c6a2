"""Who stands in for somebody who is away: no chains, no way round a rule, each person and each seat once."""

from datetime import timedelta

import pytest

from countersign.domain import delegation
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.decision_attempts import decide
from countersign.domain.delegation import Absences
from countersign.domain.errors import plain_text
from countersign.domain.events import EventType
from countersign.domain.ids import UserId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import How, Status, Verb
from tests.sample_requests import ALICE, BOB, CAROL, DAVE, HERE, NOW, attempt, later, request

ERIN = UserId("U0ERIN")
BOB_AWAY = Actor(HERE, BOB)


def test_stand_in_decides_and_the_absent_reviewer_is_logged() -> None:
    """R9, R25"""
    asked = request()
    assert decide(asked, attempt(asked, DAVE), NOW).refusal is Refusal.NOT_A_REVIEWER
    step = decide(asked, attempt(asked, DAVE, stands_for=(BOB_AWAY,)), NOW)
    assert step.request.decision is not None
    assert (step.request.decision.by, step.request.decision.instead_of) == ((DAVE,), (BOB,))
    assert step.events[-1].data["instead_of"] == BOB
    no = decide(asked, attempt(asked, DAVE, Verb.REJECT, stands_for=(BOB_AWAY,)), NOW).request
    assert no.decision is not None and no.decision.instead_of == (BOB,)


def test_standing_in_cannot_evade_the_own_requests_rule() -> None:
    """R10: neither the requester for a reviewer, nor somebody for a requester who reviews."""
    asked = request()
    assert decide(asked, attempt(asked, ALICE, stands_for=(BOB_AWAY,)), NOW).refusal is Refusal.OWN_REQUEST
    both = request(reviewers=Reviewers(frozenset({ALICE, BOB})))
    alice = Actor(HERE, ALICE)
    assert decide(both, attempt(both, DAVE, stands_for=(alice,)), NOW).refusal is Refusal.NOT_A_REVIEWER
    free = request(reviewers=Reviewers(frozenset({ALICE, BOB})), own_requests=True)
    assert decide(free, attempt(free, DAVE, stands_for=(alice,)), NOW).request.status is Status.APPROVED


def test_break_glass_decides_in_nobodys_place() -> None:
    """R10, R25: alone, as the one who asked, even while they stand in for a reviewer."""
    asked = request(break_glass=True)
    alone = attempt(asked, ALICE, words="The shop is down.", break_glass=True, stands_for=(BOB_AWAY,))
    done = decide(asked, alone, NOW).request
    assert done.decision is not None and done.decision.how is How.BREAK_GLASS
    assert (done.decision.by, done.decision.instead_of) == ((ALICE,), ())
    assert [vote.seat for vote in done.votes] == [None]
    stand_in = attempt(asked, DAVE, words="The shop is down.", break_glass=True, stands_for=(Actor(HERE, ALICE),))
    assert decide(asked, stand_in, NOW).refusal is Refusal.NOT_THE_REQUESTER


def test_quorum_counts_each_person_and_seat_once() -> None:
    """R11: one reviewer who goes away, or comes back, does not make two of themselves."""
    asked = request(quorum=2)
    one = decide(asked, attempt(asked, DAVE, stands_for=(BOB_AWAY, Actor(HERE, CAROL))), NOW)
    assert (one.events[0].type, one.events[0].data["instead_of"]) == (EventType.VOTE_CAST, BOB)
    again = attempt(asked, DAVE, name="again", stands_for=(Actor(HERE, CAROL),))
    assert decide(one.request, again, NOW).refusal is Refusal.VOTED_ALREADY
    assert decide(one.request, attempt(asked, BOB), NOW).refusal is Refusal.SEAT_TAKEN
    assert decide(one.request, attempt(asked, CAROL), NOW).request.status is Status.APPROVED
    first = decide(asked, attempt(asked, BOB), NOW).request
    assert decide(first, attempt(asked, DAVE, stands_for=(BOB_AWAY,)), NOW).refusal is Refusal.SEAT_TAKEN
    done = decide(first, attempt(asked, DAVE, stands_for=(BOB_AWAY, Actor(HERE, CAROL))), NOW).request
    assert done.decision is not None
    assert (done.decision.by, done.decision.instead_of) == ((BOB, DAVE), (CAROL,))


def test_reviewer_who_stands_in_votes_from_their_own_seat() -> None:
    """R11"""
    asked = request(quorum=2)
    one = decide(asked, attempt(asked, CAROL, stands_for=(BOB_AWAY,)), NOW).request
    assert [(vote.user, vote.seat) for vote in one.votes] == [(CAROL, None)]
    assert decide(one, attempt(asked, BOB), NOW).request.status is Status.APPROVED


def test_stand_in_acts_only_for_people_who_named_them() -> None:
    """R9: no chains, and only as long as said."""
    known, event = delegation.leave(Absences(), Actor(HERE, BOB), Actor(HERE, CAROL), later(days=2), NOW)
    known, _ = delegation.leave(known, Actor(HERE, CAROL), Actor(HERE, DAVE), later(days=5), NOW)
    assert (event.type, event.user, event.data["stand_in"]) == (EventType.STAND_IN_NAMED, BOB, CAROL)
    assert known.behind(HERE, CAROL, NOW) == (BOB,)
    assert known.behind(HERE, DAVE, NOW) == (CAROL,)
    assert known.behind(HERE, CAROL, later(days=2)) == ()
    known, _ = delegation.leave(known, Actor(HERE, BOB), Actor(HERE, ERIN), later(days=1), NOW)
    assert (known.behind(HERE, CAROL, NOW), known.behind(HERE, ERIN, NOW)) == ((), (BOB,))
    back = delegation.come_back(known, Actor(HERE, BOB), NOW)
    assert back is not None and back[0].of(HERE, BOB, NOW) is None
    assert back[1].type is EventType.STAND_IN_ENDED
    assert delegation.come_back(back[0], Actor(HERE, BOB), NOW) is None
    assert len(known.without(HERE, ERIN, later(days=3)).people) == 1


@pytest.mark.parametrize(
    ("stand_in", "span", "sentence"),
    [
        (Actor(HERE, BOB), timedelta(days=1), "be your own stand-in"),
        (Actor(HERE, DAVE, is_guest=True), timedelta(days=1), "can't decide here"),
        (Actor(HERE, DAVE, is_bot=True), timedelta(days=1), "can't decide here"),
        (Actor(HERE, DAVE, checked=False), timedelta(days=1), "Try again"),
        (Actor(HERE, DAVE), timedelta(0), "already passed"),
        (Actor(HERE, DAVE), timedelta(days=91), "90 days"),
    ],
)
def test_stand_in_who_could_not_decide_is_refused(stand_in: Actor, span: timedelta, sentence: str) -> None:
    """R10"""
    assert sentence in plain_text(delegation.why_not(Actor(HERE, BOB), stand_in, NOW + span, NOW) or ())
    assert delegation.why_not(Actor(HERE, BOB), Actor(HERE, DAVE), later(days=1), NOW) is None
