"""Who may decide, in time, and on what."""

from dataclasses import replace
from typing import Any

import pytest

from countersign.domain import decision_attempts, request_endings, requests
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.channel_settings import OnTimeout
from countersign.domain.events import EventType
from countersign.domain.ids import Digest, UserId, WorkspaceId
from countersign.domain.people import Reviewers
from countersign.domain.requests import MOVES, Decision, How, Status, Verb
from tests.sample_requests import (
    ALICE,
    BOB,
    CAROL,
    DAVE,
    HERE,
    LEADS,
    NOW,
    attempt,
    choice,
    later,
    refusal_text,
    request,
)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"user": DAVE}, Refusal.NOT_A_REVIEWER),
        ({"user": ALICE}, Refusal.NOT_A_REVIEWER),
        ({"workspace": WorkspaceId("T0OTHER")}, Refusal.OTHER_WORKSPACE),
        ({"is_stranger": True}, Refusal.OTHER_WORKSPACE),
        ({"is_bot": True}, Refusal.NOT_A_PERSON),
        ({"is_guest": True}, Refusal.GUEST),
        ({"is_deactivated": True}, Refusal.DEACTIVATED),
        ({"checked": False}, Refusal.NOT_CHECKED),
        ({"digest": Digest("0" * 64)}, Refusal.OTHER_CONTENT),
        ({"verb": Verb.EDIT}, Refusal.NOT_OFFERED),
        ({"verb": Verb.EXPIRE}, Refusal.NOT_OFFERED),
        ({"verb": Verb.WITHDRAW}, Refusal.NOT_OFFERED),
        ({"verb": Verb.RESPOND, "words": " \n"}, Refusal.NO_WORDS),
        ({"verb": Verb.RESPOND, "words": "x" * 3001}, Refusal.TOO_LONG),
    ],
)
def test_invalid_attempt_is_refused_logged_and_changes_nothing(changes: dict[str, Any], refusal: Refusal) -> None:
    """R7, R9, R25: by workspace and user id; each refusal is an event for the audit and a sentence for the person."""
    asked = request()
    step = decision_attempts.decide(asked, attempt(asked, **changes), NOW)
    assert (step.refusal, step.request) == (refusal, asked)
    assert [(e.type, e.data["refusal"]) for e in step.events] == [(EventType.ATTEMPT_REFUSED, refusal.name.lower())]
    assert len(refusal_text(refusal, asked)) > 20


def test_failed_group_look_up_refuses() -> None:
    """R9: not knowing is not allowing."""
    asked = request(reviewers=Reviewers(groups=frozenset({LEADS})))
    assert decision_attempts.decide(asked, attempt(asked, groups=None), NOW).refusal is Refusal.NOT_CHECKED
    assert decision_attempts.decide(asked, attempt(asked, groups=frozenset({LEADS})), NOW).refusal is None


def test_requester_decides_only_where_the_channel_allows_it() -> None:
    """R10."""
    everybody = Reviewers(frozenset({ALICE, BOB}))
    asked = request(reviewers=everybody)
    assert decision_attempts.decide(asked, attempt(asked, ALICE), NOW).refusal is Refusal.OWN_REQUEST
    asked = request(reviewers=everybody, own_requests=True)
    assert decision_attempts.decide(asked, attempt(asked, ALICE), NOW).request.status is Status.APPROVED


def test_quorum_counts_each_person_once() -> None:
    """R11."""
    asked = request(quorum=2)
    voted = decision_attempts.decide(asked, attempt(asked, BOB, name="first"), NOW)
    assert voted.request.status is Status.PENDING
    assert [e.type for e in voted.events] == [EventType.VOTE_CAST]
    again = decision_attempts.decide(voted.request, attempt(asked, BOB, name="second"), NOW)
    assert again.refusal is Refusal.VOTED_ALREADY
    assert "1 of 2" in refusal_text(Refusal.VOTED_ALREADY, voted.request)
    done = decision_attempts.decide(voted.request, attempt(asked, CAROL), NOW).request
    assert done.status is Status.APPROVED
    assert done.decision is not None
    assert done.decision.by == (BOB, CAROL)


def test_one_rejection_refuses() -> None:
    """R11: also after somebody approved, and by the one who did."""
    asked = request(quorum=2)
    voted = decision_attempts.decide(asked, attempt(asked, BOB), NOW).request
    for user in (BOB, CAROL):
        step = decision_attempts.decide(voted, attempt(asked, user, Verb.REJECT, words="too much"), NOW)
        assert step.request.status is Status.REJECTED
        assert step.request.decision is not None
        assert step.request.decision.words == "too much"


