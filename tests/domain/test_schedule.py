"""What happens while nobody decides, with a clock that the test moves: reminders, escalation, the deadline."""

import itertools
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from countersign.domain import channel_settings, quiet_hours, schedule
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.channel_settings import Escalation, OnTimeout, problems_of
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Request, Status
from countersign.domain.schedule import Next, NextKind, Snooze
from tests.sample_requests import ALICE, APPROVALS, BOB, CAROL, DAVE, HERE, LEADS, NOW, later, request, rules

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
LEADS_ROOM = ChannelId("C0LEADS")
TO_LEADS = Escalation(2 * HOUR, Reviewers(groups=frozenset({LEADS})), LEADS_ROOM)
TO_DAVE = Escalation(5 * HOUR, Reviewers(frozenset({DAVE})))
REMIND, RAISE = EventType.REQUEST_REMINDED, EventType.REQUEST_ESCALATED
WHEN = {REMIND: "reminded", RAISE: "escalated"}


def played(asked: Request, until: datetime) -> list[tuple[str, datetime]]:
    """What happens if the keeper is always there: each thing at its moment."""
    happened = []
    while (coming := schedule.next_step(asked)) is not None and coming.at <= until:
        step = schedule.due(asked, coming.at)
        happened += [(WHEN.get(e.type, str(step.request.status)), e.at) for e in step.events]
        asked = step.request
    return happened


def test_reminders_come_in_growing_gaps_until_the_deadline() -> None:
    """R20"""
    asked = request(timeout=DAY, remind_after=HOUR)
    assert played(asked, later(days=9)) == [
        ("reminded", later(hours=1)),
        ("reminded", later(hours=3)),
        ("reminded", later(hours=7)),
        ("reminded", later(hours=15)),
        ("expired", later(days=1)),
    ]


def test_request_without_a_deadline_is_reminded_at_least_monthly() -> None:
    """R20"""
    asked = request(on_timeout=OnTimeout.WAIT, remind_after=DAY)
    happened = [at for _, at in played(asked, later(days=400))]
    gaps = [b - a for a, b in itertools.pairwise(happened)]
    assert gaps[:4] == [2 * DAY, 4 * DAY, 8 * DAY, 16 * DAY]
    assert set(gaps[4:]) == {schedule.LONGEST_GAP}


def test_weekend_is_quiet_but_keeps_the_deadline() -> None:
    """R20: asked on Friday at 18:00 in Berlin; Monday is the first morning on which anybody hears of it."""
    hours = quiet_hours.parse("19:00-08:00 weekends Europe/Berlin")
    asked = request(timeout=3 * DAY, remind_after=2 * HOUR, escalation=(replace(TO_LEADS, after=DAY),), quiet=hours)
    monday = datetime.fromisoformat("2026-03-09T07:00:00+00:00")
    assert played(asked, later(days=9)) == [
        ("escalated", monday),
        ("reminded", monday),
        ("reminded", monday + 4 * HOUR),
        ("expired", later(days=3)),
    ]
    short = request(timeout=DAY, remind_after=2 * HOUR, quiet=hours)
    assert played(short, later(days=9)) == [("expired", later(days=1))]
    assert schedule.next_reminder(short) is None, "the card does not announce what never comes"


@pytest.mark.parametrize(
    ("asked_at", "first"),
    [
        ("2026-03-28T20:00:00+00:00", "2026-03-29T06:00:00+00:00"),
        ("2026-10-24T20:00:00+00:00", "2026-10-25T07:00:00+00:00"),
    ],
)
def test_reminder_after_a_dst_night_comes_at_eight_locally(asked_at: str, first: str) -> None:
    """R20"""
    hours = quiet_hours.parse("19:00-08:00 Europe/Berlin")
    asked = request(datetime.fromisoformat(asked_at), timeout=2 * DAY, remind_after=HOUR, quiet=hours)
    assert schedule.next_step(asked) == Next(datetime.fromisoformat(first), NextKind.REMIND)


def test_escalation_adds_deciders_to_the_first() -> None:
    """R9"""
    asked = request(timeout=DAY, escalation=(TO_LEADS, TO_DAVE))
    once = schedule.due(asked, later(hours=2))
    assert [e.type for e in once.events] == [RAISE]
    assert once.request.rules.reviewers == Reviewers(frozenset({BOB, CAROL}), frozenset({LEADS}))
    twice = schedule.due(once.request, later(hours=5)).request
    assert twice.rules.reviewers == Reviewers(frozenset({BOB, CAROL, DAVE}), frozenset({LEADS}))
    assert [schedule.place_of(twice, step) for step in twice.raised] == [LEADS_ROOM, APPROVALS]
    assert schedule.next_step(twice) == Next(later(days=1), NextKind.EXPIRE)


def test_outage_leaves_one_escalation_and_one_reminder() -> None:
    """R20, R26: not ten; those of the steps in between may decide too."""
    asked = request(timeout=DAY, remind_after=timedelta(minutes=5), escalation=(TO_LEADS, TO_DAVE))
    step = schedule.due(asked, later(hours=6))
    assert [e.type for e in step.events] == [RAISE, REMIND]
    assert [raised.number for raised in step.request.raised] == [1]
    assert step.request.rules.reviewers == Reviewers(frozenset({BOB, CAROL, DAVE}), frozenset({LEADS}))
    assert schedule.due(step.request, later(hours=6)).request == step.request
    assert schedule.next_step(step.request) == Next(later(hours=6, minutes=10), NextKind.REMIND)
    over = schedule.due(asked, later(days=2))
    assert [e.type for e in over.events] == [EventType.REQUEST_DECIDED]
    assert over.request.status is Status.EXPIRED


