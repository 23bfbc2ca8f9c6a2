"""A person's actions in Slack's client, and what the client shows in return."""

from dataclasses import dataclass, field
from typing import Any

from . import interaction_payloads
from .errors import Ack, CannotDo, Json, SlackError
from .inputs import FIELDS, Values, merged, refusals, state_of
from .modals import View
from .payload_checks import check_errors, check_message_blocks
from .platform import Platform
from .text import posted, text_of, typed
from .workspace import Channel, Message, User, speaks

TROUBLE = "We had some trouble connecting. Try again?"
_ERROR_TEXTS = {
    "operation_timeout": "Operation timed out. Apps need to respond within 3 seconds.",
    "app_not_connected": "This app is not connected, so it could not be reached.",
    "dispatch_failed": "This app could not be reached.",
    "http_service_error": "This app answered with an error.",
}


@dataclass(frozen=True)
class Reply:
    """The app's answer to a command as the person sees it, or Slack's error.

    Late answers are ephemerals.
    """

    text: str = ""
    blocks: list[Json] = field(default_factory=list)
    error: str = ""
    in_channel: bool = False

    @property
    def ok(self) -> bool:
        return not self.error


class UserActions:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.workspace = platform.workspace

    async def post(self, user: User, channel: Channel, text: str, thread_ts: str | None = None) -> Reply:
        """Type into a channel; a text with / is a command.

        Raises CannotDo where Slack's client refuses.
        """
        if text.startswith("/"):
            if thread_ts:
                raise CannotDo(f"{text.split()[0]} is not supported in threads. Sorry!")
            return await self.command(user, channel, text)
        if not text.strip():
            raise CannotDo("A message needs some text.")
        self._member(user, channel)
        if thread_ts and thread_ts not in channel.posts:
            raise CannotDo("That thread is not there any more.")
        message = self.workspace.post(channel, user.id, text=posted(text, self.workspace), thread_ts=thread_ts)
        self.platform.said(message)
        if f"<@{self.workspace.bot_user}" in message.text and self.workspace.bot_user in channel.members:
            where = {"channel": channel.id, "ts": message.ts, "event_ts": message.ts, "team": self.workspace.id}
            mention: Json = {"type": "app_mention", "user": user.id, "text": message.text, **where}
            self.platform.event(mention | ({"thread_ts": thread_ts} if thread_ts else {}))
        return Reply(message.text, in_channel=True)

    def delete(self, user: User, channel: Channel, ts: str) -> None:
        """Take a message away for everybody: who wrote it may, and an admin."""
        message = channel.posts.get(ts)
        if message is None or message.subtype == "tombstone":
            raise CannotDo("That message is not there any more.")
        self._member(user, channel)
        if user.id != message.user and not (user.is_admin or user.is_owner):
            raise CannotDo(f"{user.real_name} may delete only their own messages.")
        channel.remove(message)
        self.platform.removed(message)
        self.workspace.changed()

    def stop_agent(self, user: User, channel: Channel, thread_ts: str) -> None:
        """Click the stop button of an agent's session; CannotDo if there is none.

        https://docs.slack.dev/reference/events/agent_session_stopped: Slack ends its streams, and leaves the status.
        """
        self._member(user, channel)
        status = self.platform.session_status(channel.id, thread_ts)
        if status != "processing" or "agent_session_stopped" not in self.platform.config.bot_events:
            raise CannotDo("There is no stop button here.")
        stopped = [m for m in channel.posts.values() if m.thread_ts == thread_ts and m.stream is not None]
        for message in stopped:
            message.stream = None
        event = {"type": "agent_session_stopped", "channel": channel.id, "user": user.id, "thread_ts": thread_ts}
        at = f"{self.workspace.wall_clock():.6f}"
        self.platform.event({**event, "streaming_message_ts": [m.ts for m in stopped], "event_ts": at})
        self.workspace.changed()

    def archive(self, user: User, channel: Channel) -> None:
        """Close a channel.

        Slack puts its apps out then: github.com/elastic/connectors/issues/1972.
        """
        self._member(user, channel)
        channel.is_archived = True
        channel.members.discard(self.workspace.bot_user)
        self.workspace.changed()

    async def command(self, user: User, channel: Channel, text: str) -> Reply:
        """A slash command as typed. Raises CannotDo for a command that no app registered."""
        self._member(user, channel)
        name, _, rest = text.strip().partition(" ")
        if name == "/invite":
            return self._invite(user, channel, rest.split())
        commands = self.platform.config.commands
        registered = next((command for command in commands or () if command.command == name), None)
        if commands is not None and registered is None:
            raise CannotDo(f"{name} is not a valid command.")
        if self.workspace.id not in user.teams:  # an app's commands are for those whose workspace has installed it
            raise CannotDo(f"{name} is not a valid command.")
        names = registered.should_escape if registered else True
        text = typed(rest.strip(), self.workspace, names=names)
        payload = interaction_payloads.command(self.platform, user, channel, name, text)
        ack = await self.platform.interact(payload, "slash_commands")
        if not ack.ok:
            self.platform.notify(user.id, f'{name} failed with the error "{ack.error}"')
            return Reply(error=ack.error)
        return self._command_reply(user, channel, name, ack.body)

    async def shortcut(self, user: User, callback_id: str) -> Ack:
        """Choose a global shortcut, anywhere.

        Raises CannotDo for one that no app registered.
        """
        registered = self.platform.config.shortcuts
        if (registered is not None and callback_id not in registered) or self.workspace.id not in user.teams:
            raise CannotDo(f"There is no shortcut {callback_id}.")
        return await self.platform.interact(interaction_payloads.shortcut(self.platform, user, callback_id))

    def _invite(self, user: User, channel: Channel, names: list[str]) -> Reply:
        """Slack's own command, for people and apps."""
        try:
            for name in names:
                self.platform.join(channel, self.workspace.user(name).id, user.id)
        except SlackError:
            raise CannotDo(f"There is nobody called {name} to invite.") from None
        return Reply()

    def _command_reply(self, user: User, channel: Channel, name: str, body: Any) -> Reply:
        answer: Json = {"text": body} if isinstance(body, str) else body or {}
        text, blocks = str(answer.get("text") or ""), list(answer.get("blocks") or [])
        if not text and not blocks:
            return Reply()
        try:
            check_message_blocks(blocks)
        except SlackError as error:
            self.platform.problem(f"The answer to {name} was refused: {error}")
            self.platform.notify(user.id, f'{name} failed with the error "{error.code}"')
            return Reply(error=error.code)
        in_channel = answer.get("response_type") == "in_channel"
        message = self.workspace.post(
            channel,
            self.workspace.bot_user,
            text=text,
            blocks=blocks,
            from_app=True,
            ephemeral_to=None if in_channel else user.id,
        )
        return Reply(text_of(message), message.blocks or [], in_channel=in_channel)

    def message_click(
        self,
        user: User,
        channel: Channel,
        seen: Message,
        current: Message,
        element: Json,
        chosen: Json,
        state: Values,
    ) -> Json:
        """Return the payload of a click on a message as the person sees it."""
        self._member(user, channel)
        _check_speaks(seen.blocks or [], element)
        action = interaction_payloads.action_of(self.platform, element, chosen)
        values = merged(seen.blocks or [], state_of(seen.blocks or []), state)
        _keep_choice(values, element, action)
        return interaction_payloads.message_click(self.platform, user, channel, current, action, values)

    def view_click(self, user: User, view: View, element: Json, chosen: Json, state: Values) -> Json:
        """The payload of a click in a modal or Home; the view keeps what was chosen."""
        _check_speaks(view.blocks, element)
        action = interaction_payloads.action_of(self.platform, element, chosen)
        view.values = merged(view.blocks, view.values, state)
        _keep_choice(view.values, element, action)
        return interaction_payloads.view_click(self.platform, user, view, action)

    async def click(self, user: User, payload: Json) -> Ack:
        """Deliver a click; without an ack the person sees an error."""
        ack = await self.platform.interact(payload)
        if not ack.ok:
            self.platform.notify(user.id, _ERROR_TEXTS.get(ack.error, TROUBLE))
        return ack

    async def submit(self, user: User, view: View, entered: Values) -> dict[str, str]:
        """Submit a modal.

        The errors by block_id that the person then sees, empty when it was taken.
        """
        if view.json.get("submit") is None or view.json["submit_disabled"]:
            raise CannotDo("This view has nothing to submit.")
        if view.busy or view not in self.platform.modals.stacks.get(user.id, []):
            raise CannotDo("This view was sent or closed already.")
        view.values = merged(view.blocks, view.values, entered)
        view.errors = refusals(view.blocks, view.values, self.workspace)
        if not view.errors:
            view.busy = True
            ack = await self.platform.interact(interaction_payloads.submission(self.platform, user, view))
            view.busy = False
            self._submitted(user, view, ack)
        self.platform.changes.ring()
        return view.errors

    def _submitted(self, user: User, view: View, ack: Ack) -> None:
        if not ack.ok:
            view.errors = {"": TROUBLE}
            self.platform.notify(user.id, _ERROR_TEXTS.get(ack.error, TROUBLE))
            return
        body = ack.body if isinstance(ack.body, dict) else {}
        modals = self.platform.modals
        try:
            match body.get("response_action"):
                case None if not ack.body:
                    modals.remove(view)
                case "clear":
                    self._send_closed(user, modals.remove(view, everything=True), view)
                case "errors":
                    view.errors = check_errors(body.get("errors"), view.json)
                case "update":
                    modals.update(view, body.get("view") or {})
                case "push":
                    modals.push(user.id, body.get("view") or {})
                case other:
                    raise ValueError(f"response_action {other!r} is unknown; the answer was {ack.body!r}")
        except (SlackError, ValueError) as error:
            self.platform.problem(f"The answer to the submission of {view.title!r} was refused: {error}")
            view.errors = {"": TROUBLE}
            self.platform.notify(user.id, TROUBLE)

    async def close(self, user: User, view: View) -> None:
        """Close a modal with its close button.

        The app hears of it if it asked to (notify_on_close).
        """
        everything = bool(view.json["clear_on_close"])
        self._send_closed(user, self.platform.modals.remove(view, everything=everything), None)

    def _send_closed(self, user: User, views: list[View], submitted: View | None) -> None:
        cleared = len(views) > 1 or submitted is not None
        for view in views:
            if view.json["notify_on_close"] and view is not submitted:
                payload = interaction_payloads.closed(self.platform, user, view, cleared)
                self.platform.delivery.background(self.platform.interact(payload))

    def open_home(self, user: User, tab: str = "home") -> None:
        """Open the app at its tab `home` or `messages`; the app hears of both."""
        direct = self.workspace.direct(user.id)
        event: Json = {
            "type": "app_home_opened",
            "user": user.id,
            "channel": direct.id,
            "tab": tab,
            "event_ts": f"{self.workspace.wall_clock():.6f}",
        }
        if tab == "home" and (view := self.platform.modals.homes.get(user.id)):
            event["view"] = view.full()
        self.platform.event(event)

    def _member(self, user: User, channel: Channel) -> None:
        if user.id not in channel.members:
            raise CannotDo(f"{user.real_name} is not in #{channel.name}.")
        if channel.is_archived:
            raise CannotDo(f"#{channel.name} is archived.")


def _check_speaks(blocks: list[Json], element: Json) -> None:
    block = next(block for block in blocks if block["block_id"] == element["block_id"])
    if not speaks(block):
        raise CannotDo("This input sends nothing before the view is submitted.")


def _keep_choice(values: Values, element: Json, action: Json) -> None:
    """An element that holds a value holds what was just chosen."""
    if element["type"] in FIELDS:
        name = FIELDS[element["type"]][0]
        values[element["block_id"]][element["action_id"]] = {"type": element["type"], name: action[name]}