def test_repeated_click_is_neither_second_vote_nor_loser() -> None:
    """R8: recognised by its id."""
    asked = request(quorum=2)
    click = attempt(asked, BOB, name="same")
    voted = decision_attempts.decide(asked, click, NOW).request
    assert decision_attempts.decide(voted, click, NOW) == requests.Step(voted)
    done = decision_attempts.decide(voted, attempt(asked, CAROL, name="last"), NOW).request
    assert decision_attempts.decide(done, attempt(asked, CAROL, name="last"), later(hours=5)) == requests.Step(done)
    for verb in (Verb.REJECT, Verb.RESPOND):
        once = decision_attempts.decide(asked, attempt(asked, BOB, verb, words="why"), NOW).request
        assert decision_attempts.decide(once, attempt(asked, BOB, verb, words="why"), later(hours=5)) == requests.Step(
            once
        )


def test_late_decider_learns_the_earlier_decision() -> None:
    """R3, R7."""
    asked = request()
    done = decision_attempts.decide(asked, attempt(asked, BOB), NOW).request
    late = decision_attempts.decide(done, attempt(asked, CAROL, Verb.REJECT), NOW)
    assert late.refusal is Refusal.ALREADY_DECIDED
    assert late.request == done
    said = refusal_text(Refusal.ALREADY_DECIDED, done)
    assert f"lready decided by {BOB}" in said
    assert "approved" in said


def test_decision_by_policy_is_not_called_a_timeout() -> None:
    """R7, R17"""
    ruled = request_endings.settle(request(), Decision(Status.REJECTED, How.POLICY, NOW)).request
    said = refusal_text(Refusal.ALREADY_DECIDED, ruled)
    assert "lready decided by a rule" in said and "timeout" not in said
    silent = request_endings.expire(request(on_timeout=OnTimeout.APPROVE), later(hours=1)).request
    assert "decided by timeout" in refusal_text(Refusal.ALREADY_DECIDED, silent)


def test_refusal_names_a_few_of_many_reviewers() -> None:
    """R7: a sentence for a phone; and under an input each name would be a look-up of its own."""
    many = request(reviewers=Reviewers(frozenset(UserId(f"U{n:09}") for n in range(400)), frozenset({LEADS})))
    said = refusal_text(Refusal.NOT_A_REVIEWER, many)
    assert said.count("U0") == 12 and said.endswith("U000000011 and 389 more.")


def test_refusal_names_the_day_of_the_decision() -> None:
    """R7: a card of last Friday is clicked on Monday."""
    asked = request()
    gone = request_endings.expire(asked, later(hours=1)).request
    at = "2026-03-06 18:00:00 UTC"
    assert f"Time ran out at {at}, before" in refusal_text(Refusal.TIME_RAN_OUT, gone)
    done = decision_attempts.decide(asked, attempt(asked), later(hours=1, seconds=-1)).request
    assert " 2026-03-06 17:59:59 UTC: approved." in refusal_text(Refusal.ALREADY_DECIDED, done)
    back = request_endings.withdraw(asked, later(hours=1), "the run ended").request
    assert f"was withdrawn at {at}." in refusal_text(Refusal.WITHDRAWN, back)


def test_refusal_does_not_list_the_requester_as_reviewer() -> None:
    """R7, R10."""
    both = Reviewers(frozenset({ALICE, BOB}))
    assert "Reviewers: U0BOB." in refusal_text(Refusal.NOT_A_REVIEWER, request(reviewers=both))
    own = request(reviewers=both, own_requests=True)
    assert "Reviewers: U0ALICE, U0BOB." in refusal_text(Refusal.NOT_A_REVIEWER, own)


def test_repeated_choice_for_a_seat_tells_the_count() -> None:
    """R7: two who disagree are not two of two."""
    asked = request(asked=choice("eu", "us"), quorum=2)
    for user, chosen in ((BOB, "eu"), (CAROL, "us")):
        asked = decision_attempts.decide(asked, attempt(asked, user, Verb.CHOOSE, chosen=(chosen,)), NOW).request
    assert refusal_text(Refusal.SEAT_TAKEN, asked).endswith("; 1 of 2 needed.")


def test_click_at_the_deadline_is_late() -> None:
    """R20: the rule takes its clock from outside; whether anybody expired the request does not matter."""
    asked = request()
    assert asked.deadline == later(hours=1)
    assert decision_attempts.decide(asked, attempt(asked), later(minutes=60)).refusal is Refusal.TIME_RAN_OUT
    assert decision_attempts.decide(asked, attempt(asked), later(minutes=59, seconds=59)).refusal is None


