"""One person at their Slack client, for tests."""

# ruff: noqa: ASYNC109  (a test says how long it waits; the waiting itself is asyncio.timeout in `ChangeFeed`)

from collections.abc import Callable
from typing import Any

from .change_feed import PATIENCE
from .errors import Ack, CannotDo, Json
from .inputs import Values, filled
from .modals import View
from .platform import Platform
from .text import text_of
from .user_actions import Reply, UserActions
from .workspace import Message, User, Workspace, elements_of


class WrongAnswer(AssertionError):
    """The app has answered what this person did last, and not as the test awaits."""


class Person:
    """Somebody at their Slack client.

    Raises CannotDo for what the client would not let them do.
    """

    def __init__(self, slack: Platform, actions: UserActions, user: User) -> None:
        self.slack = slack
        self.user = user
        self._actions = actions

    @property
    def id(self) -> str:
        return self.user.id

    @property
    def ephemerals(self) -> list[Message]:
        """Copies of the messages that only this person sees, oldest first."""
        return [m.copy() for m in self.slack.workspace.ephemerals if m.ephemeral_to == self.id]

    @property
    def notices(self) -> list[str]:
        """The errors that Slack showed to this person."""
        return [notice.text for notice in self.slack.notices.get(self.id, [])]

    @property
    def modal(self) -> View | None:
        """The modal on top, if one is open."""
        return self.slack.modals.top(self.id)

    @property
    def home(self) -> View | None:
        """The app's Home as published for this person."""
        return self.slack.modals.homes.get(self.id)

    async def command(self, text: str, channel: str = "#general") -> Reply:
        """Type a slash command; return when the app acked it or Slack gave up."""
        return await self._actions.command(self.user, self.slack.workspace.channel(channel), text)

    async def shortcut(self, callback_id: str) -> Ack:
        """Choose a global shortcut; return when the app acked it."""
        return await self._actions.shortcut(self.user, callback_id)

    async def say(self, text: str, channel: str = "#general", thread: str | None = None) -> Reply:
        """Type a message, into a thread if one is named."""
        return await self._actions.post(self.user, self.slack.workspace.channel(channel), text, thread)

    def delete(self, message: Message) -> None:
        """Delete a message: their own, or as an admin anybody's."""
        self._actions.delete(self.user, self.slack.workspace.channel(message.channel), message.ts)

    def stop_agent(self, message: Message) -> None:
        """Click Slack's own stop button in the thread of this message."""
        self._actions.stop_agent(
            self.user, self.slack.workspace.channel(message.channel), message.thread_ts or message.ts
        )

    def archive(self, channel: str) -> None:
        """Archive a channel."""
        self._actions.archive(self.user, self.slack.workspace.channel(channel))

    async def click(
        self, target: Message | View, name: str, *, choose: Any = None, stale: bool = False, block: str = ""
    ) -> Ack:
        """Click a button or a menu's item by its text, or choose `choose` in a select.

        Returns when the app acked it.

        `block`: in the block of this id, where several have such a button. Looks at the message as it is now; with
        `stale=True` at the copy given, as a client that was not told yet.
        """
        if isinstance(target, View):
            element = self._element(target.blocks, name, block)
            chosen = self._chosen(element, choose or _item(element, name))
            return await self._actions.click(
                self.user, self._actions.view_click(self.user, target, element, chosen, {})
            )
        channel = self.slack.workspace.channel(target.channel)
        current = self._current(target)
        if current is None and not stale:
            raise CannotDo("That message is not there any more.")
        seen = target if stale or current is None else current
        element = self._element(seen.blocks or [], name, block)
        chosen = self._chosen(element, choose or _item(element, name))
        payload = self._actions.message_click(self.user, channel, seen, current or seen, element, chosen, {})
        return await self._actions.click(self.user, payload)

    async def wait_modal(self, match: Callable[[View], Any] | str = "", timeout: float = PATIENCE) -> View:
        """Return the modal on top once it matches a function or a part of its words.

        Raises WrongAnswer as soon as the app has answered their latest action with a message or another modal instead.
        """

        def find(_: Workspace) -> View | None:
            view = self.modal
            if view and (match in text_of(view.json) if isinstance(match, str) else match(view)):
                return view
            self._refuse_answers("a modal", match)
            return None

        return await self.slack.wait_for(find, timeout, f"a modal for {self.user.name}")

    async def wait_ephemeral(self, match: Callable[[Message], Any] | str = "", timeout: float = PATIENCE) -> Message:
        """Return the newest message for this person alone, once one matches.

        Raises WrongAnswer as soon as the app has answered their latest action with another message, or a modal.
        """

        def find(_: Workspace) -> Message | None:
            for message in reversed(self.ephemerals):
                if match in text_of(message) if isinstance(match, str) else match(message):
                    return message
            self._refuse_answers("a message", match)
            return None

        return await self.slack.wait_for(find, timeout, f"an ephemeral message for {self.user.name}")

    async def submit(self, values: dict[str, Any] | None = None, view: View | None = None) -> dict[str, str]:
        """Fill in and submit the modal on top; inputs by block_id, action_id or label.

        Returns the errors by block_id that the person now sees; empty when the app took it.
        """
        target = view or self._top()
        return await self._actions.submit(self.user, target, self._filled(target, values or {}))

    async def close(self) -> None:
        """Close the modal on top."""
        await self._actions.close(self.user, self._top())

    async def open_home(self, tab: str = "home") -> None:
        """Open the app at its tab `home` or `messages`."""
        self._actions.open_home(self.user, tab)

    def _refuse_answers(self, awaited: str, match: object) -> None:
        """Raise WrongAnswer if the app answered the latest action in another way.

        A response URL and a trigger say which action a message or a window answers. Where an app cannot use a response
        URL, after a submission and inside of a thread, the next message that it posts for this person is the answer.
        """
        latest = self.slack.latest.get(self.id)
        if latest is None:
            return
        messages = list(self.slack.response_urls.answers(str(latest.get("response_url")).rpartition("/")[2]))
        if "response_url" not in latest or "thread_ts" in latest.get("container", {}):
            messages += self.slack.posted_since[self.id]
        said = [repr(text_of(message)) for message in messages]
        opened, view = self.slack.triggers.opened(latest["trigger_id"]), self.modal
        if isinstance(match, str) and view and view.id == opened and view.title != self.slack.config.placeholder_title:
            said.append(f"a modal {text_of(view.json)!r}")
        if said:
            wanted = f" with {match!r}" if isinstance(match, str) and match else ""
            raise WrongAnswer(f"{self.user.name} awaits {awaited}{wanted}, and was answered {'; '.join(said)}")

    def _top(self) -> View:
        if self.modal is None:
            raise CannotDo(f"No modal is open for {self.user.name}.")
        return self.modal

    def _current(self, message: Message) -> Message | None:
        if message.ephemeral:
            ephemerals = self.slack.workspace.ephemerals
            return next((m for m in ephemerals if (m.ts, m.ephemeral_to) == (message.ts, self.id)), None)
        return self.slack.workspace.channel(message.channel).posts.get(message.ts)

    def _element(self, blocks: list[Json], name: str, block: str = "") -> Json:
        elements = [e for e in elements_of(blocks) if not block or e["block_id"] == block]
        for element in elements:
            text = element["text"]["text"] if element["type"] == "button" else None
            if name in (element["action_id"], element["block_id"], text):
                return element
        for element in elements:
            if _item(element, name):
                return element
        there = ", ".join(e["text"]["text"] if e["type"] == "button" else e["action_id"] for e in elements)
        raise CannotDo(f"There is no {name!r} to click; there is: {there or 'nothing'}.")

    def _chosen(self, element: Json, choose: Any) -> Json:
        if choose is None or element["type"] == "button":
            return {}
        if element["type"] == "overflow":
            as_select = {**element, "type": "static_select"}
            return filled(as_select, choose, self.slack.workspace)
        return filled(element, choose, self.slack.workspace)

    def _filled(self, view: View, values: dict[str, Any]) -> Values:
        entered: Values = {}
        labels = {b["block_id"]: b["label"]["text"] for b in view.blocks if b["type"] == "input"}
        elements = elements_of(view.blocks)
        for name, value in values.items():
            for element in elements:
                if name in (element["block_id"], element["action_id"], labels.get(element["block_id"])):
                    held = filled(element, value, self.slack.workspace)
                    entered.setdefault(element["block_id"], {})[element["action_id"]] = held
                    break
            else:
                there = ", ".join(f"{e['block_id']}/{e['action_id']}" for e in elements)
                raise CannotDo(f"The modal has no input {name!r}; it has: {there or 'none'}.")
        return entered


def _item(element: Json, name: str) -> str | None:
    """Return the text of a menu's item, with or without its dots; None if missing."""
    if element["type"] != "overflow":
        return None
    texts = [str(option["text"]["text"]) for option in element["options"]]
    return next((text for text in texts if name in (text, text.removesuffix("…"))), None)
