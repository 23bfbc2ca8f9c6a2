"""Which requests share a card, as pure rules (R26)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from countersign.domain.api_keys import AskingProgram
from countersign.domain.batching import WITHIN, takes, together
from countersign.domain.channel_settings import Risk
from countersign.domain.ids import ApiKeyId, UserId
from countersign.domain.requests import Request
from tests.sample_requests import NOW, call, question, request

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
def test_calls_of_one_program_within_seconds_are_rows_of_one_card(other: Request, shares: bool) -> None:
    """R26: each of its requests is a run of its own; it is known by its key, not by its name."""
    assert together(of_program("r1", CI), other) == shares


def test_a_card_that_waits_for_its_turn_takes_what_is_alike_of_anybody() -> None:
    """R26, R14: one that stands takes only what was asked together with it, and for a short time."""
    first, other = of_program("r1", CI), of_program("r2", OTHER)
    assert takes(first, other, None, NOW)
    assert not takes(first, other, NOW, NOW)
    assert takes(first, of_program("r2", CI), NOW, NOW + WITHIN)
    assert not takes(first, of_program("r2", CI), NOW, NOW + WITHIN * 2)
    assert not takes(replace(first, snoozed_until=NOW, snoozed_by=UserId("U0BOB")), other, None, NOW)
