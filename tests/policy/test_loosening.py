"""What makes a channel's rules milder, and what does not (R33)."""

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from countersign.domain.channel_settings import ChannelSettings, Escalation, OnTimeout
from countersign.domain.ids import ChannelId, GroupId
from countersign.domain.people import Reviewers
from countersign.domain.proof import Proof
from countersign.policy.loosening import loosened
from tests.sample_requests import BOB, CAROL, DAVE, LEADS, rules

BOTH, THREE = Reviewers(frozenset({BOB, CAROL})), Reviewers(frozenset({BOB, CAROL, DAVE}))
DAY, SILENCE, ROOM = timedelta(days=1), OnTimeout.APPROVE, ChannelId("C0OTHER")
LATER, SOONER = (Escalation(timedelta(minutes=minutes), Reviewers(frozenset({DAVE}))) for minutes in (30, 10))
MILDER: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"quorum": 2}, {"quorum": 1}),
    ({}, {"reviewers": THREE}),
    ({}, {"reviewers": Reviewers(frozenset({DAVE}))}),
    ({}, {"reviewers": replace(BOTH, groups=frozenset({LEADS}))}),
    ({}, {"reviewers": replace(BOTH, groups=frozenset({GroupId("C0APPROVALS")}))}),
    ({}, {"reviewers": replace(BOTH, members=True)}),
    ({}, {"own_requests": True}),
    ({}, {"break_glass": True}),
    ({}, {"on_timeout": SILENCE}),
    ({"on_timeout": OnTimeout.WAIT}, {"on_timeout": SILENCE}),
    ({"on_timeout": SILENCE}, {"timeout": DAY}),
    ({"on_timeout": SILENCE}, {"timeout": timedelta(minutes=1)}),
    ({"on_timeout": SILENCE}, {"approvals_channel": ROOM}),
    ({}, {"escalation": (LATER,)}),
    ({"escalation": (LATER,)}, {"escalation": (SOONER,)}),
    ({"proof": Proof.PASSKEY}, {"proof": Proof.OIDC}),
    ({"proof": Proof.OIDC}, {"proof": Proof.SLACK}),
]


@pytest.mark.parametrize(("before", "after"), MILDER)
def test_permitting_change_is_loosening(before: dict[str, Any], after: dict[str, Any]) -> None:
    """R33"""
    was = rules(**before)
    assert loosened(was, replace(was, **after))
    assert loosened(was, was) == ()


def test_every_setting_is_classified_as_loosening_or_not() -> None:
    """R33"""
    milder = {name for _, after in MILDER for name in after}
    assert milder | {"remind_after", "quiet"} == {field.name for field in fields(ChannelSettings)}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        *((after, before or {name: getattr(rules(), name) for name in after}) for before, after in MILDER[:2]),
        ({"own_requests": True, "break_glass": True}, {"own_requests": False, "break_glass": False}),
        ({"on_timeout": SILENCE}, {"on_timeout": OnTimeout.REJECT}),
        ({"escalation": (SOONER,)}, {"escalation": ()}),
        ({"proof": Proof.SLACK}, {"proof": Proof.PASSKEY}),
        ({"escalation": (SOONER,)}, {"escalation": (LATER,)}),
        ({"reviewers": THREE}, {"reviewers": BOTH, "escalation": (LATER,)}),
        ({}, {"timeout": DAY, "remind_after": timedelta(minutes=5), "approvals_channel": ROOM, "quorum": 2}),
    ],
)
def test_stricter_or_informing_change_is_not_loosening(before: dict[str, Any], after: dict[str, Any]) -> None:
    """R33: who makes rules stricter needs nobody."""
    was = rules(**before)
    assert loosened(was, replace(was, **after)) == ()
