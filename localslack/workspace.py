"""The workspace: people, channels, messages and files, as plain data."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from .errors import Json, SlackError

TEAM_ID = "T0LOCAL"
TS = re.compile(r"^\d{9,11}\.\d{6}$")


@dataclass
class User:
    id: str
    name: str
    real_name: str
    is_bot: bool = False
    deleted: bool = False
    is_admin: bool = False
    is_owner: bool = False
    is_restricted: bool = False
    team_id: str = TEAM_ID
    """Their home workspace."""
    enterprise: str = ""
    """The Enterprise Grid organisation that they belong to, and the workspaces of it that they are in."""
    enterprise_teams: list[str] = field(default_factory=list)

    @property
    def teams(self) -> set[str]:
        """Every workspace that they are a member of."""
        return {self.team_id, *self.enterprise_teams}


@dataclass
class UserGroup:
    id: str
    handle: str
    name: str
    users: list[str]
    disabled: bool = False


@dataclass
class File:
    id: str
    name: str
    title: str
    mimetype: str
    content: bytes
    created: float
    user: str
    expected: int
    complete: bool = False


@dataclass
class Stream:
    """A stream since when; its tasks are drawn in a plan, or as cards."""

    since: float
    plan: bool = False
    title: str = ""
    text: str = ""
    tasks: dict[str, Json] = field(default_factory=dict)
    written: int = 0


@dataclass
class Message:
    """One message as it is now.

    `Channel.messages` hands out copies, so an old one is what somebody saw before.
    """

    channel: str
    ts: str
    user: str
    text: str = ""
    blocks: list[Json] | None = None
    thread_ts: str | None = None
    metadata: Json | None = None
    from_app: bool = False
    edited: Json | None = None
    files: list[File] = field(default_factory=list)
    ephemeral_to: str | None = None
    broadcast: bool = False
    subtype: str | None = None
    reactions: list[Json] = field(default_factory=list)
    stream: Stream | None = None

    @property
    def ephemeral(self) -> bool:
        return self.ephemeral_to is not None

    @property
    def is_reply(self) -> bool:
        return self.thread_ts is not None and self.thread_ts != self.ts

    @property
    def elements(self) -> list[Json]:
        """Every interactive element on the message, each with its `block_id`."""
        return elements_of(self.blocks or [])

    @property
    def buttons(self) -> list[str]:
        """The texts of its buttons, in order."""
        return [e["text"]["text"] for e in self.elements if e["type"] == "button"]

    def copy(self) -> "Message":
        return replace(self, files=list(self.files), reactions=list(self.reactions))


def speaks(block: Json) -> bool:
    """Say whether an action in this block is sent at once.

    An input waits for the submission unless it dispatches.
    """
    return block["type"] != "input" or bool(block.get("dispatch_action"))


def elements_of(blocks: list[Json]) -> list[Json]:
    """Return all elements that have an `action_id`, with their `block_id`."""
    elements: list[Json] = []
    for block in blocks:
        parts = list(block.get("elements") or []) if block["type"] == "actions" else []
        parts += [block[key] for key in ("accessory", "element") if isinstance(block.get(key), dict)]
        elements += [{**part, "block_id": block["block_id"]} for part in parts if "action_id" in part]
    return elements


@dataclass
class Channel:
    id: str
    name: str
    members: set[str] = field(default_factory=set)
    is_private: bool = False
    is_im: bool = False
    is_archived: bool = False
    is_ext_shared: bool = False
    is_org_shared: bool = False
    posts: dict[str, Message] = field(default_factory=dict)
    reads: dict[str, str] = field(default_factory=dict)
    replies: dict[str, list[str]] = field(default_factory=dict)

    def add(self, message: Message) -> None:
        self.posts[message.ts] = message
        if message.is_reply and message.thread_ts:
            self.replies.setdefault(message.thread_ts, []).append(message.ts)

    def remove(self, message: Message) -> None:
        """Take a message away; what had replies leaves a tombstone, as in Slack."""
        if self.replies.get(message.ts):
            left = Message(self.id, message.ts, "USLACKBOT", "This message was deleted.", thread_ts=message.ts)
            self.posts[message.ts] = replace(left, subtype="tombstone")
            return
        del self.posts[message.ts]
        if message.is_reply and message.thread_ts:
            self.replies[message.thread_ts].remove(message.ts)

    def live_thread(self, ts: str) -> list[Message]:
        """The thread's messages themselves, its parent first."""
        return [self.posts[reply] for reply in (ts, *self.replies.get(ts, [])) if reply in self.posts]

    @property
    def messages(self) -> list[Message]:
        """Copies of the channel's messages without replies, oldest first."""
        return [m.copy() for m in self.posts.values() if not m.is_reply or m.broadcast]

    def thread(self, ts: str) -> list[Message]:
        """Copies of a thread's messages, its parent first."""
        return [message.copy() for message in self.live_thread(ts)]


