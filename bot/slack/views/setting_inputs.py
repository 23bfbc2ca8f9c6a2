"""Settings as people write them, after `/approvals` or in its window.

A new setting has a row here, its field in `domain.channel_settings`, and its words in `settings_text`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from countersign.domain import quiet_hours
from countersign.domain.channel_settings import OnTimeout, parse_duration, say_duration
from countersign.domain.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its word after `/approvals`, and its input in the window.

    `example` and `help` make its line of help. `read` turns text into a value (InvalidInput), and is None if that takes
    Slack; `show` turns a value into text.
    """

    word: str
    example: str
    help: str
    read: Callable[[str], Any] | None = None
    label: str = ""
    hint: str = ""
    show: Callable[[Any], str] = str

    @property
    def usage(self) -> str:
        """The line of help, in mrkdwn."""
        return f"*`/approvals {self.word} {self.example}`* {self.help}"


def _on_timeout(text: str) -> OnTimeout:
    try:
        return OnTimeout(text.lower())
    except ValueError:
        known = ", ".join(f"`{outcome.value}`" for outcome in OnTimeout)
        raise InvalidInput(f"“{text[:40]}” is not one of {known}; nothing was changed.") from None


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise InvalidInput(f"“{text[:40]}” is not a whole number; nothing was changed.")
    return int(text)


def _yes_or_no(text: str) -> bool:
    known = {"yes": True, "on": True, "no": False, "off": False}
    if text.lower() not in known:
        raise InvalidInput(f"“{text[:40]}” is neither `yes` nor `no`; nothing was changed.")
    return known[text.lower()]


def _duration_or_off(text: str) -> timedelta:
    text = text.strip().lower()
    return timedelta(0) if text in ("", "off") else parse_duration(text)


SETTINGS: Final = {
    "timeout": Setting(
        "timeout",
        "15m",
        "how long a request waits",
        parse_duration,
        "How long a request waits",
        "Like 90s, 15m, 1h30m, 2d",
        say_duration,
    ),
    "on_timeout": Setting(
        "on-timeout", "reject", "(or `wait`, or `approve`) what happens when nobody decides in time", _on_timeout
    ),
    "approvals_channel": Setting("channel", "#approvals", "where cards go"),
    "reviewers": Setting(
        "reviewers", "@someone @a-group", "who decides; `members` are all in the channel that cards go to"
    ),
    "quorum": Setting(
        "quorum",
        "2",
        "how many different people must approve",
        _number,
        "Approvals needed",
        "By different people. One rejection is enough to reject.",
    ),
    "own_requests": Setting(
        "own-requests",
        "no",
        "(or `yes`) whether people may decide on what they started",
        _yes_or_no,
        "Requesters may decide on their own requests",
    ),
    "break_glass": Setting(
        "break-glass",
        "no",
        "(or `yes`) whether a requester may decide alone in an emergency",
        _yes_or_no,
        "Break-glass",
        "A requester decides alone in an emergency; all reviewers read the reason.",
    ),
    "remind_after": Setting(
        "remind",
        "15m",
        "(or `off`) when reviewers are first reminded; each later reminder waits twice as long",
        _duration_or_off,
        "Remind after",
        "Like 15m; then after twice as long, and so on. Off: never.",
        lambda after: say_duration(after) if after else "off",
    ),
    "escalation": Setting(
        "escalate",
        "30m @leads #leads then 2h @boss",
        "(or `off`) who else may decide after that long, and the channel that tells them",
    ),
    "quiet": Setting(
        "quiet",
        "19:00-08:00 weekends Europe/Berlin",
        "(or `off`) when nobody is reminded or asked next",
        lambda text: quiet_hours.parse(text or "off"),
        "Quiet hours",
        "Like 19:00-08:00 weekends Europe/Berlin, or off. Time runs out in them too.",
        quiet_hours.say,
    ),
}
"""By the field's name, which is also the block id of its input."""
BOXES: Final = ("own_requests", "break_glass")
"""The settings that are checkboxes of one input."""
LINES: Final = ("timeout", "quorum", "remind_after", "quiet")
"""The settings that are a line of text, or a number."""
