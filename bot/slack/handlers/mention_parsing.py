"""Parse people, groups and channels typed after a command: mentions or ids.

Slack escapes mentions before a command reaches us.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from countersign.domain.channel_settings import Escalation
from countersign.domain.durations import parse_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import MEMBERS, Reviewers

from ..people.users_and_groups import Directory
from ..views import setting_inputs
from ..views.slack_markup import NAMED, escape, unescape

_CHANNEL: Final = r"<#?([CG][A-Z0-9]+)(?:\|[^>]*)?>|([CG][A-Z0-9]{6,})"
"""A private channel comes as `<C987|>`."""
_USER: Final = r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>|([UW][A-Z0-9]{6,})"
_GROUP: Final = r"<!subteam\^(S[A-Z0-9]+)(?:\|[^>]*)?>|(S[A-Z0-9]{6,})"
_NAMELESS: Final = re.compile(r"<(@[UW][A-Z0-9]+|#?[CG][A-Z0-9]+|!subteam\^S[A-Z0-9]+)\|?>")
_BETWEEN: Final = r"[\s,]+"
_THEN: Final = re.compile(r"(?i)(?<!\S)then(?!\S)|;")
"""Only as a separate word: a channel's name may contain it."""
_SPAN: Final = re.compile(r"(?i)(?:\d+\s*(?:min|[smhdw])(?![a-z])[\s,]*)+")


def people_named(tokens: Iterable[str]) -> Reviewers:
    """Read people and groups. InvalidInput for a token that is neither."""
    users, groups, members = set(), set(), False
    for token in tokens:
        if token.lower() == MEMBERS:
            members = True
        elif user := re.fullmatch(_USER, token):
            users.add(UserId(user[1] or user[2]))
        elif group := re.fullmatch(_GROUP, token):
            groups.add(GroupId(group[1] or group[2]))
        elif token:
            raise InvalidInput(setting_inputs.nobody_such(unescape(token)[:40]))
    return Reviewers(frozenset(users), frozenset(groups), members)


async def typed(directory: Directory, text: str) -> str:
    """Restore the typed text for models, with a name for each id.

    If Slack does not tell an id's name, the id stays.
    """
    marks = list(dict.fromkeys(_NAMELESS.findall(text)))[:NAMED]
    names = dict(zip(marks, await asyncio.gather(*(_name(directory, mark) for mark in marks)), strict=True))

    def named(mention: re.Match[str]) -> str:
        mark = mention[1] if mention[1][0] in "@#!" else f"#{mention[1]}"
        name = escape(names.get(mention[1], "").replace("|", " "))
        return f"<{mark}|{name}>" if name else f"<{mark}>"

    return unescape(_NAMELESS.sub(named, text))


async def _name(directory: Directory, mark: str) -> str:
    """Return the name of a user, channel or group; "" if Slack did not say."""
    if mark.startswith("@"):
        name = (await directory.name(UserId(mark[1:]))).removeprefix("@")
        return "" if name == mark[1:] else name
    if mark.startswith("!"):
        return (await directory.groups() or {}).get(GroupId(mark.removeprefix("!subteam^")), "")
    channel = await directory.channel(ChannelId(mark.removeprefix("#")))
    return channel.name if channel is not None else ""


async def _reviewers(directory: Directory, text: str) -> Reviewers:
    return people_named(re.split(_BETWEEN, text))


async def _channel(directory: Directory, name: str) -> ChannelId:
    """Read a channel; an id is taken unchecked.

    InvalidInput if the app is not in a channel of this name.
    """
    if mention := re.fullmatch(_CHANNEL, name):
        return ChannelId(mention[1] or mention[2])
    channel = await directory.channel_named(name)
    if channel is None:
        raise InvalidInput(setting_inputs.no_channel(unescape(name)[:80]))
    return channel


async def _escalation(directory: Directory, text: str) -> tuple[Escalation, ...]:
    parts = [] if text.lower() == "off" else _THEN.split(text)
    return tuple([await _step(directory, part) for part in parts])


async def _step(directory: Directory, words: str) -> Escalation:
    words = words.strip()
    span = _SPAN.match(words)
    after = span[0].rstrip(" ,") if span else re.split(_BETWEEN, words)[0]
    tokens = re.split(_BETWEEN, words[span.end() if span else len(after) :].strip(" ,"))
    channels = [token for token in tokens if token.startswith("#") or re.fullmatch(_CHANNEL, token)]
    if not after or tokens == [""] or len(channels) > 1:
        raise InvalidInput(setting_inputs.no_step(unescape(words)[:80]))
    people = people_named(token for token in tokens if token not in channels)
    channel = await _channel(directory, channels[0]) if channels else None
    return Escalation(parse_duration(unescape(after)), people, channel)


READERS: Final[dict[str, Callable[[Directory, str], Awaitable[Any]]]] = {
    "approvals_channel": _channel,
    "reviewers": _reviewers,
    "escalation": _escalation,
}
"""Readers of the settings that name people or channels, by field."""