class Workspace:
    """Everything that people and the app see. `changed` is called after each change."""

    def __init__(self, changed: Callable[[], None], wall_clock: Callable[[], float]) -> None:
        self.id = TEAM_ID
        self.name = "Local"
        self.first_number = 0
        self.domain = "local"
        self.enterprise = ""
        self.changed = changed
        self.wall_clock = wall_clock
        self.users: dict[str, User] = {}
        self.groups: dict[str, UserGroup] = {}
        self.channels: dict[str, Channel] = {}
        self.files: dict[str, File] = {}
        self.ephemerals: list[Message] = []
        self.bot_user = "U0BOT"
        self.bot_id = "B0BOT"
        self.app_id = "A0LOCAL"
        self.numbers: dict[str, int] = {}
        """Prefix of ids -> the last number given out."""

    def number(self, prefix: str) -> str:
        """A new id, readable: F0000001, V0000001, …"""
        self.numbers[prefix] = self.numbers.get(prefix, self.first_number) + 1
        return f"{prefix}{self.numbers[prefix]:07d}"

    def user(self, ref: str) -> User:
        """A user by id, name or @name. Raises SlackError user_not_found."""
        user = self.users.get(ref) or next((u for u in self.users.values() if u.name == ref.lstrip("@")), None)
        if user is None:
            raise SlackError("user_not_found")
        return user

    def outsiders(self, channel: Channel) -> list[User]:
        """The members of a channel who are not members of this workspace."""
        known = (self.users[user] for user in channel.members if user in self.users)
        return [user for user in known if self.id not in user.teams]

    def channel(self, ref: str) -> Channel:
        """A channel by id, name or #name. Raises SlackError channel_not_found."""
        name = ref.lstrip("#")
        channel = self.channels.get(ref) or next((c for c in self.channels.values() if c.name == name), None)
        if channel is None:
            raise SlackError("channel_not_found")
        return channel

    def direct(self, user_id: str, other: str | None = None) -> Channel:
        """Return the direct messages of a user with the app or another user."""
        other = other or self.bot_user
        channel_id = "D0" + user_id[2:] + ("" if other == self.bot_user else other[2:])
        if channel_id not in self.channels:
            self.channels[channel_id] = Channel(channel_id, channel_id, {user_id, other}, True, True)
            self.changed()
        return self.channels[channel_id]

    def next_ts(self, channel: Channel) -> str:
        """A timestamp that is unique in this channel, and only there, as in Slack."""
        micros = int(self.wall_clock() * 1_000_000)
        if channel.posts:
            last = next(reversed(channel.posts))
            seconds, fraction = last.split(".")
            micros = max(micros, int(seconds) * 1_000_000 + int(fraction) + 1)
        return f"{micros // 1_000_000}.{micros % 1_000_000:06d}"

    def post(self, channel: Channel, user: str, **fields: Any) -> Message:
        """Add a message and return it (the live one, not a copy)."""
        message = Message(channel.id, self.next_ts(channel), user, **fields)
        message.blocks = self.with_ids(message.blocks)
        if message.ephemeral_to:
            self.ephemerals.append(message)
        else:
            channel.add(message)
            channel.reads[user] = message.ts
        self.changed()
        return message

    def with_ids(self, blocks: list[Json] | None) -> list[Json] | None:
        """The blocks with the ids that Slack adds where the app gave none.

        An empty list counts as no blocks.
        """
        if not blocks:
            return None
        return [self._with_ids(block) for block in blocks]

    def _with_ids(self, block: Json) -> Json:
        block = {**block, "block_id": block.get("block_id") or self.number("b")}
        if block["type"] == "actions":
            block["elements"] = [self._with_action_id(element) for element in block["elements"]]
        for key in ("accessory", "element"):
            if isinstance(block.get(key), dict) and block[key]["type"] != "image":
                block[key] = self._with_action_id(block[key])
        return block

    def _with_action_id(self, element: Json) -> Json:
        return {**element, "action_id": element.get("action_id") or self.number("a")}


def seed(workspace: Workspace, app_name: str) -> None:
    """Fill in people of every kind that a check must tell apart, under readable ids.

    alice (admin), bob, carol, dave; greta is a guest, dora left, sam is of another company; @reviewers are bob
    and carol.
    """
    people = [
        User("U0ALICE", "alice", "Alice Adams", is_admin=True),
        User("U0BOB", "bob", "Bob Brown"),
        User("U0CAROL", "carol", "Carol Clark"),
        User("U0DAVE", "dave", "Dave Dunn"),
        User("U0GRETA", "greta", "Greta Guest", is_restricted=True),
        User("U0DORA", "dora", "Dora Departed", deleted=True),
        User("U0SAM", "sam", "Sam Stranger", team_id="T0OTHER"),
        User(workspace.bot_user, app_name.lower().replace(" ", "-"), app_name, is_bot=True),
    ]
    workspace.users = {user.id: user for user in people}
    reviewers = UserGroup("S0REVIEWERS", "reviewers", "Reviewers", ["U0BOB", "U0CAROL"])
    workspace.groups = {reviewers.id: reviewers}
    staff = {"U0ALICE", "U0BOB", "U0CAROL", "U0DAVE"}
    channels = [
        Channel("C0GENERAL", "general", staff | {"U0GRETA", workspace.bot_user}),
        Channel("C0APPROVALS", "approvals", staff | {"U0GRETA", workspace.bot_user}),
        Channel("C0RANDOM", "random", set(staff)),
    ]
    workspace.channels = {channel.id: channel for channel in channels}
