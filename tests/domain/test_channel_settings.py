"""A channel's settings."""

import json
from dataclasses import fields, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.slack.views import setting_inputs, settings_modal, settings_text
from countersign.domain import channel_settings, durations, quiet_hours
from countersign.domain.channel_settings import IN_POLICY, ChannelSettings, Escalation, OnTimeout
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId, GroupId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.proof import Proof
from tests.sample_requests import ALICE, APPROVALS, BOB, CAROL, DAVE, GENERAL, HERE, LEADS, rules

OTHERS = ChannelSettings(
    reviewers=Reviewers(frozenset({BOB, CAROL, DAVE})),
    quorum=2,
    own_requests=True,
    break_glass=True,
    timeout=timedelta(minutes=1),
    on_timeout=OnTimeout.WAIT,
    approvals_channel=ChannelId("C0OTHER"),
    remind_after=timedelta(minutes=5),
    escalation=(Escalation(timedelta(minutes=30), Reviewers(frozenset({DAVE}))),),
    quiet=quiet_hours.parse("19:00-08:00 Europe/Berlin"),
    proof=Proof.PASSKEY,
)
"""Each setting, otherwise than in `rules()`."""


def test_every_setting_has_an_input_and_a_description() -> None:
    """A new one is a field, with a row for the policy, a row of inputs, and its words; nothing else lists settings."""
    window = json.dumps(settings_modal.view(GENERAL, rules(), {}))
    assert IN_POLICY.keys() == {field.name for field in fields(ChannelSettings)} - {"quiet"}
    for field in fields(ChannelSettings):
        other = ChannelSettings(**{field.name: getattr(OTHERS, field.name)})
        setting = setting_inputs.SETTINGS[field.name]
        assert setting.word and setting.example and setting.help
        assert settings_text.describe(GENERAL, other.over(rules())) != settings_text.describe(GENERAL, rules()), (
            field.name
        )
        assert {"reviewers": "users", "escalation": "after_1"}.get(field.name, field.name) in window


@pytest.mark.parametrize(
    ("words", "seconds"),
    [("5s", 5), ("15m", 900), ("1h30m", 5400), ("2d", 172800), ("1w", 604800), (" 1 H 30 m ", 5400), ("90s", 90)],
)
def test_durations_are_parsed(words: str, seconds: int) -> None:
    assert durations.parse_duration(words) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "words", ["soon", "-5m", "0", "0s", "99999d", "", "5", "m", "1.5h", "4s", "31d", "5m!", "٣m ", "9999999w" * 16]
)
def test_invalid_duration_is_refused_with_examples(words: str) -> None:
    with pytest.raises(InvalidInput, match="nothing was changed"):
        durations.parse_duration(words)


@given(st.integers(min_value=5, max_value=30 * 86400))
def test_described_duration_can_be_parsed_again(seconds: int) -> None:
    span = timedelta(seconds=seconds)
    assert durations.parse_duration(durations.say_duration(span)) == span


def test_own_settings_override_approvals_channel_and_defaults() -> None:
    """The approvals channel's own override the defaults."""
    elsewhere = ChannelId("C0ELSEWHERE")
    approvals = ChannelSettings(timeout=timedelta(minutes=5), quorum=2, approvals_channel=elsewhere)
    own = ChannelSettings(timeout=timedelta(minutes=1))
    resolved = channel_settings.resolve(rules(), approvals, own)
    assert resolved == rules(timeout=timedelta(minutes=1), quorum=2)
    assert resolved.approvals_channel == APPROVALS
    assert (
        channel_settings.resolve(rules(), approvals, ChannelSettings(approvals_channel=elsewhere)).approvals_channel
        == elsewhere
    )


