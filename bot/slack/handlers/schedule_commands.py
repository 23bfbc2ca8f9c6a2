"""`/approvals remind`, `escalate`, `quiet`: what happens in a channel while nobody decides, in words."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Final

from countersign.domain import quiet_hours
from countersign.domain.channel_settings import ChannelSettings, Rules, parse_duration, say_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.escalation import Escalation

from ..views.request_text import named
from ..views.safe_text import unescape
from ..views.slack_markup import mention
from .mention_parsing import channel_named, is_channel, people_named
from .responses import Desk

HELP: Final = (
    "*`/approvals remind 15m`* (or `off`) reviewers are reminded after so long, then after twice as long, and so on\n"
    "*`/approvals escalate 30m @leads #leads then 2h @boss`* (or `off`) who may decide too after so long, told where\n"
    "*`/approvals quiet 19:00-08:00 weekends Europe/Berlin`* (or `off`) when nobody is reminded or asked next"
)
_THEN: Final = re.compile(r"(?i)(?<!\S)then(?!\S)|;")
"""A word of its own: a channel's name may hold it."""
_SPAN: Final = re.compile(r"(?i)(?:\d+\s*(?:min|[smhdw])(?![a-z])[\s,]*)+")
Edit = Callable[[ChannelSettings], ChannelSettings]


def say(rules: Rules) -> str:
    """What is in force, in words."""
    reminds = f"after {say_duration(rules.remind_after)}, then in growing gaps" if rules.remind_after else "never"
    steps = [
        f"after {say_duration(step.after)} to {named(step.reviewers)}"
        + (f" in {mention(step.channel)}" if step.channel else "")
        for step in rules.escalation
    ]
    return (
        f"• reminds: {reminds}; goes to others: {', '.join(steps) or 'never'}; "
        f"quiet hours: {quiet_hours.say(rules.quiet)} (time runs out in them too)"
    )


async def _remind(desk: Desk, rest: str) -> Edit:
    after = timedelta(0) if rest.lower() == "off" else parse_duration(unescape(rest))
    return lambda own: replace(own, remind_after=after)


async def _escalate(desk: Desk, rest: str) -> Edit:
    parts = [] if rest.lower() == "off" else _THEN.split(rest)
    steps = tuple([await _step(desk, part) for part in parts])
    return lambda own: replace(own, escalation=steps)


async def _step(desk: Desk, words: str) -> Escalation:
    words = words.strip()
    span = _SPAN.match(words)
    after = span[0].rstrip(" ,") if span else re.split(r"[\s,]+", words)[0]
    tokens = re.split(r"[\s,]+", words[span.end() if span else len(after) :].strip(" ,"))
    rooms = [token for token in tokens if is_channel(token)]
    if not after or tokens == [""] or len(rooms) > 1:
        raise InvalidInput(
            f"“{unescape(words)[:80]}” is no step of an escalation; nothing was changed. "
            "Write it like `/approvals escalate 30m @leads #leads`."
        )
    people = people_named(token for token in tokens if token not in rooms)
    return Escalation(parse_duration(unescape(after)), people, await channel_named(desk, rooms[0]) if rooms else None)


async def _quiet(desk: Desk, rest: str) -> Edit:
    hours = quiet_hours.parse(unescape(rest))
    return lambda own: replace(own, quiet=hours)


WORDS: Final[dict[str, Callable[[Desk, str], Awaitable[Edit]]]] = {
    "remind": _remind,
    "escalate": _escalate,
    "quiet": _quiet,
}
