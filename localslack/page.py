"""The page in the browser: what one person sees there, and what they do."""

import asyncio
import contextlib
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiohttp import WSMsgType, web

from .errors import CannotDo, Json, SlackError
from .modals import View
from .platform import Platform
from .user_actions import UserActions
from .workspace import Channel, Message, User, elements_of

# At most twenty frames a second: changes in between arrive together in the next one.
BETWEEN_FRAMES = 0.05


@dataclass(frozen=True)
class Look:
    """The place somebody looks at; `channel` None is their first channel."""

    user: str
    channel: str | None = None
    thread: str | None = None
    home: bool = False

    @classmethod
    def read(cls, query: Any) -> "Look":
        home = query.get("home")
        return cls(
            str(query.get("user") or "U0ALICE"),
            query.get("channel") or None,
            query.get("thread") or None,
            home is True or str(home).lower() in ("1", "true"),
        )


class Page:
    def __init__(self, platform: Platform, actions: UserActions) -> None:
        self.platform = platform
        self.actions = actions
        self._sockets: set[web.WebSocketResponse] = set()

    async def stop(self) -> None:
        for socket in list(self._sockets):
            await socket.close(code=1001)

    async def live(self, request: web.Request) -> web.WebSocketResponse:
        """A whole snapshot now and after every change, until the page goes away."""
        socket = web.WebSocketResponse(heartbeat=20, timeout=0.5, compress=False)
        await socket.prepare(request)
        self._sockets.add(socket)
        looks = [Look.read(request.query)]
        sending = asyncio.create_task(self._send(socket, looks))
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    with contextlib.suppress(ValueError, AttributeError, KeyError):
                        looks[0] = Look.read(json.loads(message.data)["look"])
                        self.platform.changes.ring()
        finally:
            self._sockets.discard(socket)
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        return socket

    async def _send(self, socket: web.WebSocketResponse, looks: list[Look]) -> None:
        changes = self.platform.changes
        last = ""
        while not socket.closed:
            seen = changes.count
            try:
                frame = json.dumps(snapshot(self.platform, looks[0]))
            except SlackError as error:
                frame = json.dumps({"error": error.code})
            if frame != last:
                last = frame
                with contextlib.suppress(ConnectionError):
                    await socket.send_str(frame)
            await asyncio.sleep(BETWEEN_FRAMES)
            if changes.count == seen:
                await changes.next()

    async def act(self, request: web.Request) -> web.Response:
        """One action of a person; every refusal is a sentence."""
        try:
            action = await request.json()
            user = self.platform.workspace.user(str(action["user"]))
            await self._act(user, str(action["do"]), action)
        except CannotDo as refusal:
            return web.json_response({"ok": False, "error": str(refusal)})
        except SlackError as error:
            return web.json_response({"ok": False, "error": f"That did not work: {error.code}."})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return web.json_response({"ok": False, "error": f"That action was not understood: {error!r}."})
        return web.json_response({"ok": True})

    async def _act(self, user: User, do: str, action: Json) -> None:
        workspace = self.platform.workspace
        match do:
            case "post":
                channel = workspace.channel(action["channel"])
                await self.actions.post(user, channel, action["text"], action.get("thread_ts"))
            case "click":
                await self._click(user, action)
            case "submit":
                view = self._view(user, action["view_id"])
                await self.actions.submit(user, view, (action.get("state") or {}).get("values") or {})
            case "close":
                await self.actions.close(user, self._view(user, action["view_id"]))
            case "home":
                self.actions.open_home(user)
            case "dismiss":
                notices = self.platform.notices.get(user.id, [])
                notices[:] = [notice for notice in notices if notice.id != action["notice"]]
                self.platform.changes.ring()
            case "read":
                channel = workspace.channel(action["channel"])
                if channel.messages:
                    channel.reads[user.id] = channel.messages[-1].ts
                self.platform.changes.ring()
            case _:
                raise CannotDo(f"Nobody can {do} here.")

    def _view(self, user: User, view_id: str) -> View:
        view = self.platform.modals.find(view_id)
        if view.user != user.id:
            raise CannotDo("That view belongs to somebody else.")
        return view

    async def _click(self, user: User, action: Json) -> None:
        """Start the click; whether the app took it shows in a later frame."""
        chosen: Json = dict(action.get("selected") or {})
        values = (action.get("state") or {}).get("values") or {}
        if action.get("value") is not None:
            chosen.setdefault("value", action["value"])
        if action.get("view_id"):
            view = self._view(user, action["view_id"])
            element = _element(view.blocks, action)
            payload = self.actions.view_click(user, view, element, chosen, values)
        else:
            channel = self.platform.workspace.channel(action["channel"])
            ephemerals = self.platform.workspace.ephemerals
            message = channel.posts.get(action["message_ts"]) or next(
                (m for m in ephemerals if m.ts == action["message_ts"] and m.ephemeral_to == user.id), None
            )
            if message is None:
                raise CannotDo("That message is not there any more.")
            element = _element(message.blocks or [], action)
            payload = self.actions.message_click(user, channel, message, message, element, chosen, values)
        self.platform.delivery.background(self.actions.click(user, payload))


def _element(blocks: list[Json], action: Json) -> Json:
    for element in elements_of(blocks):
        if (element["block_id"], element["action_id"]) == (action["block_id"], action["action_id"]):
            return element
    raise CannotDo("That button is not there any more.")


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
        "hint": platform.config.hint,
        "connected": platform.delivery.connected,
        "commands": [
            {"command": c.command, "description": c.description, "usage_hint": c.usage_hint}
            for c in platform.config.commands or ()
        ],
    }


def _channel(platform: Platform, channel: Channel, me: User) -> Json:
    read = float(channel.reads.get(me.id) or 0)
    unread = [m for m in channel.messages if m.user != me.id and float(m.ts) > read]
    others = [platform.workspace.users[user].real_name for user in channel.members if user != me.id]
    return {
        "id": channel.id,
        "name": ", ".join(others) if channel.is_im else channel.name,
        "is_private": channel.is_private,
        "is_im": channel.is_im,
        "unread": len(unread),
        "bot_member": platform.workspace.bot_user in channel.members,
    }


def _messages(platform: Platform, channel: Channel, me: User) -> Json:
    messages = channel.messages + _ephemerals(platform, channel, me, None)
    return {"id": channel.id, "name": channel.name, "messages": _in_order(platform, messages)}


def _thread(platform: Platform, channel: Channel, me: User, ts: str) -> Json | None:
    thread = channel.thread(ts)
    if not thread:
        return None
    replies = thread[1:] + _ephemerals(platform, channel, me, ts)
    return {"ts": ts, "messages": [_message(platform, thread[0]), *_in_order(platform, replies)]}


def _ephemerals(platform: Platform, channel: Channel, me: User, thread: str | None) -> list[Message]:
    place = (channel.id, me.id, thread)
    return [m for m in platform.workspace.ephemerals if (m.channel, m.ephemeral_to, m.thread_ts) == place]


def _in_order(platform: Platform, messages: list[Message]) -> list[Json]:
    return [_message(platform, message) for message in sorted(messages, key=lambda message: float(message.ts))]


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
