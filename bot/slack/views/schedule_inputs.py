"""The inputs of the settings' window about reminders and quiet hours: ids, what they show, how they are read."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from countersign.domain import quiet_hours
from countersign.domain.channel_settings import Rules, parse_duration, say_duration


@dataclass(frozen=True, slots=True)
class Input:
    """One line of text; `show` and `read` turn a setting into what stands there, and back (InvalidInput)."""

    label: str
    hint: str
    show: Callable[[Rules], str]
    read: Callable[[str], Any]


def _remind(words: str) -> timedelta:
    text = words.strip().lower()
    return timedelta(0) if text in ("", "off") else parse_duration(text)


INPUTS: Final[dict[str, Input]] = {
    "remind_after": Input(
        "Remind after",
        "Like 15m; then after twice as long, and so on. Off: never.",
        lambda rules: say_duration(rules.remind_after) if rules.remind_after else "off",
        _remind,
    ),
    "quiet": Input(
        "Quiet hours",
        "Like 19:00-08:00 weekends Europe/Berlin, or off. Time runs out in them too.",
        lambda rules: quiet_hours.say(rules.quiet),
        lambda words: quiet_hours.parse(words or "off"),
    ),
}
"""By block id, which is the name of the setting."""
