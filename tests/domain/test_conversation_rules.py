"""Which questions are for the person who started the run, and whose words answer them."""

from dataclasses import replace
from datetime import timedelta

import pytest

from countersign.domain.channel_settings import AS_ELSEWHERE, ChannelSettings, Escalation, OnTimeout
from countersign.domain.decision_attempts import decide
from countersign.domain.eligibility import for_requester, is_for_requester, seats, waits_for_words
from countersign.domain.ids import ApiKeyId, RunId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Kind, Request, Verb
from countersign.domain.runs import Run
from tests.sample_requests import (
    ALICE,
    APPROVALS,
    BOB,
    CAROL,
    DAVE,
    GENERAL,
    HERE,
    NOW,
    attempt,
    question,
    request,
    rules,
)

RUN = Run(RunId("rtest"), HERE, GENERAL, ALICE, "chat", "plan it", NOW)


def talk(kind: Kind = Kind.TURN) -> Request:
    made = request(asked=question(kind=kind))
    return replace(made, rules=for_requester(made.rules, ALICE))


def test_only_conversation_turns_are_for_the_requester() -> None:
    """R19: never an action, words to approve, or a question about the run."""
    for kind in Kind:
        talks = is_for_requester(question(kind=kind), RUN, AS_ELSEWHERE)
        assert talks is (kind in (Kind.TURN, Kind.END)), kind


@pytest.mark.parametrize(
    "terms",
    [
        ChannelSettings(reviewers=Reviewers(frozenset({CAROL}))),
        ChannelSettings(quorum=2),
        ChannelSettings(own_requests=False),
        ChannelSettings(approvals_channel=APPROVALS),
        ChannelSettings(escalation=(Escalation(timedelta(hours=1), Reviewers(frozenset({CAROL}))),)),
    ],
)
def test_policy_rule_with_reviewers_or_channel_overrides_the_requester(terms: ChannelSettings) -> None:
    """R19: then a conversation's question goes to those people."""
    assert not is_for_requester(question(kind=Kind.TURN), RUN, terms)


def test_policy_timeout_leaves_a_conversation_to_the_requester() -> None:
    """A program's run has no thread to answer in, so its questions go to the reviewers."""
    asked = question(kind=Kind.END)
    assert is_for_requester(asked, RUN, ChannelSettings(timeout=timedelta(hours=2)))
    assert not is_for_requester(asked, replace(RUN, program=ApiKeyId("k12345678")), AS_ELSEWHERE)


def test_conversation_rules_keep_only_the_channels_time() -> None:
    """R9, R10: the requester alone, once, however the channel decides."""
    channels = rules(
        quorum=2,
        timeout=timedelta(minutes=5),
        on_timeout=OnTimeout.WAIT,
        remind_after=timedelta(minutes=1),
        break_glass=True,
        escalation=(Escalation(timedelta(minutes=2), Reviewers(frozenset({DAVE}))),),
    )
    own = for_requester(channels, ALICE)
    assert (own.reviewers, own.quorum, own.own_requests) == (Reviewers(frozenset({ALICE})), 1, True)
    assert (own.escalation, own.break_glass, own.in_thread) == ((), False, True)
    assert (own.timeout, own.on_timeout, own.remind_after) == (
        channels.timeout,
        channels.on_timeout,
        channels.remind_after,
    )
    assert own.approvals_channel == APPROVALS


def test_reply_answers_only_the_asked_persons_conversation() -> None:
    """R12: a reply is no approval of an action, whoever writes it."""
    asked = talk()
    assert waits_for_words(asked, ALICE)
    assert not waits_for_words(asked, BOB)
    assert not waits_for_words(request(own_requests=True, reviewers=Reviewers(frozenset({ALICE}))), ALICE)
    without = question(kind=Kind.TURN, offers=(Verb.APPROVE, Verb.REJECT))
    assert not waits_for_words(replace(asked, question=without), ALICE)
    answered = decide(asked, attempt(asked, ALICE, Verb.RESPOND, words="Ask Ann."), NOW).request
    assert not waits_for_words(answered, ALICE)


def test_stand_in_cannot_answer_a_conversation() -> None:
    """R9: the person who started the run is talked with alone."""
    asked = talk()
    assert seats(asked, Actor(HERE, DAVE, stands_for=(Actor(HERE, ALICE),))) == ()
    assert seats(asked, Actor(HERE, ALICE)) == (ALICE,)
