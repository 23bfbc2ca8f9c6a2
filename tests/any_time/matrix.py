"""When and where the tests are run: moments, conditions, and the runs that cover both.

Each run is at one moment and carries at most one condition, so a row of the table that is red has two suspects at most.
All moments and all conditions are covered by as many runs as there are moments.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Final
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Moment:
    """A time at which the tests begin; the clock goes on from there."""

    name: str
    at: datetime
    zone: str = "UTC"
    """The machine's time zone."""

    @property
    def utc(self) -> str:
        return f"{self.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


@dataclass(frozen=True)
class Condition:
    """One thing that is different on somebody's machine."""

    name: str
    env: dict[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = ()
    """For pytest."""
    umask: int = -1
    network: bool = True
    ipv6: bool = True
    resolves: bool = True
    """Whether the machine's own name does."""
    tmp: str = ""
    """Name of the folder for temporary files."""


@dataclass(frozen=True)
class Run:
    """One run of a suite."""

    suite: str
    moment: Moment | None
    """None: the time that it is."""
    condition: Condition | None

    @property
    def name(self) -> str:
        parts = (self.suite, self.moment and self.moment.name, self.condition and self.condition.name)
        return " ".join(part for part in parts if part)


def _changes(zone: str, name: str, year: int) -> list[Moment]:
    """Half a minute before each change of the clock in a zone."""
    hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(366 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    changes = [hour for hour, before, after in zip(hours[1:], offsets, offsets[1:], strict=False) if before != after]
    spring, autumn = (change - timedelta(seconds=30) for change in changes)
    return [Moment(f"{name}-spring", spring, zone), Moment(f"{name}-autumn", autumn, zone)]


def _moment(name: str, *moment: int) -> Moment:
    year, month, day, hour, minute, second = moment
    return Moment(name, datetime(year, month, day, hour, minute, second, tzinfo=UTC))


HOURS: Final = tuple(_moment(f"{hour:02}:00", 2027, 5, 12, hour, 0, 0) for hour in range(24))
DATES: Final = (
    _moment("new-year", 2027, 12, 31, 23, 59, 30),
    _moment("leap-day", 2028, 2, 29, 12, 0, 0),
    _moment("month-end", 2027, 4, 30, 23, 59, 0),
    *_changes("Europe/Berlin", "berlin", 2027),
    *_changes("America/New_York", "new-york", 2027),
)
MOMENTS: Final = (*HOURS, *DATES)

CONDITIONS: Final = (
    Condition("no-network", network=False),
    Condition("random-order", options=("--random-order", "--random-order-bucket=global")),
    Condition("umask-077", umask=0o077),
    Condition("tmpdir", tmp="vorläufige Dateien"),
    Condition("host-unresolved", resolves=False),
    Condition("no-ipv6", network=False, ipv6=False),
    Condition("lang-c", env={"LANG": "C", "LC_ALL": "C"}),
    Condition("lang-de", env={"LANG": "de_DE.UTF-8", "LC_ALL": "de_DE.UTF-8"}),
    *(Condition(f"hash-{seed}", env={"PYTHONHASHSEED": seed}) for seed in ("0", "1", "42", "4711", "4294967295")),
    Condition("tz-kiritimati", env={"TZ": "Pacific/Kiritimati"}),
    Condition("tz-st-johns", env={"TZ": "America/St_Johns"}),
    Condition("tz-kathmandu", env={"TZ": "Asia/Kathmandu"}),
)
"""That the user is an ordinary one, in a folder with a space and a letter beyond ASCII, is true of every run."""

_SLOW: Final = ("03:00", "new-year", "berlin-spring", "19:00")


def any_time() -> list[Run]:
    """All moments, the hours with one condition each as long as there are some; the slow suite at four moments."""
    quick = [Run("quick", *pair) for pair in zip_longest(_mixed(HOURS), CONDITIONS)]
    quick += [Run("quick", moment, None) for moment in DATES]
    return quick + [Run("slow", moment, None) for name in _SLOW for moment in MOMENTS if moment.name == name]


def any_machine() -> list[Run]:
    """All conditions, at the time that it is."""
    return [Run("quick", None, condition) for condition in CONDITIONS]


def _mixed(hours: tuple[Moment, ...]) -> list[Moment]:
    """Far hours first, so that an interrupted matrix has seen all parts of the day."""
    return [hours[hour] for start in (0, 1, 2) for hour in range(start, len(hours), 3)]
