"""The parts of one local Slack, shared by Web API, page and driver."""

# ruff: noqa: ASYNC109  (a test says how long it waits; the waiting itself is asyncio.timeout in `ChangeFeed`)

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote

from .change_feed import PATIENCE, ChangeFeed, Fact
from .config import Config
from .delivery import Delivery
from .errors import Ack, Json
from .expiring_tokens import ResponseUrls, Triggers
from .faults import Faults
from .http_events import HttpEvents
from .modals import Modals
from .oauth import ORGANIZATION, OAuth
from .socket_mode import SocketMode
from .text import text_of
from .workspace import Channel, File, Message, Workspace, seed


@dataclass(frozen=True)
class Call:
    """One call of the Web API.

    `at` is wall-clock seconds; `result` is None when no reply was sent.
    """

    method: str
    args: Json
    at: float
    status: int
    result: Json | None

    @property
    def ok(self) -> bool:
        return bool(self.result and self.result.get("ok"))


@dataclass(frozen=True)
class Notice:
    """An error that Slack showed to a person."""

    id: str
    text: str


@dataclass(eq=False)
class Platform:
    config: Config
    changes: ChangeFeed = field(default_factory=ChangeFeed)
    faults: Faults = field(default_factory=Faults)
    calls: list[Call] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notices: dict[str, list[Notice]] = field(default_factory=dict)
    base_url: str = ""
    latest: dict[str, Json] = field(default_factory=dict)
    """Each person's latest click, submission or command, as it was sent to the app."""
    posted_since: dict[str, list[Message]] = field(default_factory=dict)
    """Messages for this person alone that the app has posted since then by `chat.postEphemeral`."""
    installed: bool = True
    """Whether the app is in this workspace."""
    allowed_addresses: tuple[str, ...] | None = None
    """Addresses from which the app may call; None for all. Slack answers others `invalid_auth`."""
    migrating: bool = False
    """Whether this workspace is moving to an organization; Slack answers `org_login_required` meanwhile."""
    sessions: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    """Channel and thread -> status and title that the app set of the agent's session there."""
    sessions_set: dict[tuple[str, str], float] = field(default_factory=dict)
    """When, by the clock."""
    org_wide: bool = False
    """Whether the app was installed for the whole organization."""
    beside: "Platform | None" = None
    """The platform of the app's first workspace, with which another one shares what is the app's."""
    _events: deque[float] = field(default_factory=deque)
    _limited_in: int = 0
    oauth: "OAuth[Platform]" = field(init=False)
    socket: SocketMode = field(init=False)
    http: HttpEvents = field(init=False)
    delivery: Delivery = field(init=False)

    def __post_init__(self) -> None:
        config, first = self.config, self.beside
        self.oauth = first.oauth if first else OAuth(config, config.clock)
        self.oauth.platforms.append(self)
        self.workspace = Workspace(self.changes.ring, config.wall_clock)
        seed(self.workspace, config.app_name)
        self.triggers = Triggers(config.clock, config.trigger_seconds)
        self.response_urls = ResponseUrls(config.clock)
        self.modals = Modals(self.workspace)
        if first is not None:
            self.socket, self.http, self.delivery = first.socket, first.http, first.delivery
            return
        self.oauth.give(config.bot_token, self)
        self.socket = SocketMode(self.workspace.app_id, config.ack_seconds, self.changes, self.problem, config.clock)
        self.http = HttpEvents(list(config.events_urls), config.signing_secret, config.ack_seconds, config.failover)
        self.delivery = Delivery(config, self.faults, self.socket, self.http, self.changes)

    @property
    def by_organization(self) -> bool:
        """Tell whether this workspace has the app from its organization."""
        return self in self.oauth.granted

    def notify(self, user: str, text: str) -> None:
        """Show an error to a person, as Slack's client does."""
        self.notices.setdefault(user, []).append(Notice(secrets.token_hex(4), text))
        self.changes.ring()

    def problem(self, sentence: str) -> None:
        """Something that the app answered and Slack could not use.

        A test may want none of these.
        """
        self.problems.append(sentence)
        self.changes.ring()

    def session_status(self, channel: str, thread: str) -> str:
        """Return the status that people see; `processing` ends after an hour.

        https://docs.slack.dev/ai/agent-sessions
        """
        status, _ = self.sessions.get((channel, thread), ("", ""))
        since = self.sessions_set.get((channel, thread), 0.0)
        return "active" if status == "processing" and self.config.clock() - since >= 3600 else status

    def join(self, channel: Channel, user: str, inviter: str = "") -> None:
        """Make somebody a member; the app hears of it if it is there too."""
        if user in channel.members:
            return
        channel.members.add(user)
        if self.workspace.bot_user in channel.members:
            kind = "G" if channel.is_private else "C"
            event = {"type": "member_joined_channel", "user": user, "channel": channel.id, "channel_type": kind}
            event |= {"inviter": inviter} if inviter else {}
            self.event({**event, "team": self.workspace.id, "event_ts": f"{self.config.wall_clock():.6f}"})
        self.changes.ring()

    async def interact(self, payload: Json, kind: str = "interactive") -> Ack:
        """Deliver what a person did, and return the app's answer."""
        if not self.installed:
            return Ack.failed("app_not_installed", "the app is not in this workspace")
        if "trigger_id" in payload:
            user = payload["user_id"] if kind == "slash_commands" else payload["user"]["id"]
            self.latest[user], self.posted_since[user] = payload, []
        return await self.delivery.interaction(kind, payload)

    def event(self, event: Json) -> None:
        """Send an event if the app subscribed to its type."""
        subscription = f"message.{event['channel_type']}s" if event["type"] == "message" else event["type"]
        if subscription.replace("message.ims", "message.im") not in self.config.bot_events or not self.installed:
            return
        if self._is_limited():
            return
        workspace = self.workspace
        shared = workspace.channels.get(str(event.get("channel")))
        envelope: Json = {
            "token": "local",
            "team_id": workspace.id,
            "api_app_id": workspace.app_id,
            "type": "event_callback",
            "event_id": f"Ev{secrets.token_hex(5).upper()}",
            "event_time": int(workspace.wall_clock()),
            "is_ext_shared_channel": bool(shared and shared.is_ext_shared),
            "authorizations": [
                {
                    "enterprise_id": ORGANIZATION if self.by_organization else workspace.enterprise or None,
                    "team_id": None if self.by_organization else workspace.id,
                    "user_id": workspace.bot_user,
                    "is_bot": True,
                    "is_enterprise_install": self.by_organization,
                }
            ],
        }
        self.delivery.event(event, envelope)

    def said(self, message: Message) -> None:
        """Send the event of a new message, also of the app's own.

        slackapi/bolt-python #1159
        """
        workspace = self.workspace
        if message.ephemeral:
            return
        event: Json = {"user": message.user, "text": message.text, "ts": message.ts, "team": workspace.id}
        if message.subtype:
            event["subtype"] = message.subtype
        if message.thread_ts:
            event["thread_ts"] = message.thread_ts
        if message.from_app:
            event |= {"bot_id": workspace.bot_id, "app_id": workspace.app_id}
        self._of_message(message, event)

    def edited(self, message: Message) -> None:
        """Send the event of a changed message.

        https://docs.slack.dev/reference/events/message/message_changed
        """
        event = {"subtype": "message_changed", "hidden": True, "message": self.message_json(message)}
        self._of_message(message, {**event, "ts": f"{self.config.wall_clock():.6f}"})

    def removed(self, message: Message) -> None:
        """Send the event of a deleted message."""
        event = {"subtype": "message_deleted", "hidden": True, "deleted_ts": message.ts}
        self._of_message(message, {**event, "ts": f"{self.config.wall_clock():.6f}"})

    def _of_message(self, message: Message, event: Json) -> None:
        channel = self.workspace.channels[message.channel]
        if self.workspace.bot_user in channel.members:
            kind = "im" if channel.is_im else "group" if channel.is_private else "channel"
            where = {"channel": channel.id, "channel_type": kind, "event_ts": event["ts"]}
            self.event({"type": "message", **event, **where})

    def _is_limited(self) -> bool:
        """Count an event; over the hourly limit, notify the app every minute.

        https://docs.slack.dev/reference/events/app_rate_limited
        """
        now, minute = self.config.clock(), int(self.workspace.wall_clock()) // 60 * 60
        while self._events and self._events[0] <= now - 3600:
            self._events.popleft()
        if len(self._events) < self.config.events_an_hour:
            self._events.append(now)
            return False
        if minute != self._limited_in:
            self._limited_in = minute
            workspace = self.workspace
            notice = {"token": "local", "team_id": workspace.id, "api_app_id": workspace.app_id}
            self.delivery.notice({**notice, "type": "app_rate_limited", "minute_rate_limited": minute})
        return True

    def message_json(self, message: Message, *, metadata: bool = False) -> Json:
        """A message as the Web API and payloads show it."""
        workspace = self.workspace
        shown: Json = {"type": "message", "user": message.user, "ts": message.ts, "text": message.text}
        if message.subtype:
            shown["subtype"] = message.subtype
        if message.from_app:
            shown |= {"bot_id": workspace.bot_id, "app_id": workspace.app_id, "team": workspace.id}
        for name in ("thread_ts", "blocks", "edited", "reactions"):
            value: Any = getattr(message, name)
            if value:
                shown[name] = value
        if message.files:
            shown["files"] = [self.file_json(file) for file in message.files]
        if message.metadata and metadata:
            shown["metadata"] = message.metadata
        channel = workspace.channels[message.channel]
        replies = [channel.posts[ts] for ts in channel.replies.get(message.ts, [])]
        if replies:
            shown |= {
                "thread_ts": message.ts,
                "reply_count": len(replies),
                "reply_users": list(dict.fromkeys(m.user for m in replies)),
                "latest_reply": replies[-1].ts,
            }
        return shown

    def file_json(self, file: File) -> Json:
        """A file as the Web API shows it."""
        url = f"{self.base_url}/files/{file.id}/{quote(file.name)}"
        return {
            "id": file.id,
            "created": int(file.created),
            "name": file.name,
            "title": file.title,
            "mimetype": file.mimetype,
            "filetype": file.name.rpartition(".")[2] or "text",
            "user": file.user,
            "size": len(file.content),
            "url_private": url,
            "url_private_download": url,
            "permalink": url,
            "mode": "hosted",
        }

    def uninstall(self) -> None:
        """Take the app out of the workspace.

        Which of the two events comes first Slack does not say.
        """
        self.oauth.revoke(self, "account_inactive")
        for channel in self.workspace.channels.values():
            channel.members.discard(self.workspace.bot_user)
        tokens = {"oauth": [], "bot": [self.workspace.bot_user]}
        self.event({"type": "app_uninstalled"})
        self.event({"type": "tokens_revoked", "tokens": tokens})
        self.installed = False
        self.changes.ring()

    def uninstall_organization(self) -> None:
        """Take the app out of the organization, and so of all of its workspaces."""
        self.oauth.revoke_organization("account_inactive")
        for platform in list(self.oauth.granted):
            platform.event({"type": "app_uninstalled"})
            self.oauth.take_workspace(platform)
        self.changes.ring()

    async def wait_for(
        self,
        fact: Callable[[Workspace], Fact | Literal[False] | None],
        timeout: float = PATIENCE,
        description: str = "a change",
    ) -> Fact:
        """The first truthy value of `fact`, checked after each change.

        Raises TimeoutError.
        """
        return await self.changes.until(lambda: fact(self.workspace), timeout, lambda: self._story(description))

    async def stop(self) -> None:
        await self.delivery.stop()
        await self.socket.close()
        await self.http.close()
        # One turn for the handlers of the closed connections to end.
        await asyncio.sleep(0)

    def _story(self, description: str) -> str:
        rooms = [
            f"#{room.name}: {text_of(message)[:300]!r}"
            for room in self.workspace.channels.values()
            for message in list(room.posts.values())[-4:]
        ]
        calls = [f"{c.method} -> {c.status} {(c.result or {}).get('error', '')}" for c in self.calls[-8:]]
        notices = [f"{user}: {n.text}" for user, shown in self.notices.items() for n in shown[-3:]]
        parts = [f"{description} did not come in time.", *rooms, *calls, *notices, *self.problems]
        return "\n  ".join(parts)
