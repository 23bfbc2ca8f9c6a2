"""Eligibility: who may decide on a request, and from whose seat.

A person decides from their own seat, or from that of somebody for whom they stand in. Questions of a conversation only
ask how to continue it and approve no action, so the person who started the run answers them.
"""

from dataclasses import replace
from datetime import datetime
from typing import Final

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.channel_settings import ChannelSettings, Risk, Rules
from countersign.domain.events import Event, EventType
from countersign.domain.ids import UserId
from countersign.domain.people import Actor, Reviewers, why_nobody
from countersign.domain.proof import Proof
from countersign.domain.requests import ABOUT_THE_RUN, Kind, Question, Request, Status, Verb, event
from countersign.domain.runs import Run

_CONVERSATION: Final = frozenset({Kind.TURN, Kind.END})


def is_for_requester(question: Question, run: Run, terms: ChannelSettings) -> bool:
    """Tell whether the person who started the run answers this question.

    `terms` come from the policy's rule: a rule that names reviewers or a channel also applies to conversations.
    Requests of a program have no thread in which the requester could answer.
    """
    named = (terms.reviewers, terms.quorum, terms.own_requests, terms.approvals_channel, terms.escalation or None)
    return question.kind in _CONVERSATION and run.program is None and all(one is None for one in named)


def for_requester(rules: Rules, requester: UserId, proof: Proof | None = None) -> Rules:
    """Make the rules of a question that the requester alone answers.

    Its deadline, the meaning of a timeout, and its reminders come from the channel. It approves no action, so it needs
    only the proof that the policy demands.
    """
    return replace(
        rules,
        proof=proof or Proof.SLACK,
        reviewers=Reviewers(frozenset({requester})),
        quorum=1,
        own_requests=True,
        break_glass=False,
        escalation=(),
        in_thread=True,
    )


def waits_for_words(request: Request, user: UserId) -> bool:
    """Tell whether a reply of this person in the run's thread answers the question.

    A reply never answers a question about an action, or a question for reviewers.
    """
    asked = request.status is Status.PENDING and Verb.RESPOND in request.question.offers
    return asked and request.rules.in_thread and user == request.requester


def why_not_person(request: Request, actor: Actor, now: datetime) -> Refusal | None:
    """Return why this actor may decide nothing on the request now; None if they may."""
    return why_not_now(request, actor, now) or why_not_reviewer(request, actor)


def why_not_reviewer(request: Request, actor: Actor) -> Refusal | None:
    """Return why this actor is not a reviewer of the request; None if they are."""
    rules = request.rules
    if (nobody := why_nobody(actor, request.workspace)) is not None:
        return nobody
    if rules.in_thread:
        return None if actor.user == request.requester else Refusal.FOR_THE_REQUESTER
    if not rules.reviewers:
        return Refusal.NOBODY_NAMED
    if (not_a_reviewer := rules.reviewers.why_not(actor)) is not None and not seats(request, actor):
        unchecked = any(not a.checked or rules.reviewers.why_not(a) is Refusal.NOT_CHECKED for a in actor.stands_for)
        return Refusal.NOT_CHECKED if unchecked else not_a_reviewer
    return Refusal.OWN_REQUEST if actor.user == request.requester and not rules.own_requests else None


def why_not_now(request: Request, actor: Actor, now: datetime) -> Refusal | None:
    """Return why this actor may not decide now, apart from who the reviewers are."""
    if (nobody := why_nobody(actor, request.workspace)) is not None:
        return nobody
    if request.status is Status.EXPIRED:
        return Refusal.TIME_RAN_OUT
    if request.status is Status.WITHDRAWN:
        return Refusal.WITHDRAWN
    if request.status is not Status.PENDING:
        return Refusal.ALREADY_DECIDED
    if request.deadline is not None and now >= request.deadline:
        return Refusal.TIME_RAN_OUT
    return None


def may_break_glass(request: Request) -> bool:
    """Tell whether the requester may decide alone in an emergency.

    Break-glass is never allowed for a request of high risk, a request that needs several people, or a question about
    the run, because such a question does not know the rule of the action that may be repeated. Nor is it allowed for a
    program's request, whose requester is not verified.
    """
    rules = request.rules
    one_is_enough = rules.risk is not Risk.HIGH and rules.quorum == 1
    requester_known = not request.run.of_program
    return rules.break_glass and one_is_enough and requester_known and request.question.kind not in ABOUT_THE_RUN


def deciders(request: Request, reviewers: Reviewers | None = None) -> Reviewers:
    """Return the reviewers (or these reviewers) who may actually decide.

    The requester is left out if requesters may not decide on their own requests.
    """
    reviewers = request.rules.reviewers if reviewers is None else reviewers
    return reviewers if request.rules.own_requests else replace(reviewers, users=reviewers.users - {request.requester})


def seats(request: Request, actor: Actor) -> tuple[UserId, ...]:
    """Return the seats from which this actor may decide.

    These are their own seat and the seats of absent people for whom they stand in. A requester who may not decide on
    their own request, or who is the one asked in a conversation, has no seat that a stand-in could take.
    """
    rules = request.rules
    if rules.reviewers.why_not(actor) is None:
        return (actor.user,)
    if rules.in_thread or rules.proof is not Proof.SLACK:  # Slack, too weak a proof here, names stand-ins
        return ()
    return tuple(
        away.user
        for away in actor.stands_for
        if why_nobody(away, request.workspace) is None
        and rules.reviewers.why_not(away) is None
        and (rules.own_requests or away.user != request.requester)
    )


def free_seat(request: Request, actor: Actor) -> UserId | None:
    """Return a seat of this actor from which nobody else has voted, or None."""
    taken = {vote.seat or vote.user for vote in request.votes if vote.user != actor.user}
    return next((seat for seat in seats(request, actor) if seat not in taken), None)


def refusal_event(request: Request, actor: Actor, verb: str, refusal: Refusal, now: datetime, words: str = "") -> Event:
    """Make the event of an attempt that did not count (R25)."""
    return event(
        EventType.ATTEMPT_REFUSED,
        request,
        now,
        user=actor.user,
        workspace=actor.workspace,
        verb=verb,
        refusal=refusal.name.lower(),
        words=words,
        digest=request.digest,
    )
