"""Python API for tests: act and see as people do in Slack."""

# ruff: noqa: ASYNC109  (a test says how long it waits; the waiting itself is asyncio.timeout in `ChangeFeed`)

from collections.abc import Callable
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .change_feed import PATIENCE
from .config import Config
from .person import Person
from .platform import Platform
from .server import Server
from .workspace import TEAM_ID, Channel, Message, User, Workspace


class LocalSlack:
    """A running local Slack.

    `async with LocalSlack(...) as slack`, or `await LocalSlack.start(...)` and `stop()`.
    """

    def __init__(self, config: Config | None = None, *, platform: Platform | None = None, **settings: Any) -> None:
        """Settings are the fields of `Config`."""
        self.config = config or Config(**settings)
        self.platform = platform or Platform(self.config)
        self.server = Server(self.platform)
        self.bot_token, self.app_token = self.config.bot_token, self.config.app_token
        self.signing_secret = self.config.signing_secret
        self.workspace = self.platform.workspace
        """The live state, to look at and to change (members, groups, archived channels)."""
        self.faults = self.platform.faults
        self.calls = self.platform.calls
        """Every call of the Web API, oldest first."""
        self.problems = self.platform.problems
        """Answers of the app that Slack could not use."""
        self.deliveries = self.platform.delivery.sent
        """Payloads sent to the app: (`interactive` | `slash_commands` | `events_api`, payload)."""
        self.wait_for = self.platform.wait_for
        self._people: dict[str, Person] = {}

    @classmethod
    async def start(cls, config: Config | None = None, **settings: Any) -> "LocalSlack":
        slack = cls(config, **settings)
        await slack.server.start()
        return slack

    async def stop(self) -> None:
        await self.server.stop()

    async def __aenter__(self) -> "LocalSlack":
        await self.server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        """The page's address."""
        return self.platform.base_url

    @property
    def api_url(self) -> str:
        """The `base_url` of slack-sdk's clients."""
        return f"{self.platform.base_url}/api/"

    @property
    def events_urls(self) -> list[str]:
        """The request URLs of HTTP mode, one for each replica.

        May be changed while it runs. Empty: Socket Mode.
        """
        return self.platform.http.urls

    def add_workspace(self, team: str) -> "LocalSlack":
        """Add a workspace, with the same names in it, that the app is not in.

        It ends with this one.
        """
        first = self.platform
        platform = Platform(
            self.config,
            changes=first.changes,
            faults=first.faults,
            calls=first.calls,
            problems=first.problems,
            base_url=first.base_url,
            installed=False,
            beside=first,
        )
        workspace = platform.workspace
        workspace.id, workspace.name = team, team.removeprefix("T0").capitalize()
        workspace.first_number = 1_000_000 * len(first.oauth.platforms)  # ids of its files and views are unique
        for user in workspace.users.values():
            user.team_id = team if user.team_id == TEAM_ID else user.team_id
        for channel in platform.workspace.channels.values():
            channel.members.discard(platform.workspace.bot_user)
        return LocalSlack(self.config, platform=platform)

    def allow(self, authorize_url: str, user: str = "alice", *, org: bool = False) -> str:
        """Click Allow on the page of OAuth; returns where Slack sends the browser."""
        query = dict(parse_qsl(urlsplit(authorize_url).query))
        return self.platform.oauth.allow(self.platform, query, user, org=org)

    def add_by_organization(self) -> None:
        """Add the organization's app to this workspace, as its admins do."""
        self.platform.oauth.grant_workspace(self.platform)

    def remove_by_organization(self) -> None:
        """Take it out of this workspace again."""
        self.platform.oauth.take_workspace(self.platform)

    def uninstall_organization(self) -> None:
        """Take the app out of the whole organization."""
        self.platform.uninstall_organization()

    def uninstall(self) -> None:
        """Take the app out of this workspace, as an admin does."""
        self.platform.uninstall()

    def user(self, ref: str) -> "Person":
        """A person by id or name."""
        user = self.workspace.user(ref)
        return self._people.setdefault(user.id, Person(self.platform, self.server.actions, user))

    def channel(self, ref: str) -> Channel:
        """A channel by id or name.

        `.messages` and `.thread(ts)` are copies of what is there now.
        """
        return self.workspace.channel(ref)

    def add_user(self, name: str, channels: tuple[str, ...] = ("#general", "#approvals"), **kind: Any) -> Person:
        """One more person, U0<NAME>, in these channels.

        `kind`: the fields of `User` (is_bot, is_restricted, …).
        """
        user = User(f"U0{name.upper()}", name, name.capitalize(), **kind)
        self.workspace.users[user.id] = user
        for channel in channels:
            self.invite(user.id, channel)
        return self.user(user.id)

    def add_channel(self, name: str, members: tuple[str, ...] = ("alice", "bob"), **kind: Any) -> Channel:
        """One more channel, C0<NAME>.

        `kind`: the fields of `Channel` (is_private, is_archived). The app is not in.
        """
        users = {self.workspace.user(member).id for member in members}
        channel = Channel(f"C0{name.upper()}", name, users, **kind)
        self.workspace.channels[channel.id] = channel
        self.platform.changes.ring()
        return channel

    def invite(self, user: str, channel: str, by: str = "") -> None:
        """Make a person, or the app by its bot user, a member of a channel."""
        inviter = self.workspace.user(by).id if by else ""
        self.platform.join(self.channel(channel), self.workspace.user(user).id, inviter)

    async def wait_message(
        self,
        channel: str,
        match: Callable[[Message], Any] = lambda message: True,
        timeout: float = PATIENCE,
        *,
        thread: str | None = None,
    ) -> Message:
        """A copy of the newest message that matches.

        Of the channel, or of one thread in it.
        """
        room = self.channel(channel)

        def find(_: Workspace) -> Message | None:
            messages = room.thread(thread) if thread else room.messages
            return next((message for message in reversed(messages) if match(message)), None)

        return await self.wait_for(find, timeout, f"a matching message in #{room.name}")

    async def wait_connected(self, count: int = 1, timeout: float = PATIENCE) -> None:
        """Until the app holds that many Socket Mode connections."""
        sockets = self.platform.socket.connections
        await self.wait_for(lambda _: len(sockets) >= count, timeout, f"{count} connections of the app")

    async def ask_to_reconnect(self, reason: str = "refresh_requested", count: int | None = None) -> None:
        """Send `disconnect` frames, as Slack does when it refreshes connections."""
        await self.platform.socket.ask_to_reconnect(reason, count)

    def cut_sockets(self, *, half_open: bool = False) -> int:
        """Break all Socket Mode connections at once, without a closing frame.

        With `half_open` Slack continues to send to them. Return how many there were.
        """
        return self.platform.socket.cut(half_open=half_open)

    async def verify_events_urls(self) -> list[bool]:
        """Send `url_verification` to each events URL."""
        return await self.platform.http.verify()
