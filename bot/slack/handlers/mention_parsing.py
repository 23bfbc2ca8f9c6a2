"""People, groups and channels as somebody names them in a command: mentions, which Slack escapes, or ids."""

import re
from collections.abc import Iterable
from typing import Final

from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import MEMBERS, Reviewers

from ..views.safe_text import unescape
from .responses import Desk

_CHANNEL: Final = r"<#([CG][A-Z0-9]+)(?:\|[^>]*)?>|([CG][A-Z0-9]{6,})"
_USER: Final = r"<@([UW][A-Z0-9]+)(?:\|[^>]*)?>|([UW][A-Z0-9]{6,})"
_GROUP: Final = r"<!subteam\^(S[A-Z0-9]+)(?:\|[^>]*)?>|(S[A-Z0-9]{6,})"


def is_channel(token: str) -> bool:
    """Whether it reads like a channel, known or not."""
    return token.startswith("#") or re.fullmatch(_CHANNEL, token) is not None


async def channel_named(desk: Desk, name: str) -> ChannelId:
    """InvalidInput if the app is in no channel of this name; an id is taken as it is."""
    if mention := re.fullmatch(_CHANNEL, name):
        return ChannelId(mention[1] or mention[2])
    found = await desk.directory.room_named(name)
    if found is None:
        raise InvalidInput(
            f"The app is in no channel “{unescape(name)[:80]}”; nothing was changed. "
            "Invite it there with `/invite` first."
        )
    return found


def people_named(tokens: Iterable[str]) -> Reviewers:
    """InvalidInput if one of them is neither a person nor a group."""
    users, groups, members = set(), set(), False
    for token in tokens:
        if token.lower() == MEMBERS:
            members = True
        elif user := re.fullmatch(_USER, token):
            users.add(UserId(user[1] or user[2]))
        elif group := re.fullmatch(_GROUP, token):
            groups.add(GroupId(group[1] or group[2]))
        elif token:
            raise InvalidInput(
                f"“{unescape(token)[:40]}” is neither a person nor a user group; nothing was changed. "
                f"Write them like `/approvals reviewers @someone @a-group`, or `{MEMBERS}` for everybody in the "
                "channel that cards go to."
            )
    return Reviewers(frozenset(users), frozenset(groups), members)
