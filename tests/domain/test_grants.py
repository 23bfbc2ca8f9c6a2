"""Standing permissions: narrow, for a time, by those who may decide; and break-glass, which is for one person."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from countersign.domain import grants
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import Risk
from countersign.domain.decision_rules import allow, decide, may_break_glass, why_refused
from countersign.domain.events import EventType
from countersign.domain.grant_request import LONGEST, Scope, Span, Wish
from countersign.domain.grants import Permission, covers
from countersign.domain.ids import ChannelId, GroupId, RunId, WorkspaceId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.refusals import Refusal
from countersign.domain.requests import How, Kind, Question, Request, Status, Verb
from tests.making import ALICE, BOB, CAROL, DAVE, HERE, NOW, attempt, call, choice, later, question, request

TEAM = "email"
SOON = later(minutes=10)


def given(scope: Scope = Scope.ARGUMENTS, span: Span = Span.HOUR, asked: Question | None = None) -> Permission:
    """Bob approved a refund and does not want to be asked again."""
    of = request(asked=asked or call())
    found = grants.given_with(decide(of, attempt(of, BOB, wish=Wish(scope, span)), NOW).request, TEAM)
    assert found is not None
    return found


def another(run: str = "rlater", asked: Question | None = None, **changes: Any) -> Request:
    """A refund that is wanted ten minutes later."""
    return request(SOON, run=run, asked=asked or call(), **changes)


def other_amount() -> Question:
    return call(order=17, amount=21)


@pytest.mark.parametrize("scope", Scope)
def test_the_same_call_is_not_asked_again(scope: Scope) -> None:
    """R24: approved by permission, bound to the digest, and on record with who gave it."""
    permission, asked = given(scope), another()
    step = allow(asked, permission, Actor(HERE, BOB), TEAM, SOON)
    decision = step.request.decision
    assert decision is not None and step.request.status is Status.APPROVED
    assert (decision.how, decision.by, decision.at) == (How.PERMISSION, (BOB,), SOON)
    assert permission.id in decision.words
    (event,) = step.events
    assert (event.type, event.user) == (EventType.REQUEST_DECIDED, BOB)
    assert event.data["how"] == "permission" and event.data["permission"] == permission.id
    assert event.data["digest"] == asked.digest
    assert grants.given_with(step.request, TEAM) is None  # a use gives nothing


NARROW: dict[str, tuple[Scope, Callable[[], Request], bool]] = {
    "another amount, of the call": (Scope.CALL, lambda: another(asked=other_amount()), False),
    "another amount, of the arguments": (Scope.ARGUMENTS, lambda: another(asked=other_amount()), False),
    "another amount, of the tool": (Scope.TOOL, lambda: another(asked=other_amount()), True),
    "another agent, of the call": (Scope.CALL, lambda: another(asked=replace(call(), agent="boss")), False),
    "another agent, of the arguments": (Scope.ARGUMENTS, lambda: another(asked=replace(call(), agent="boss")), True),
    "shown otherwise, of the call": (Scope.CALL, lambda: another(asked=replace(call(), notes=("Twice!",))), False),
    "another tool": (
        Scope.TOOL,
        lambda: another(asked=replace(call(), call=Call("wire", canonical({"order": 17, "amount": 20})))),
        False,
    ),
    "the same name as code": (Scope.TOOL, lambda: another(asked=replace(call(), kind=Kind.CODE)), False),
    "a question": (Scope.TOOL, lambda: another(asked=question()), False),
    "another channel": (Scope.TOOL, lambda: replace(another(), channel=ChannelId("C0OTHER")), False),
    "another workspace": (Scope.TOOL, lambda: replace(another(), workspace=WorkspaceId("T0OTHER")), False),
    "two approvals by now": (Scope.TOOL, lambda: another(quorum=2), False),
    "high risk by now": (Scope.TOOL, lambda: another(risk=Risk.HIGH), False),
    "asked before it was given": (Scope.TOOL, lambda: request(later(minutes=-1), run="rlater", asked=call()), False),
}


@pytest.mark.parametrize("name", NARROW)
def test_it_covers_no_more_than_was_chosen(name: str) -> None:
    """R24"""
    scope, make, covered = NARROW[name]
    assert covers(given(scope), make(), TEAM, SOON) is covered


def test_it_is_for_one_team() -> None:
    """R24"""
    assert not covers(given(Scope.TOOL), another(), "chat", SOON)


@pytest.mark.parametrize("span", Span)
def test_it_ends_by_itself_within_a_day(span: Span) -> None:
    """R20, R24: to the moment, by the clock that is given."""
    permission = given(span=span)
    assert permission.until - permission.at <= LONGEST == timedelta(days=1)
    asked = another(run="rtest")
    assert covers(permission, asked, TEAM, permission.until - timedelta(microseconds=1))
    assert not covers(permission, asked, TEAM, permission.until)


def test_one_for_this_run_is_for_no_other() -> None:
    """R24"""
    permission = given(span=Span.RUN)
    assert permission.run == RunId("rtest")
    assert covers(permission, another(run="rtest"), TEAM, SOON)
    assert not covers(permission, another(run="rlater"), TEAM, SOON)


def test_a_revoked_one_covers_nothing() -> None:
    """R24"""
    assert not covers(replace(given(), revoked_by=CAROL), another(), TEAM, SOON)


GIVERS: dict[str, tuple[Actor, dict[str, Any], bool]] = {
    "still a reviewer": (Actor(HERE, BOB), {}, True),
    "in a group that reviews": (
        Actor(HERE, BOB, groups=frozenset({GroupId("S0LEADS")})),
        {"reviewers": Reviewers(groups=frozenset({GroupId("S0LEADS")}))},
        True,
    ),
    "no reviewer any more": (Actor(HERE, BOB), {"reviewers": Reviewers(frozenset({CAROL}))}, False),
    "Slack did not say": (Actor(HERE, BOB, groups=None, checked=False), {}, False),
    "a guest by now": (Actor(HERE, BOB, is_guest=True), {}, False),
    "left": (Actor(HERE, BOB, is_deactivated=True), {}, False),
    "somebody else": (Actor(HERE, CAROL), {}, False),
}


@pytest.mark.parametrize("name", GIVERS)
def test_it_counts_only_while_its_giver_may_decide(name: str) -> None:
    """R9, R24"""
    giver, rules, allowed = GIVERS[name]
    assert allow(another(**rules), given(), giver, TEAM, SOON).changes is allowed


@pytest.mark.parametrize("own_requests", [False, True])
def test_nobody_allows_their_own_runs_in_advance_unless_the_channel_lets_them(own_requests: bool) -> None:
    """R10, R24: Bob's permission and a run that Bob starts later."""
    bobs = replace(another(own_requests=own_requests), requester=BOB)
    assert allow(bobs, given(), Actor(HERE, BOB), TEAM, SOON).changes is own_requests


