"""Modals: a stack of at most three views for each user."""

import secrets
from dataclasses import dataclass, field
from typing import Any

from .errors import Json, SlackError
from .expiring_tokens import Trigger
from .inputs import Values, state_of
from .payload_checks import check_view
from .workspace import Workspace

DEPTH = 3


@dataclass
class View:
    """A view as the app gave it and Slack completed it.

    `json` is what payloads and answers carry.
    """

    user: str
    json: Json
    values: Values = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    busy: bool = False

    @property
    def id(self) -> str:
        return str(self.json["id"])

    @property
    def blocks(self) -> list[Json]:
        blocks: list[Json] = self.json["blocks"]
        return blocks

    @property
    def title(self) -> str:
        title = self.json.get("title")
        return str(title["text"]) if title else ""

    def full(self) -> Json:
        """The view as Slack sends it, with the values that it holds now."""
        return {**self.json, "state": {"values": self.values}}


class Modals:
    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.stacks: dict[str, list[View]] = {}
        self.homes: dict[str, View] = {}

    def top(self, user: str) -> View | None:
        """The view that this user sees on top, if any."""
        stack = self.stacks.get(user)
        return stack[-1] if stack else None

    def find(self, view_id: str | None = None, external_id: str | None = None) -> View:
        """An open view or a Home. Raises SlackError not_found."""
        views = [view for stack in self.stacks.values() for view in stack] + list(self.homes.values())
        for view in views:
            if view_id and view.id == view_id:
                return view
            if external_id and view.json["external_id"] == external_id:
                return view
        raise SlackError("not_found")

    def open(self, trigger: Trigger, content: Json) -> View:
        """A new modal; whatever this user had open goes."""
        check_view(content, ("modal",))
        self._check_external(content)
        view = self._new(trigger.user, content, None)
        trigger.opened = view.id
        self.stacks[trigger.user] = [view]
        self.workspace.changed()
        return view

    def push(self, user: str, content: Json) -> View:
        """One more on top of the stack.

        Raises SlackError push_limit_reached, not_found without a modal.
        """
        check_view(content, ("modal",))
        self._check_external(content)
        stack = self.stacks.get(user)
        if not stack:
            raise SlackError("not_found")
        if len(stack) >= DEPTH:
            raise SlackError("push_limit_reached")
        view = self._new(user, content, stack[-1])
        stack.append(view)
        self.workspace.changed()
        return view

    def update(self, view: View, content: Json, expected_hash: str | None = None) -> View:
        """Replace a view's content; inputs with the same ids keep what was typed.

        Raises SlackError hash_conflict.
        """
        check_view(content, (view.json["type"],))
        if expected_hash is not None and expected_hash != view.json["hash"]:
            raise SlackError("hash_conflict")
        old = view.json
        view.json = self._completed(content) | {
            key: old[key] for key in ("id", "root_view_id", "previous_view_id") if key in old
        }
        view.values = state_of(view.blocks, view.values)
        view.errors = {}
        self.workspace.changed()
        return view

    def publish(self, user: str, content: Json, expected_hash: str | None = None) -> View:
        """The Home of one user."""
        check_view(content, ("home",))
        if user in self.homes:
            return self.update(self.homes[user], content, expected_hash)
        view = self._new(user, content, None)
        self.homes[user] = view
        self.workspace.changed()
        return view

    def remove(self, view: View, *, everything: bool = False) -> list[View]:
        """Close this view and those above it, or the whole stack.

        Return what was closed, top first.
        """
        stack = self.stacks.get(view.user, [])
        if view not in stack:
            return []
        start = 0 if everything else stack.index(view)
        closed = stack[start:]
        del stack[start:]
        self.workspace.changed()
        return list(reversed(closed))

    def _check_external(self, content: Json) -> None:
        external_id = content.get("external_id")
        if external_id:
            try:
                self.find(external_id=external_id)
            except SlackError:
                return
            raise SlackError("duplicate_external_id")

    def _new(self, user: str, content: Json, below: View | None) -> View:
        view_id = self.workspace.number("V")
        completed = self._completed(content) | {
            "id": view_id,
            "root_view_id": below.json["root_view_id"] if below else view_id,
            "previous_view_id": below.id if below else None,
        }
        view = View(user, completed)
        view.values = state_of(view.blocks)
        return view

    def _completed(self, content: Json) -> Json:
        empty: dict[str, Any] = {
            "private_metadata": "",
            "callback_id": "",
            "external_id": "",
            "clear_on_close": False,
            "notify_on_close": False,
        }
        if content["type"] == "modal":
            empty |= {"close": None, "submit": None, "submit_disabled": False}
        return {
            **empty,
            **content,
            "blocks": self.workspace.with_ids(content["blocks"]) or [],
            "team_id": self.workspace.id,
            "app_id": self.workspace.app_id,
            "app_installed_team_id": self.workspace.id,
            "bot_id": self.workspace.bot_id,
            "hash": f"{int(self.workspace.wall_clock())}.{secrets.token_hex(4)}",
        }
