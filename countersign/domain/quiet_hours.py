"""Quiet hours, by the wall clock of the channel's time zone.

Changes to and from summer time follow the wall clock: if the clock jumps over the end of the quiet hours, they end with
the jump; if it is put back, the repeated hours are quiet twice.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from countersign.domain.errors import InvalidInput

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_STEMS: Final = {
    **{day: number for number, day in enumerate(DAYS)},
    **{"tues": 1, "wednes": 2, "thur": 3, "thurs": 3, "satur": 5},
}
_WEEKENDS: Final = frozenset({5, 6})
_HINT: Final = "Write it like `19:00-08:00 weekends Europe/Berlin`, or `off`."


@dataclass(frozen=True, slots=True)
class Quiet:
    """Hours from `since` to `until` each day, and all of `days` (0 is Monday).

    If `since` is later than `until`, the hours cross midnight. `zone` is an IANA time zone name.
    """

    zone: str = "UTC"
    since: time | None = None
    until: time | None = None
    days: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        return self.since is not None or bool(self.days)

    def covers(self, at: datetime) -> bool:
        """Tell whether it is quiet at this moment."""
        here = at.astimezone(zone_of(self.zone))
        if here.weekday() in self.days:
            return True
        if self.since is None or self.until is None:
            return False
        clock = here.time()
        if self.since < self.until:
            return self.since <= clock < self.until
        return clock >= self.since or clock < self.until

    def end(self, at: datetime) -> datetime:
        """Return the first moment, at `at` or later, that is not quiet, in UTC.

        The hours must pass `why_not`.
        """
        if not self or not self.covers(at):
            return at
        today = at.astimezone(zone_of(self.zone)).date()
        for later in range(-1, 9):
            for moment in self._turns(today + timedelta(days=later)):
                if moment > at and not self.covers(moment):
                    return moment
        raise ValueError(f"these quiet hours never end: {self}")

    def why_not(self) -> str | None:
        """Return, in a sentence, why these hours must not be set; None if they may."""
        if (self.since is None) != (self.until is None):
            return "Quiet hours need a beginning and an end."
        if self.since is not None and self.since == self.until:
            return "Quiet hours that begin and end at the same time would never end: leave some time in between."
        if self.days >= frozenset(range(7)):
            return "Quiet hours on all seven days would never end: leave at least one day."
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            return f"There is no time zone “{self.zone[:40]}” here; write it like Europe/Berlin."
        return None

    def _turns(self, day: date) -> Iterator[datetime]:
        """Yield the moments of a day at which quiet may end, in UTC, in order."""
        zone = zone_of(self.zone)
        for clock in (time(0), self.until or time(0)):
            wall = datetime.combine(day, clock)
            first, second = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
            yield from dict.fromkeys((first, second)) if first <= second else (_jump(second, first, wall, zone),)


def zone_of(name: str) -> ZoneInfo:
    """Return the time zone; UTC if this process does not know it.

    A missing time zone file must not keep people from deciding.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def _jump(earliest: datetime, latest: datetime, wall: datetime, zone: ZoneInfo) -> datetime:
    """Find the second in this range at which the clock skipped the time `wall`."""

    def is_past(second: int) -> bool:
        return (earliest + timedelta(seconds=second)).astimezone(zone).replace(tzinfo=None) >= wall

    seconds = range(int((latest - earliest).total_seconds()))
    return earliest + timedelta(seconds=bisect_left(seconds, True, key=is_past))


NEVER: Final = Quiet()


def parse(words: str) -> Quiet:
    """Parse `19:00-08:00 weekends Europe/Berlin`, `sat,sun UTC`, or `off`.

    InvalidInput for anything else, and for hours that never end.
    """
    if words.strip().lower() == "off":
        return Quiet()
    since = until = zone = None
    days: set[int] = set()
    for word in re.split(r"[\s,]+", words.strip()):
        if span := re.fullmatch(r"([0-2]?\d):([0-5]\d)[-–]([0-2]?\d):([0-5]\d)", word):
            since, until = _clock(span[1], span[2]), _clock(span[3], span[4])
        elif word.lower() in ("weekend", "weekends"):
            days |= _WEEKENDS
        elif (day := word.lower().removesuffix("s").removesuffix("day")) in _STEMS:
            days.add(_STEMS[day])
        elif zone is None and re.fullmatch(r"[A-Za-z][\w+/-]*", word):
            zone = word
        else:
            raise InvalidInput(f"“{word[:40]}” is neither a time, a day nor a time zone; nothing was changed. {_HINT}")
    if zone is None:
        raise InvalidInput(f"Add a time zone; nothing was changed. {_HINT}")
    quiet = Quiet(zone, since, until, frozenset(days))
    if not quiet:
        raise InvalidInput(f"Add hours or days; nothing was changed. {_HINT}")
    if why_not := quiet.why_not():
        raise InvalidInput(f"{why_not} Nothing was changed.")
    return quiet


def say(quiet: Quiet) -> str:
    """Write the hours as `parse` reads them."""
    if not quiet:
        return "off"
    hours = f"{quiet.since:%H:%M}-{quiet.until:%H:%M}" if quiet.since is not None else ""
    days = "weekends" if quiet.days == _WEEKENDS else ",".join(DAYS[day] for day in sorted(quiet.days))
    return " ".join(part for part in (hours, days, quiet.zone) if part)


def _clock(hours: str, minutes: str) -> time:
    if int(hours) > 23:
        raise InvalidInput(f"“{hours}:{minutes}” is no time of day; nothing was changed. {_HINT}")
    return time(int(hours), int(minutes))
