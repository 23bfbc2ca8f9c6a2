"""A snapshot of what one person sees, as the page in the browser gets it."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from .errors import Json
from .modals import View
from .platform import Platform
from .workspace import Channel, Message, User


@dataclass(frozen=True)
class Look:
    """The place somebody looks at; `channel` None is their first channel."""

    user: str
    channel: str | None = None
    thread: str | None = None
    home: bool = False

    @classmethod
    def read(cls, given: Any) -> "Look":
        home = given.get("home")
        return cls(
            str(given.get("user") or "U0ALICE"),
            given.get("channel") or None,
            given.get("thread") or None,
            home is True or str(home).lower() in ("1", "true"),
        )


def snapshot(platform: Platform, look: Look) -> Json:
    """The frame of the page's contract. Raises SlackError user_not_found."""
    workspace = platform.workspace
    me = workspace.user(look.user)
    workspace.direct(me.id)
    mine = [c for c in workspace.channels.values() if me.id in c.members]
    shown = next((c for c in mine if c.id == look.channel), mine[0] if mine else None)
    modal = platform.modals.top(me.id)
    home = platform.modals.homes.get(me.id)
    return {
        "workspace": {"id": workspace.id, "name": workspace.name},
        "me": _user(me),
        "users": [_user(user) for user in workspace.users.values()],
        "usergroups": [
            {"id": g.id, "handle": g.handle, "name": g.name, "users": g.users} for g in workspace.groups.values()
        ],
        "app": _app(platform),
        "channels": [_channel(platform, channel, me) for channel in mine],
        "channel": _messages(platform, shown, me) if shown else None,
        "thread": _thread(platform, shown, me, look.thread) if shown and look.thread else None,
        "home": {"view": home.full() if home else None} if look.home else None,
        "modal": _modal(platform, modal) if modal else None,
        "notices": [{"id": n.id, "text": n.text} for n in platform.notices.get(me.id, [])],
    }


def _user(user: User) -> Json:
    names = ("id", "name", "real_name", "is_bot", "deleted", "is_admin", "is_restricted")
    return {name: getattr(user, name) for name in names}


def _app(platform: Platform) -> Json:
    return {
        "bot_user": platform.workspace.bot_user,
        "name": platform.config.app_name,
        "connected": platform.delivery.connected,
        "commands": [
            {"command": c.command, "description": c.description, "usage_hint": c.usage_hint}
            for c in platform.config.commands or ()
        ],
    }


def _channel(platform: Platform, channel: Channel, me: User) -> Json:
    read = channel.reads.get(me.id, "")
    unread = [m for m in channel.messages if m.user != me.id and _later(m.ts, read)]
    others = [platform.workspace.users[user].real_name for user in channel.members if user != me.id]
    return {
        "id": channel.id,
        "name": ", ".join(others) if channel.is_im else channel.name,
        "is_private": channel.is_private,
        "is_im": channel.is_im,
        "is_member": True,
        "unread": len(unread),
        "bot_member": platform.workspace.bot_user in channel.members,
    }


def _later(ts: str, than: str) -> bool:
    return not than or float(ts) > float(than)


def _messages(platform: Platform, channel: Channel, me: User) -> Json:
    mine = [m for m in platform.workspace.ephemerals if m.channel == channel.id and m.ephemeral_to == me.id]
    seen = channel.messages + [m for m in mine if m.thread_ts is None]
    return {
        "id": channel.id,
        "name": channel.name,
        "messages": [_message(platform, m) for m in sorted(seen, key=lambda m: float(m.ts))],
    }


def _thread(platform: Platform, channel: Channel, me: User, ts: str) -> Json | None:
    thread = channel.thread(ts)
    if not thread:
        return None
    ephemerals = platform.workspace.ephemerals
    thread += [m for m in ephemerals if m.channel == channel.id and m.ephemeral_to == me.id and m.thread_ts == ts]
    replies = sorted(thread[1:], key=lambda m: float(m.ts))
    return {"ts": ts, "messages": [_message(platform, m) for m in [thread[0], *replies]]}


def _message(platform: Platform, message: Message) -> Json:
    shown = platform.message_json(message)
    return {
        "ts": message.ts,
        "user": message.user,
        "text": message.text,
        "blocks": message.blocks,
        "edited": message.edited is not None,
        "ephemeral": message.ephemeral,
        "files": [_file(platform, file) for file in shown.get("files", [])],
        "reactions": message.reactions,
        **{name: shown[name] for name in ("thread_ts", "reply_count", "latest_reply") if name in shown},
        **({"bot_name": platform.config.app_name} if message.from_app else {}),
    }


def _file(platform: Platform, file: Json) -> Json:
    content = platform.workspace.files[file["id"]].content
    text = file["mimetype"].startswith("text/") or file["mimetype"] == "application/json"
    return {
        **{name: file[name] for name in ("id", "name", "title", "mimetype", "size")},
        "url": f"/files/{file['id']}/{quote(file['name'])}",
        "preview": content.decode("utf-8", "replace")[:2000] if text else None,
    }


def _modal(platform: Platform, view: View) -> Json:
    return {
        "view": view.full(),
        "stack_depth": len(platform.modals.stacks[view.user]),
        "errors": view.errors,
        "busy": view.busy,
    }
