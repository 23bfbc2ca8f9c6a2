"""The page's two endpoints: `/page/live` shows, `/page/act` acts."""

import asyncio
import contextlib
import json

from aiohttp import WSMsgType, web

from .errors import CannotDo, Json, SlackError
from .modals import View
from .page_snapshot import Look, snapshot
from .platform import Platform
from .user_actions import UserActions
from .workspace import User, elements_of

# At most twenty frames a second: changes in between arrive together in the next one.
BETWEEN_FRAMES = 0.05


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
            given = await request.json()
            user = self.platform.workspace.user(str(given["user"]))
            await self._act(user, str(given["do"]), given)
        except CannotDo as refusal:
            return web.json_response({"ok": False, "error": str(refusal)})
        except SlackError as error:
            return web.json_response({"ok": False, "error": f"That did not work: {error.code}."})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            return web.json_response({"ok": False, "error": f"That action was not understood: {error!r}."})
        return web.json_response({"ok": True})

    async def _act(self, user: User, do: str, given: Json) -> None:
        workspace = self.platform.workspace
        match do:
            case "post":
                channel = workspace.channel(given["channel"])
                await self.actions.post(user, channel, given["text"], given.get("thread_ts"))
            case "click":
                await self._click(user, given)
            case "submit":
                view = self._view(user, given["view_id"])
                await self.actions.submit(user, view, (given.get("state") or {}).get("values") or {})
            case "close":
                await self.actions.close(user, self._view(user, given["view_id"]))
            case "home":
                self.actions.open_home(user)
            case "dismiss":
                notices = self.platform.notices.get(user.id, [])
                notices[:] = [notice for notice in notices if notice.id != given["notice"]]
                self.platform.changes.ring()
            case "read":
                channel = workspace.channel(given["channel"])
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

    async def _click(self, user: User, given: Json) -> None:
        """Start the click; whether the app took it shows in a later frame."""
        chosen: Json = dict(given.get("selected") or {})
        values = (given.get("state") or {}).get("values") or {}
        if given.get("value") is not None:
            chosen.setdefault("value", given["value"])
        if given.get("view_id"):
            view = self._view(user, given["view_id"])
            element = _element(view.blocks, given)
            payload = self.actions.view_click(user, view, element, chosen, values)
        else:
            channel = self.platform.workspace.channel(given["channel"])
            ephemerals = self.platform.workspace.ephemerals
            message = channel.posts.get(given["message_ts"]) or next(
                (m for m in ephemerals if m.ts == given["message_ts"] and m.ephemeral_to == user.id), None
            )
            if message is None:
                raise CannotDo("That message is not there any more.")
            element = _element(message.blocks or [], given)
            payload = self.actions.message_click(user, channel, message, message, element, chosen, values)
        self.platform.delivery.background(self.actions.click(user, payload))


def _element(blocks: list[Json], given: Json) -> Json:
    for element in elements_of(blocks):
        if (element["block_id"], element["action_id"]) == (given["block_id"], given["action_id"]):
            return element
    raise CannotDo("That button is not there any more.")
