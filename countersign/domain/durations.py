"""Durations, as people write and read them."""

import re
from datetime import timedelta
from typing import Final

from countersign.domain.errors import InvalidInput

SHORTEST: Final = timedelta(seconds=5)
LONGEST: Final = timedelta(days=30)
_UNITS: Final = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_duration(words: str, longest: timedelta = LONGEST) -> timedelta:
    """Parse `90s`, `15m` or `15 min`, `1h30m`, `2d`, `1w`.

    InvalidInput for anything else, and for less than 5 seconds or more than `longest`.
    """
    text = words.strip().lower().replace(" ", "")
    if not re.fullmatch(r"(?:[0-9]{1,7}(?:min|[smhdw]))+", text):
        raise InvalidInput(
            f"“{words.strip()[:40]}” is not a duration; nothing was changed. Write it like 90s, 15m, 1h30m or 2d."
        )
    seconds = sum(int(n) * _UNITS[u] for n, u in re.findall(r"(\d+)(min|[smhdw])", text))
    if not SHORTEST.total_seconds() <= seconds <= longest.total_seconds():  # a larger number may overflow a timedelta
        raise InvalidInput(
            f"“{words.strip()[:40]}” is out of range; nothing was changed. "
            f"A timeout is at least {say_duration(SHORTEST)} and at most {say_duration(longest)}."
        )
    return timedelta(seconds=seconds)


def say_duration(span: timedelta) -> str:
    """Format a duration so that `parse_duration` reads it: 1 h 30 min, 45 s, 2 d."""
    left = int(span.total_seconds())
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0 s"


def say_roughly(span: timedelta) -> str:
    """Format a duration in one unit, as people say it: 42 s, 7 min, 3.5 h, 2.1 d."""
    seconds = span.total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            count = seconds / size
            return f"{count:.0f} {unit}" if count >= 10 or unit == "min" else f"{count:.1f} {unit}".replace(".0 ", " ")
    return f"{seconds:.0f} s"