def test_what_is_decided_or_late_is_not_decided_again() -> None:
    """R3"""
    asked, giver = another(), Actor(HERE, BOB)
    no = decide(asked, attempt(asked, CAROL, Verb.REJECT), SOON).request
    assert not allow(no, given(), giver, TEAM, SOON).changes
    assert not allow(another(timeout=timedelta(minutes=1)), given(), giver, TEAM, later(minutes=12)).changes


CANNOT: dict[str, tuple[Callable[[], Request], Scope, Refusal]] = {
    "a question": (request, Scope.CALL, Refusal.NO_STANDING_HERE),
    "two approvals": (lambda: request(asked=call(), quorum=2), Scope.CALL, Refusal.STANDING_NEEDS_ONE),
    "high risk": (lambda: request(asked=call(), risk=Risk.HIGH), Scope.CALL, Refusal.NO_STANDING_AT_HIGH_RISK),
    "all code": (
        lambda: request(asked=replace(call(), kind=Kind.CODE)),
        Scope.TOOL,
        Refusal.NO_STANDING_FOR_ALL_CODE,
    ),
}


@pytest.mark.parametrize("name", CANNOT)
def test_what_cannot_be_allowed_in_advance_is_refused_and_nothing_is_decided(name: str) -> None:
    """R24, R25"""
    make, scope, refusal = CANNOT[name]
    of = make()
    step = decide(of, attempt(of, BOB, wish=Wish(scope, Span.HOUR)), NOW)
    assert (step.refusal, step.request) == (refusal, of)
    assert [e.type for e in step.events] == [EventType.ATTEMPT_REFUSED]