def test_channel_members_are_those_of_the_cards_channel() -> None:
    """R9, R10: of a step of the escalation, of the one where it is told; and back, for who changes the settings."""
    here, leads = frozenset({GroupId(APPROVALS)}), ChannelId("C0LEADS")
    everybody = Reviewers(frozenset({BOB}), members=True)
    steps = (Escalation(timedelta(minutes=5), everybody, leads), Escalation(timedelta(minutes=9), everybody))
    own = ChannelSettings(reviewers=everybody, escalation=steps)
    resolved = channel_settings.resolve(rules(), ChannelSettings(), own)
    assert resolved.reviewers == Reviewers(frozenset({BOB}), here)
    assert [step.reviewers.groups for step in resolved.escalation] == [frozenset({GroupId(leads)}), here]
    assert channel_settings.meant(resolved) == rules(reviewers=everybody, escalation=steps)
    elsewhere = channel_settings.resolve(rules(), ChannelSettings(), replace(own, approvals_channel=leads))
    assert elsewhere.reviewers.groups == {GroupId(leads)}


def test_settings_without_possible_deciders_are_refused() -> None:
    """R10: when they are made, not at 3 a.m."""
    assert channel_settings.problems_of(rules()) == []
    assert "Nobody" in channel_settings.problems_of(rules(reviewers=Reviewers()))[0]
    assert "3 approvals" in channel_settings.problems_of(rules(quorum=3))[0]
    assert channel_settings.problems_of(rules(quorum=3, reviewers=Reviewers(groups=frozenset({LEADS})))) == []
    assert "never be offered" in channel_settings.problems_of(rules(quorum=2, break_glass=True))[0]
    leads = Reviewers(groups=frozenset({LEADS}))
    both = Reviewers(frozenset({DAVE, BOB}))
    for asked in (
        (Reviewers(frozenset({BOB})),),
        (Reviewers(frozenset({DAVE})), leads, both),
    ):
        spans = (timedelta(minutes=10 * at) for at in range(1, 9))
        steps = tuple(Escalation(span, one) for span, one in zip(spans, asked, strict=False))
        (problem,) = channel_settings.problems_of(rules(escalation=steps))
        assert problem == f"Step {len(steps)} of the escalation names only people who may decide already."
    assert len(channel_settings.problems_of(rules(quorum=0, reviewers=Reviewers(), timeout=timedelta(0)))) == 3


def test_run_without_possible_deciders_is_refused() -> None:
    """R10: the requester does not count, unless the channel says so; a group counts by its members."""
    assert channel_settings.enough_people(rules(), ALICE, frozenset()) is None
    assert "can't decide on your own" in (channel_settings.enough_people(rules(quorum=2), BOB, frozenset()) or "")
    assert channel_settings.enough_people(rules(quorum=2, own_requests=True), BOB, frozenset()) is None
    group = rules(reviewers=Reviewers(groups=frozenset({LEADS})))
    assert channel_settings.enough_people(group, ALICE, frozenset()) is not None
    assert channel_settings.enough_people(group, ALICE, frozenset({DAVE})) is None


def test_only_admins_and_reviewers_change_settings() -> None:
    """R9: by id, and no guests, bots or strangers among them."""
    named = frozenset({DAVE})
    assert channel_settings.why_not_configure(Actor(HERE, BOB), rules(), named) is None
    assert channel_settings.why_not_configure(Actor(HERE, DAVE), rules(), named) is None
    assert channel_settings.why_not_configure(Actor(HERE, ALICE, is_admin=True), rules(), named) is None
    assert channel_settings.why_not_configure(Actor(HERE, ALICE), rules(), named) is not None
    assert channel_settings.why_not_configure(Actor(HERE, CAROL, is_guest=True), rules(), named) is not None
    assert channel_settings.why_not_configure(Actor(HERE, CAROL, checked=False), rules(), named) is not None


def test_timeout_never_approves_by_default() -> None:
    """R23."""
    assert rules().on_timeout is OnTimeout.REJECT


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (42, "42 s"), (60, "1 min"), (400, "7 min"), (3600, "1 h"), (12_600, "3.5 h"), (864_000, "10 d")],
)
def test_time_is_reported_in_one_unit(seconds: float, text: str) -> None:
    assert durations.say_roughly(timedelta(seconds=seconds)) == text