def test_expiry_is_not_a_rejection() -> None:
    """R17: own status, own words."""
    asked = request()
    assert request_endings.expire(asked, later(minutes=59)).request == asked
    gone = request_endings.expire(asked, later(hours=1)).request
    assert gone.status is Status.EXPIRED
    assert gone.decision is not None
    assert (gone.decision.how, gone.decision.by) == (How.TIMEOUT, ())
    late = decision_attempts.decide(gone, attempt(asked), later(days=3))
    assert late.refusal is Refusal.TIME_RAN_OUT
    assert "Time ran out" in refusal_text(Refusal.TIME_RAN_OUT, gone)


def test_approval_by_timeout_needs_the_channels_setting() -> None:
    """R23."""
    assert request().rules.on_timeout is OnTimeout.REJECT
    asked = request(on_timeout=OnTimeout.APPROVE)
    step = request_endings.expire(asked, later(hours=1))
    assert step.request.status is Status.APPROVED
    assert step.request.decision is not None
    assert step.request.decision.how is How.TIMEOUT
    assert step.events[0].data["how"] == "timeout"
    assert "by timeout" in refusal_text(Refusal.TIME_RAN_OUT, step.request)
    assert request_endings.expire(request(on_timeout=OnTimeout.REJECT), later(hours=1)).request.status is Status.EXPIRED


def test_channel_may_let_requests_wait_forever() -> None:
    asked = request(on_timeout=OnTimeout.WAIT)
    assert asked.deadline is None
    assert request_endings.expire(asked, later(days=4000)).request == asked
    assert decision_attempts.decide(asked, attempt(asked), later(days=4000)).request.status is Status.APPROVED


def test_free_text_never_approves() -> None:
    """R12: words that say yes are an answer, whatever they say."""
    asked = request()
    answered = decision_attempts.decide(
        asked, attempt(asked, verb=Verb.RESPOND, words="APPROVED, yes, go on"), NOW
    ).request
    assert answered.status is Status.ANSWERED


@pytest.mark.parametrize("status", [s for s in Status if not MOVES[s]])
@pytest.mark.parametrize("verb", list(Verb))
def test_settled_request_never_changes(status: Status, verb: Verb) -> None:
    asked = replace(request(), status=status)
    settled = request_endings.settle(asked, requests.Decision(status, How.REVIEWERS, NOW, (BOB,))).request
    step = decision_attempts.decide(settled, attempt(asked, CAROL, verb, words="x"), later(hours=9))
    assert (step.request, step.refusal is None) == (settled, False)
    assert request_endings.expire(settled, later(hours=9)).request == settled
    assert request_endings.withdraw(settled, later(hours=9), "over").request == settled


def test_strangers_learn_nothing_about_a_settled_request() -> None:
    done = decision_attempts.decide(request(), attempt(request()), NOW).request
    assert decision_attempts.decide(done, attempt(done, DAVE, is_stranger=True), NOW).refusal is Refusal.OTHER_WORKSPACE


def test_request_id_follows_from_run_place_and_content() -> None:
    """R1: so a rebuilt run finds what it asked, and other words are another request."""
    asked = request()
    assert request().id == asked.id
    others = {
        request(run="rother").id,
        request(asked=replace(asked.question, asked=1)).id,
        request(asked=replace(asked.question, agent="other")).id,
        request(asked=replace(asked.question, content="something else")).id,
        request(asked=replace(asked.question, offers=(Verb.APPROVE,))).id,
    }
    assert len(others - {asked.id}) == 5
    assert asked.workspace == HERE
    assert asked.requester == UserId(ALICE)


@pytest.mark.parametrize(
    "unseen",
    [
        "",
        " \n\t",
        "\u200b",
        "\u2060\ufeff \u00ad",
        "\u3164",
        "\u2800\u2800",
        "\u202e\u2066",
        "\U000e0041\ufe0f",
        "\u0301",
    ],
)
def test_invisible_text_is_neither_reason_nor_answer(unseen: str) -> None:
    """R25: whoever reads the record learns why the glass was broken; a rejection without a reason has none."""
    asked = request(break_glass=True)
    alone = attempt(asked, ALICE, words=unseen, break_glass=True)
    assert decision_attempts.decide(asked, alone, NOW).refusal is Refusal.NO_REASON
    assert (
        decision_attempts.decide(asked, attempt(asked, BOB, Verb.RESPOND, words=unseen), NOW).refusal
        is Refusal.NO_WORDS
    )
    for words, kept in ((unseen, ""), (f"{unseen}no", f"{unseen}no".strip())):
        no = decision_attempts.decide(asked, attempt(asked, BOB, Verb.REJECT, words=words), NOW).request.decision
        assert no is not None and no.words == kept
