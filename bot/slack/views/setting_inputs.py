"""Settings as people write them, after `/approvals` or in its window.

A new setting has a row here, its field in `domain.channel_settings`, and its words in `settings_text`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from countersign.domain import quiet_hours
from countersign.domain.channel_settings import OnTimeout, say_value
from countersign.domain.durations import parse_duration, say_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.people import MEMBERS
from countersign.domain.slash_commands import NAMES

ON_TIMEOUT: Final = {
    OnTimeout.REJECT: "not approved; the agent is told that nobody answered",
    OnTimeout.WAIT: "no deadline; it waits until somebody decides",
    OnTimeout.APPROVE: "it counts as APPROVED even though nobody decided",
}
"""Meanings of a timeout, for the window and for sentences."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting: its word after `/approvals`, and its input in the window.

    `example` and `help` make its line of help. `read` turns text into a value (InvalidInput), and is None if that takes
    Slack; `show` turns a value into text. `noun` names what to give.
    """

    word: str
    example: str
    help: str
    read: Callable[[str], Any] | None = None
    label: str = ""
    hint: str = ""
    show: Callable[[Any], str] = str
    noun: str = "a value"


def _on_timeout(text: str) -> OnTimeout:
    try:
        return OnTimeout(text.lower())
    except ValueError:
        known = ", ".join(f"`{outcome.value}`" for outcome in OnTimeout)
        raise InvalidInput(f"“{text[:40]}” isn't one of {known}; nothing was changed.") from None


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,3}", text):
        raise InvalidInput(f"“{text[:40]}” isn't a whole number; nothing was changed.")
    return int(text)


def _yes_or_no(text: str) -> bool:
    known = {"yes": True, "on": True, "no": False, "off": False}
    if text.lower() not in known:
        raise InvalidInput(f"“{text[:40]}” isn't `yes` or `no`; nothing was changed.")
    return known[text.lower()]


def nobody_such(text: str) -> str:
    """Say that a word names neither a person nor a group."""
    return (
        f"“{text}” isn't a person or a user group; nothing was changed. Write them like `{NAMES.approvals} reviewers "
        f"@someone @a-group`, or `{MEMBERS}` for everyone in the approvals channel."
    )


def no_channel(name: str) -> str:
    """Say that the app is in no channel of this name."""
    return f"The app isn't in a channel named “{name}”; nothing was changed. Invite it there with `/invite` first."


def no_step(text: str) -> str:
    """Say that this is not a step of an escalation."""
    return (
        f"“{text}” isn't an escalation step; nothing was changed. Write it like `{NAMES.approvals} escalate 30m @leads "
        "#leads`."
    )


def _duration_or_off(text: str) -> timedelta:
    text = text.strip().lower()
    return timedelta(0) if text in ("", "off") else parse_duration(text)


SETTINGS: Final = {
    "timeout": Setting(
        "timeout",
        "15m",
        "how long reviewers have",
        parse_duration,
        "Timeout",
        "For example 90s, 15m, 1h30m or 2d",
        say_duration,
        "a duration",
    ),
    "on_timeout": Setting(
        "on-timeout",
        "reject",
        "(or `wait`, or `approve`) what happens when nobody decides in time",
        _on_timeout,
        noun="`reject`, `wait` or `approve`",
    ),
    "approvals_channel": Setting("channel", "#approvals", "where cards go", noun="a channel"),
    "reviewers": Setting(
        "reviewers",
        "@someone @a-group",
        "who can decide; `members` means everyone in the approvals channel",
        noun="people or groups",
    ),
    "quorum": Setting(
        "quorum",
        "2",
        "how many different people must approve",
        _number,
        "Approvals needed",
        "By different people. One rejection is enough to reject.",
        noun="a number",
    ),
    "own_requests": Setting(
        "own-requests",
        "no",
        "(or `yes`) whether people can decide on their own requests",
        _yes_or_no,
        "Requesters can decide on their own requests",
        show=say_value,
        noun="`yes` or `no`",
    ),
    "break_glass": Setting(
        "break-glass",
        "no",
        "(or `yes`) whether a requester can approve alone in an emergency",
        _yes_or_no,
        "Break-glass",
        "A requester can approve alone; all reviewers see the reason.",
        say_value,
        "`yes` or `no`",
    ),
    "remind_after": Setting(
        "remind",
        "15m",
        "(or `off`) when reviewers are first reminded; each later reminder waits twice as long",
        _duration_or_off,
        "Remind after",
        "For example 15m. Each later reminder waits twice as long. Enter off for none.",
        lambda after: say_duration(after) if after else "off",
        "a duration, or `off`",
    ),
    "escalation": Setting(
        "escalate",
        "30m @leads #leads then 2h @boss",
        "(or `off`) who else can decide after that long, and the channel where they are notified",
        noun="a duration and people, or `off`",
    ),
    "quiet": Setting(
        "quiet",
        "19:00-08:00 weekends Europe/Berlin",
        "(or `off`) when no reminders or escalations are sent",
        lambda text: quiet_hours.parse(text or "off"),
        "Quiet hours",
        "For example 19:00-08:00 weekends Europe/Berlin, or off. Deadlines still apply.",
        quiet_hours.say,
        "hours, or `off`",
    ),
}
"""By the field's name, which is also the block id of its input."""
BOXES: Final = tuple(name for name, setting in SETTINGS.items() if setting.read is _yes_or_no)
"""The settings that are checkboxes of one input."""
LINES: Final = tuple(name for name, setting in SETTINGS.items() if setting.label and name not in BOXES)
"""The settings that are a line of text, or a number."""