def test_who_may_not_decide_gives_nothing() -> None:
    """R9, R24"""
    of = request(asked=call())
    for user in (ALICE, DAVE):
        step = decide(of, attempt(of, user, wish=Wish(Scope.CALL, Span.HOUR)), NOW)
        assert step.refusal is Refusal.NOT_A_REVIEWER
        assert grants.given_with(step.request, TEAM) is None


def test_only_an_approval_gives_one() -> None:
    """R24"""
    of = request(asked=call())
    for verb in (Verb.REJECT, Verb.RESPOND, Verb.EDIT):
        tried = attempt(of, BOB, verb, words="no", wish=Wish(Scope.CALL, Span.HOUR))
        assert why_refused(of, tried, NOW) is Refusal.NOT_OFFERED
    plain = decide(of, attempt(of, BOB), NOW).request
    assert grants.given_with(plain, TEAM) is None


GLASS: dict[str, tuple[dict[str, Any], dict[str, Any], Refusal | None]] = {
    "the requester with a reason": ({}, {}, None),
    "without a reason": ({}, {"words": " \n"}, Refusal.NO_REASON),
    "a reviewer": ({}, {"user": BOB}, Refusal.NOT_THE_REQUESTER),
    "anybody else": ({}, {"user": DAVE}, Refusal.NOT_THE_REQUESTER),
    "off in the channel": ({"break_glass": False}, {}, Refusal.NO_BREAK_GLASS),
    "high risk": ({"risk": Risk.HIGH}, {}, Refusal.NO_BREAK_GLASS),
    "two approvals": ({"quorum": 2}, {}, Refusal.NO_BREAK_GLASS),
    "to reject": ({}, {"verb": Verb.REJECT}, Refusal.NO_BREAK_GLASS),
    "a guest": ({}, {"is_guest": True}, Refusal.GUEST),
    "not looked up": ({}, {"checked": False}, Refusal.NOT_CHECKED),
    "of another workspace": ({}, {"workspace": WorkspaceId("T0OTHER")}, Refusal.OTHER_WORKSPACE),
    "other content": ({}, {"digest": "0" * 64}, Refusal.OTHER_CONTENT),
    "the reviewer who is the requester": ({"reviewers": Reviewers(frozenset({ALICE, BOB}))}, {}, None),
    "with a permission besides": ({}, {"wish": Wish(Scope.CALL, Span.HOUR)}, Refusal.NO_BREAK_GLASS),
}


@pytest.mark.parametrize("name", GLASS)
def test_break_glass_is_for_the_requester_alone_with_a_reason_where_the_channel_lets_them(name: str) -> None:
    """R9, R10, R25: never what is of high risk or needs several people; marked as what it is."""
    rules, changes, refusal = GLASS[name]
    of = request(asked=call(), **{"break_glass": True, **rules})
    tried = attempt(of, **{"user": ALICE, "words": "The shop is down.", "break_glass": True, **changes})
    step = decide(of, tried, SOON)
    assert step.refusal is refusal
    decision = step.request.decision
    if refusal is not None:
        assert decision is None
        return
    assert decision is not None
    assert (decision.how, decision.by, decision.words) == (How.BREAK_GLASS, (ALICE,), "The shop is down.")
    assert step.events[0].data["how"] == "break_glass"


def test_choices_have_no_glass_to_break() -> None:
    of = request(asked=choice(), break_glass=True)
    assert may_break_glass(of)
    tried = attempt(of, ALICE, words="now", break_glass=True)
    assert decide(of, tried, SOON).refusal is Refusal.NOT_OFFERED
