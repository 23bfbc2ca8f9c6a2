"""conversations.* and users.conversations."""

from typing import Any

from .api_chat import room
from .errors import Json, SlackError
from .methods import TIER_2, TIER_3, TIER_4, Arguments, Method
from .platform import Platform
from .workspace import Channel, Message


def channel_json(platform: Platform, channel: Channel) -> Json:
    workspace = platform.workspace
    outsiders = workspace.outsiders(channel)
    external = channel.is_ext_shared or any(u.enterprise != workspace.enterprise or not u.enterprise for u in outsiders)
    internal = channel.is_org_shared or any(u.enterprise == workspace.enterprise != "" for u in outsiders)
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not channel.is_private,
        "is_group": channel.is_private and not channel.is_im,
        "is_im": channel.is_im,
        "is_mpim": False,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_general": channel.name == "general",
        "is_member": workspace.bot_user in channel.members,
        "num_members": len(channel.members),
        "context_team_id": workspace.id,
        "is_shared": external or internal,
        "is_ext_shared": external,
        "is_org_shared": internal,
        "is_pending_ext_shared": False,
        "shared_team_ids": sorted({workspace.id, *(user.team_id for user in outsiders)}),
    }


def _page(args: Arguments, items: list[Any], name: str, default: int = 100, most: int = 1000) -> Json:
    page, cursor = args.page(items, default, most)
    return {name: page, "response_metadata": {"next_cursor": cursor}}


def _between(args: Arguments, messages: list[Message]) -> list[Message]:
    """Return those between `oldest` and `latest`; these count if `inclusive`."""
    try:
        oldest, latest = float(args.text("oldest") or 0), float(args.text("latest") or "inf")
    except ValueError:
        raise SlackError("invalid_arguments") from None
    edges = (oldest, latest) if args.flag("inclusive") else ()
    return [message for message in messages if oldest < float(message.ts) < latest or float(message.ts) in edges]


def _history(platform: Platform, args: Arguments) -> Json:
    channel = room(platform, args.needed("channel", "channel_not_found"))
    messages = [m for m in channel.posts.values() if not m.is_reply or m.broadcast]
    newest_first = list(reversed(_between(args, messages)))
    metadata = args.flag("include_all_metadata")
    page = _page(args, [platform.message_json(m, metadata=metadata) for m in newest_first], "messages", most=999)
    return {**page, "has_more": bool(page["response_metadata"]["next_cursor"]), "pin_count": 0}


def _replies(platform: Platform, args: Arguments) -> Json:
    channel = room(platform, args.needed("channel", "channel_not_found"))
    ts = args.needed("ts", "invalid_ts_latest")
    if ts not in channel.posts:
        raise SlackError("thread_not_found")
    parent, *replies = channel.live_thread(ts)
    shown = [parent, *_between(args, replies)]
    metadata = args.flag("include_all_metadata")
    page = _page(args, [platform.message_json(m, metadata=metadata) for m in shown], "messages", 1000)
    return {**page, "has_more": bool(page["response_metadata"]["next_cursor"])}


def _info(platform: Platform, args: Arguments) -> Json:
    channel = room(platform, args.needed("channel", "channel_not_found"), member=False)
    return {"channel": channel_json(platform, channel)}


def _of_types(args: Arguments, channels: list[Channel]) -> list[Channel]:
    types = args.text("types", "public_channel").split(",")
    hide_archived = args.flag("exclude_archived")

    def kind(channel: Channel) -> str:
        return "im" if channel.is_im else "private_channel" if channel.is_private else "public_channel"

    return [c for c in channels if kind(c) in types and not (hide_archived and c.is_archived)]


def _list(platform: Platform, args: Arguments) -> Json:
    bot = platform.workspace.bot_user
    seen = [c for c in platform.workspace.channels.values() if not c.is_private or bot in c.members]
    return _page(args, [channel_json(platform, c) for c in _of_types(args, seen)], "channels")


def _conversations_of(platform: Platform, args: Arguments) -> Json:
    """List a user's channels, without private ones where the app is not.

    At most 999 a page, and without two of the fields: https://docs.slack.dev/reference/methods/users.conversations
    """
    bot = platform.workspace.bot_user
    user = platform.workspace.user(args.text("user") or bot).id
    channels = platform.workspace.channels.values()
    joined = [c for c in channels if user in c.members and (bot in c.members or not c.is_private)]
    left_out = ("is_member", "num_members")
    shown = [channel_json(platform, channel) for channel in _of_types(args, joined)]
    shown = [{name: value for name, value in channel.items() if name not in left_out} for channel in shown]
    return _page(args, shown, "channels", most=999)


def _join(platform: Platform, args: Arguments) -> Json:
    channel = room(platform, args.needed("channel", "channel_not_found"), member=False)
    if channel.is_private:
        raise SlackError("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise SlackError("is_archived")
    platform.join(channel, platform.workspace.bot_user)
    return {"channel": channel_json(platform, channel)}


def _members(platform: Platform, args: Arguments) -> Json:
    channel = room(platform, args.needed("channel", "channel_not_found"), member=False)
    return _page(args, sorted(channel.members), "members", most=999)


def _open(platform: Platform, args: Arguments) -> Json:
    users = [user for user in args.text("users").split(",") if user]
    if args.text("channel"):
        return {"channel": channel_json(platform, room(platform, args.text("channel")))}
    if not users:
        raise SlackError("users_list_not_supplied")
    if len(users) > 1 or users[0] not in platform.workspace.users:
        raise SlackError("user_not_found")
    if platform.workspace.users[users[0]].deleted:
        raise SlackError("user_disabled")
    return {"channel": {"id": platform.workspace.direct(users[0]).id}}


_READ = ("channels:read", "groups:read", "im:read", "mpim:read")
_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
METHODS = {
    "conversations.history": Method(_history, TIER_3, _HISTORY, reads=True),
    "conversations.replies": Method(_replies, TIER_3, _HISTORY, reads=True),
    "conversations.info": Method(_info, TIER_3, _READ, reads=True),
    "conversations.list": Method(_list, TIER_2, _READ, reads=True),
    "conversations.join": Method(_join, TIER_3, ("channels:join",)),
    "conversations.members": Method(_members, TIER_4, _READ, reads=True),
    "conversations.open": Method(_open, TIER_3, ("im:write", "mpim:write", "channels:manage", "groups:write")),
    "users.conversations": Method(_conversations_of, TIER_2, _READ, reads=True),
}
