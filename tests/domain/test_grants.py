"""Standing permissions: narrow, for a time, by those who may decide; and break-glass, which is for one person."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from countersign.domain import standing_permissions
from countersign.domain.calls import Call, canonical
from countersign.domain.channel_settings import Risk
from countersign.domain.decision_attempts import allow, decide
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId, RunId, WorkspaceId
from countersign.domain.people import Actor
from countersign.domain.requests import How, Kind, Question, Request, Scope, Status
from countersign.domain.standing_permissions import LONGEST, Permission, PermissionChoice, Span, covers
from tests.sample_requests import BOB, CAROL, HERE, NOW, attempt, call, later, question, request

TEAM = "email"
SOON = later(minutes=10)


def given(scope: Scope = Scope.ARGUMENTS, span: Span = Span.HOUR, asked: Question | None = None) -> Permission:
    """Bob approved a refund and does not want to be asked again."""
    of = request(asked=asked or call())
    found = standing_permissions.given_with(
        decide(of, attempt(of, BOB, permission=PermissionChoice(scope, span)), NOW).request, TEAM
    )
    assert found is not None
    return found


def another(run: str = "rlater", asked: Question | None = None, **changes: Any) -> Request:
    """A refund that is wanted ten minutes later."""
    return request(SOON, run=run, asked=asked or call(), **changes)


def other_amount() -> Question:
    return call(order=17, amount=21)


@pytest.mark.parametrize("scope", Scope)
def test_permitted_call_is_not_asked_again(scope: Scope) -> None:
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
    assert standing_permissions.given_with(step.request, TEAM) is None  # a use gives nothing


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
def test_permission_covers_no_more_than_was_chosen(name: str) -> None:
    """R24"""
    scope, make, covered = NARROW[name]
    assert covers(given(scope), make(), TEAM, SOON) is covered


def test_permission_is_for_one_team() -> None:
    """R24"""
    assert not covers(given(Scope.TOOL), another(), "chat", SOON)


@pytest.mark.parametrize("span", Span)
def test_permission_ends_within_a_day(span: Span) -> None:
    """R20, R24: to the moment, by the clock that is given."""
    permission = given(span=span)
    assert permission.until - permission.at <= LONGEST == timedelta(days=1)
    asked = another(run="rtest")
    assert covers(permission, asked, TEAM, permission.until - timedelta(microseconds=1))
    assert not covers(permission, asked, TEAM, permission.until)


def test_permission_for_a_run_covers_no_other_run() -> None:
    """R24"""
    permission = given(span=Span.RUN)
    assert permission.run == RunId("rtest")
    assert covers(permission, another(run="rtest"), TEAM, SOON)
    assert not covers(permission, another(run="rlater"), TEAM, SOON)


def test_revoked_permission_covers_nothing() -> None:
    """R24"""
    assert not covers(replace(given(), revoked_by=CAROL), another(), TEAM, SOON)
