"""Quiet hours, by the clock on the wall: over midnight, a weekend, and the days on which the clock is changed."""

from datetime import UTC, datetime, time

import pytest

from countersign.domain import quiet_hours
from countersign.domain.errors import InvalidInput
from countersign.domain.quiet_hours import Quiet

NIGHTS = quiet_hours.parse("19:00-08:00 weekends Europe/Berlin")


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2026-03-05 17:59", "2026-03-05 17:59"),  # Thursday, a minute to seven in Berlin
        ("2026-03-05 18:00", "2026-03-06 07:00"),
        ("2026-03-06 06:59", "2026-03-06 07:00"),
        ("2026-03-06 07:00", "2026-03-06 07:00"),
        ("2026-03-06 18:00", "2026-03-09 07:00"),  # Friday evening to Monday morning
        ("2026-03-07 12:00", "2026-03-09 07:00"),
        ("2026-03-27 20:00", "2026-03-30 06:00"),  # over the change to summer time
        ("2026-10-23 20:00", "2026-10-26 07:00"),  # and back
    ],
)
def test_time_in_quiet_hours_moves_to_their_end(at: str, end: str) -> None:
    """R20: on the wall of the channel's zone, in UTC everywhere else."""
    assert NIGHTS.end(utc(at)) == utc(end)


@pytest.mark.parametrize(
    ("words", "at", "end"),
    [
        # The clock jumps from 2:00 to 3:00, at 1:00 UTC: 2:30 is never shown.
        ("23:00-02:30 Europe/Berlin", "2026-03-28 23:00", "2026-03-29 01:00"),
        # It is put back from 3:00 to 2:00, at 1:00 UTC: 2:15 to 2:45 is shown twice, and is quiet twice.
        ("02:15-02:45 Europe/Berlin", "2026-10-25 00:20", "2026-10-25 00:45"),
        ("02:15-02:45 Europe/Berlin", "2026-10-25 01:20", "2026-10-25 01:45"),
        # In Cairo the day itself begins an hour late.
        ("thu Africa/Cairo", "2026-04-23 12:00", "2026-04-23 22:00"),
        ("fri Africa/Cairo", "2026-04-23 21:30", "2026-04-23 21:30"),
        # Lord Howe Island moves by half an hour.
        ("22:00-02:10 Australia/Lord_Howe", "2026-10-03 14:00", "2026-10-03 15:30"),
    ],
)
def test_quiet_hours_follow_a_dst_change(words: str, at: str, end: str) -> None:
    """R20"""
    assert quiet_hours.parse(words).end(utc(at)) == utc(end)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("08:00-08:00 Europe/Berlin", "would never end"),
        ("mon tue wed thu fri weekends UTC", "would never end"),
        ("19:00-08:00", "Add a time zone"),
        ("19:00-08:00 Europe/Atlantis", "no time zone"),
        ("19:00-08:00 ../../etc/passwd", "is neither a time"),
        ("19:00-25:00 UTC", "no time of day"),
        ("19-8 UTC", "is neither a time"),
        ("UTC", "Add hours or days"),
    ],
)
def test_invalid_quiet_hours_are_refused(words: str, sentence: str) -> None:
    """R20"""
    with pytest.raises(InvalidInput, match=sentence):
        quiet_hours.parse(words)


@pytest.mark.parametrize(
    "words", ["19:00-08:00 weekends Europe/Berlin", "09:00-12:00 UTC", "tue,fri Asia/Tokyo", "off"]
)
def test_described_quiet_hours_can_be_parsed_again(words: str) -> None:
    """The text is a setting with the same meaning."""
    assert quiet_hours.say(quiet_hours.parse(words)) == words


def test_full_day_names_are_understood() -> None:
    assert quiet_hours.parse("Saturdays wednesday, thurs UTC").days == {2, 3, 5}


def test_daytime_quiet_hours_end_the_same_day() -> None:
    lunch = Quiet("UTC", time(12), time(13))
    assert lunch.end(utc("2026-03-06 12:30")) == utc("2026-03-06 13:00")
    assert not lunch.covers(utc("2026-03-06 11:59")) and not lunch.covers(utc("2026-03-06 13:00"))


def test_unknown_time_zone_counts_as_utc() -> None:
    """R4: settings were stored where it was known; a process without the list of zones goes on all the same."""
    lost = Quiet("Europe/Atlantis", time(19), time(8))
    assert lost.end(utc("2026-03-06 20:00")) == utc("2026-03-07 08:00")
