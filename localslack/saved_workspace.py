"""A workspace in a file: people, channels, messages and files, for the next start."""

import asyncio
import base64
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Final

from .change_feed import ChangeFeed
from .errors import Json
from .workspace import Channel, File, Message, User, UserGroup, Workspace

_PAUSE: Final = 0.5
"""Seconds in which changes are gathered before they are written."""


def save(workspace: Workspace, file: Path) -> None:
    """Write it; the file is whole at any moment."""
    content = {
        "users": [asdict(user) for user in workspace.users.values() if user.id != workspace.bot_user],
        "groups": [asdict(group) for group in workspace.groups.values()],
        "files": [_file(stored) for stored in workspace.files.values()],
        "channels": [_channel(channel) for channel in workspace.channels.values()],
        "ephemerals": [_message(message) for message in workspace.ephemerals],
        "numbers": workspace.numbers,
    }
    new = file.with_suffix(".new")
    new.write_text(json.dumps(content), encoding="utf-8")
    new.replace(file)


def load(workspace: Workspace, file: Path) -> None:
    """Fill the workspace with what was saved, if anything was.

    ValueError if the file holds no workspace.
    """
    if not file.exists():
        return
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        users = [User(**user) for user in content["users"]]
        groups = [UserGroup(**group) for group in content["groups"]]
        files = {
            saved["id"]: File(**{**saved, "content": base64.b64decode(saved["content"])}) for saved in content["files"]
        }
        channels = [_channel_of(channel, files) for channel in content["channels"]]
        ephemerals = [_message_of(message, files) for message in content["ephemerals"]]
        numbers = {str(prefix): int(number) for prefix, number in content["numbers"].items()}
    except (ValueError, TypeError, KeyError, AttributeError) as wrong:
        raise ValueError(f"{file} is no saved workspace ({wrong!r}). Remove it to start with an empty one.") from None
    workspace.users |= {user.id: user for user in users}
    workspace.groups = {group.id: group for group in groups}
    workspace.channels = {channel.id: channel for channel in channels}
    workspace.files, workspace.ephemerals, workspace.numbers = files, ephemerals, numbers


async def keep(workspace: Workspace, changes: ChangeFeed, file: Path) -> None:
    """Save it soon after each change, until cancelled, and then once more."""
    try:
        while True:
            await changes.next()
            await asyncio.sleep(_PAUSE)
            save(workspace, file)
    finally:
        save(workspace, file)


def _file(stored: File) -> Json:
    return {**_plain(stored), "content": base64.b64encode(stored.content).decode()}


def _message(message: Message) -> Json:
    return {**_plain(message), "files": [file.id for file in message.files]}


def _message_of(saved: Json, files: dict[str, File]) -> Message:
    return Message(**{**saved, "files": [files[name] for name in saved["files"]]})


def _channel(channel: Channel) -> Json:
    posts = [_message(message) for message in channel.posts.values()]
    return {**_plain(channel), "members": sorted(channel.members), "posts": posts}


def _channel_of(saved: Json, files: dict[str, File]) -> Channel:
    posts = {message["ts"]: _message_of(message, files) for message in saved["posts"]}
    return Channel(**{**saved, "members": set(saved["members"]), "posts": posts})


def _plain(thing: Any) -> Json:
    return {field.name: getattr(thing, field.name) for field in fields(thing)}