def test_outage_ending_in_quiet_hours_wakes_nobody() -> None:
    """R20: it was due before the quiet hours, when nobody was there."""
    asked = request(timeout=2 * DAY, remind_after=HOUR, quiet=quiet_hours.parse("19:00-08:00 UTC"))
    step = schedule.due(asked, later(hours=5))
    assert step.events == ()
    morning = NOW.replace(day=7, hour=8)
    assert schedule.next_step(step.request) == Next(morning, NextKind.REMIND)
    done = schedule.due(step.request, morning)
    assert [e.type for e in done.events] == [REMIND]
    assert schedule.next_step(done.request) == Next(morning + 2 * HOUR, NextKind.REMIND)


def test_snooze_delays_only_the_reminders() -> None:
    """R20: the escalation goes on; nothing is put off beyond the deadline."""
    asked = request(timeout=3 * DAY, remind_after=timedelta(minutes=5), escalation=(TO_LEADS,))
    bob = Actor(HERE, BOB)
    hour = schedule.snooze(asked, bob, Snooze.HOUR, NOW)
    assert hour.request.snoozed_by == BOB
    assert [e.type for e in hour.events] == [EventType.REQUEST_SNOOZED]
    assert schedule.next_step(hour.request) == Next(later(hours=1), NextKind.REMIND)
    morning = schedule.snooze(asked, bob, Snooze.MORNING, NOW).request
    assert schedule.next_reminder(morning) == NOW.replace(day=7, hour=9)
    assert schedule.next_step(morning) == Next(later(hours=2), NextKind.ESCALATE)
    after = schedule.due(hour.request, later(hours=1)).request
    assert (after.snoozed_until, schedule.next_reminder(after)) == (None, later(hours=1, minutes=10))
    soon = schedule.snooze(request(remind_after=HOUR / 2), bob, Snooze.MORNING, NOW).request
    assert soon.snoozed_until == soon.deadline
    assert schedule.next_step(soon) == Next(later(hours=1), NextKind.EXPIRE)


def test_tomorrow_morning_is_nine_local_time_despite_dst() -> None:
    """R20"""
    asked = request(timeout=30 * DAY, remind_after=HOUR, quiet=quiet_hours.parse("22:00-07:00 Europe/Berlin"))
    at = datetime.fromisoformat("2026-03-28T20:00:00+00:00")
    assert schedule.snooze_end(asked, Snooze.MORNING, at) == datetime.fromisoformat("2026-03-29T07:00:00+00:00")


def test_viewers_are_noted_and_lock_nobody_out() -> None:
    looked = schedule.look(request(), Actor(HERE, BOB), NOW)
    assert [(one.user, one.since) for one in looked.request.looking] == [(BOB, NOW)]
    assert not schedule.look(looked.request, Actor(HERE, BOB), later(minutes=1)).changes
    both = schedule.look(looked.request, Actor(HERE, CAROL), later(minutes=1)).request
    assert [one.user for one in both.looking] == [BOB, CAROL]


@pytest.mark.parametrize(("user", "refusal"), [(DAVE, Refusal.NOT_A_REVIEWER), (ALICE, Refusal.NOT_A_REVIEWER)])
def test_only_deciders_may_snooze_or_look(user: UserId, refusal: Refusal) -> None:
    """R9, R25: refused, and in the record."""
    for step in (
        schedule.look(request(), Actor(HERE, user), NOW),
        schedule.snooze(request(remind_after=HOUR), Actor(HERE, user), Snooze.HOUR, NOW),
    ):
        assert step.refusal is refusal
        assert [e.type for e in step.events] == [EventType.ATTEMPT_REFUSED]
        assert step.request.looking == () and step.request.snoozed_until is None


@pytest.mark.parametrize(
    ("steps", "sentence"),
    [
        ((Escalation(HOUR, Reviewers(frozenset({BOB, CAROL}))),), "circle"),
        ((TO_LEADS, replace(TO_LEADS, after=3 * HOUR)), "circle"),
        ((TO_DAVE, TO_LEADS), "later than"),
        ((replace(TO_LEADS, reviewers=Reviewers()),), "nobody"),
        ((replace(TO_LEADS, after=DAY),), "never happen"),
        (tuple(Escalation(HOUR * n, Reviewers(frozenset({UserId(f"U{n}")}))) for n in range(1, 8)), "at most 5"),
    ],
)
def test_circular_or_late_escalation_is_refused(steps: tuple[Escalation, ...], sentence: str) -> None:
    """R10: when it is configured."""
    found = problems_of(rules(timeout=DAY, escalation=steps))
    assert any(sentence in problem for problem in found), found
    assert channel_settings.escalation_problems((TO_LEADS, TO_DAVE), rules().reviewers, APPROVALS, DAY) == []


def test_settled_request_is_neither_reminded_nor_escalated() -> None:
    """R6"""
    asked = request(timeout=DAY, remind_after=HOUR, escalation=(TO_LEADS,))
    over = schedule.due(asked, later(days=1)).request
    assert schedule.next_step(over) is None
    assert schedule.due(over, later(days=2)).events == ()
