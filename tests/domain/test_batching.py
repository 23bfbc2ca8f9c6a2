"""Which requests share a card, as pure rules (R26)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from countersign.domain.api_keys import AskingProgram
from countersign.domain.batching import WITHIN, takes, together
from countersign.domain.channel_settings import OnTimeout, Risk
from countersign.domain.ids import ApiKeyId, UserId
from countersign.domain.people import Reviewers
from countersign.domain.requests import Kind, Question, Request, Status
from tests.sample_requests import CAROL, NOW, call, question, request

CI = AskingProgram(ApiKeyId("k0000000000001"), "ci", False)
OTHER = AskingProgram(ApiKeyId("k0000000000002"), "ci", False)


def of_program(run: str, program: AskingProgram, seconds: float = 0) -> Request:
    asked = request(NOW + timedelta(seconds=seconds), run, call(order=int(run[1:])))
    return replace(asked, program=program)


@pytest.mark.parametrize(
    ("other", "shares"),
    [
        (of_program("r2", CI), True),
        (of_program("r2", CI, WITHIN.total_seconds()), True),
        (of_program("r2", CI, WITHIN.total_seconds() + 1), False),
        (of_program("r2", OTHER), False),
        (request(run="r2", asked=call(order=2)), False),
        (replace(request(run="r2", asked=question()), program=CI), False),
        (replace(request(run="r2", asked=call(order=2), risk=Risk.HIGH), program=CI), False),
    ],
    ids=[
        "next call",
        "within",
        "later",
        "another key of that name",
        "a run",
        "a message",
        "high risk",
    ],
)
def test_quick_calls_of_one_program_share_a_card(other: Request, shares: bool) -> None:
    """R26: each of its requests is a run of its own; it is known by its key, not by its name."""
    assert together(of_program("r1", CI), other) == shares


def test_queued_card_takes_similar_requests_of_any_run() -> None:
    """R26, R14: one that stands takes only what was asked together with it, and for a short time."""
    first, other = of_program("r1", CI), of_program("r2", OTHER)
    assert takes(first, other, None, NOW)
    assert not takes(first, other, NOW, NOW)
    assert takes(first, of_program("r2", CI), NOW, NOW + WITHIN)
    assert not takes(first, of_program("r2", CI), NOW, NOW + WITHIN * 2)
    assert not takes(replace(first, snoozed_until=NOW, snoozed_by=UserId("U0BOB")), other, None, NOW)


def refund(number: int, **changes: Any) -> Question:
    asked = replace(call(order=number, amount=20), asked=number, content=f"Refund order {number}: 20 EUR")
    return replace(asked, **changes)


def test_request_needing_more_than_a_row_stands_alone() -> None:
    """R13, R23: a row is for an ordinary call."""
    one = request(asked=refund(1))
    assert together(one, request(NOW + timedelta(seconds=5), asked=refund(2)))
    assert one.status is Status.PENDING
    for other in (
        request(NOW + timedelta(seconds=6), asked=refund(2)),
        request(asked=refund(2), run="rother"),
        request(asked=refund(2), reviewers=Reviewers(frozenset({CAROL, UserId("U0ERIN")}))),
        request(asked=refund(2, before="Refund order 2: 200 EUR")),
        request(asked=refund(2, kind=Kind.CODE)),
    ):
        assert not together(one, other)
    assert not together(replace(one, snoozed_until=NOW + timedelta(hours=1)), request(asked=refund(2)))
    for special in ({"risk": Risk.HIGH}, {"on_timeout": OnTimeout.APPROVE}):
        assert not together(request(asked=refund(1), **special), request(asked=refund(2), **special))
