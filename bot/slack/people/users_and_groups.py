"""Look up people, groups and channels of one workspace in Slack.

A missing answer never counts as a yes (R9); `lookup_cache` says how long an answer counts.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from pydantic import TypeAdapter
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain import people
from countersign.domain.ids import ChannelId, GroupId, UserId, WorkspaceId
from countersign.domain.people import Account, Actor, is_channel
from countersign.usecases.ports import Message

from ... import slack_errors

FRESH: Final = timedelta(minutes=1)
"""How long a reply of Slack counts without asking again."""
KEPT: Final = timedelta(minutes=5)
"""How long a reply counts while Slack does not answer."""
PAGE: Final = 999
"""Largest page of members or channels that Slack returns."""
_MOST_PAGES: Final = 20
"""Most pages of accounts read to find a person by name: Slack gives twenty a minute."""
_NOBODY: Final = frozenset({"user_not_found", "user_not_visible"})
_NO_GROUPS: Final = frozenset({"plan_upgrade_required"})
_NO_CHANNEL: Final = frozenset({"channel_not_found"})
_SHUT_OUT: Final = _NO_CHANNEL | {"not_in_channel"}

T = TypeVar("T")
Fact = tuple[str, ...]
"""Key of a fact: its kind, and the id of its subject."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel as the app sees it; `known` is false if it sees none.

    `is_external`: shared with another company through Slack Connect, and not only inside an organisation.
    """

    id: ChannelId
    name: str = ""
    is_member: bool = False
    is_archived: bool = False
    is_external: bool = False
    known: bool = True


@dataclass(frozen=True, slots=True)
class UserGroup:
    """A user group; `handle` with its @."""

    handle: str
    users: frozenset[UserId]


class Members(NamedTuple):
    """Members of a user group or channel; more than these if not `whole`."""

    users: frozenset[UserId]
    whole: bool


SHARED: Final[dict[str, TypeAdapter[Any]]] = {
    "person": TypeAdapter(Account),
    "joined": TypeAdapter(frozenset[ChannelId]),
    "members": TypeAdapter(Members),
    "usergroups": TypeAdapter(dict[GroupId, UserGroup]),
}
"""Facts shared by all `web` processes, by kind, with their storage format."""


class Replies(Protocol):
    """Slack's replies, remembered for a while; implemented by `lookup_cache`."""

    patience: float

    async def find(
        self, fact: Fact, ask: Callable[[], Awaitable[T]], *, kept: timedelta = KEPT, fresh: timedelta = FRESH
    ) -> T | None:
        """Return Slack's reply, or one younger than `kept`; None if there is none."""

    def forget(self, *facts: Fact) -> None:
        """Forget these replies."""

    def age(self, *facts: Fact, most: timedelta) -> timedelta:
        """Return the age of the oldest of these replies that is younger than `most`."""

    async def close(self) -> None:
        """End the look-ups that nobody waits for any more."""


class Directory:
    """Look-ups for one workspace, the app's own. Call `close` at the end.

    `external_channels`: whether cards may go to channels that are shared with other companies. `last_known`: how long
    an answer about people and groups counts while Slack gives no newer one.
    """

    def __init__(
        self,
        client: AsyncWebClient,
        workspace: WorkspaceId,
        lookups: Replies,
        *,
        external_channels: bool = False,
        last_known: timedelta = KEPT,
    ) -> None:
        self.workspace: Final = workspace
        self.external_channels: Final = external_channels
        self.lookups: Final = lookups
        self._client = client
        self._last_known = last_known

    async def close(self) -> None:
        """End its look-ups."""
        await self.lookups.close()

    async def actor(self, user: UserId, groups: Iterable[GroupId] = ()) -> Actor:
        """Describe this person's current account, with the given groups that they are in."""
        asked = frozenset(groups)
        account, (member_of, unknown) = await asyncio.gather(self._person(user), self.memberships(user, asked))
        actor = people.actor_of(self.workspace, user, account, None if unknown and not member_of else member_of)
        lists: list[Fact] = [("members", one) if is_channel(one) else ("usergroups",) for one in asked]
        age = self.lookups.age(("person", user), *lists, most=self._last_known)
        return replace(actor, said_ago=age) if actor.checked and age >= KEPT else actor

    async def memberships(
        self, user: UserId, groups: Iterable[GroupId]
    ) -> tuple[frozenset[GroupId], frozenset[GroupId]]:
        """Return the groups that the user is in, and the groups without an answer."""
        asked = sorted(groups)
        answers = await asyncio.gather(*(self._is_in(user, group) for group in asked))
        pairs = list(zip(asked, answers, strict=True))
        return frozenset(g for g, is_in in pairs if is_in), frozenset(g for g, is_in in pairs if is_in is None)

    async def _is_in(self, user: UserId, group: GroupId) -> bool | None:
        """Tell whether the user is in the group or channel; None if Slack did not say.

        For a channel with more than one page of members, the user's channels are listed instead: one call, however
        large the channel is.
        """
        members = await self.members(group)
        if members is None or members.whole or user in members.users:
            return None if members is None else user in members.users
        joined = await self.joined(user)
        return None if joined is None else ChannelId(group) in joined

    async def name(self, user: UserId) -> str:
        """Give somebody's name, for plain texts; the id if Slack did not say."""
        return f"@{(await self._person(user) or Account()).name or user}"

    async def mentioned_name(self, name: str) -> str:
        """Give the name of a user, channel or user group by its id in a mention."""
        if (user := UserId.named(name)) is not None:
            return await self.name(user)
        if (channel := ChannelId.named(name)) is not None:
            return await self.channel_name(channel)
        return await self.group_name(GroupId(name))

    async def zone(self, user: UserId) -> str:
        """Give the IANA name of somebody's time zone; UTC if Slack did not say."""
        return (await self._person(user) or Account()).zone or "UTC"

    async def group_name(self, group: GroupId) -> str:
        """Give the handle of a user group; its id if Slack did not say."""
        return (await self.groups() or {}).get(group, f"the group {group}")

    async def channel_name(self, channel: ChannelId) -> str:
        """Give the name of a channel; its id if Slack did not say."""
        name = (await self.channel(channel) or Channel(channel)).name
        return f"#{name}" if name else f"the channel {channel}"

    async def members(self, group: GroupId) -> Members | None:
        """List the members of a user group, or one page of a channel's members.

        Empty if the group does not exist, None if Slack did not answer.
        """
        if not is_channel(group):
            groups = await self._usergroups()
            return None if groups is None else Members(groups[group].users if group in groups else frozenset(), True)

        async def ask() -> Members:
            try:
                page = await self._client.conversations_members(channel=group, limit=PAGE)
            except SlackApiError as refused:
                if slack_errors.code(refused) in _NO_CHANNEL:
                    return Members(frozenset(), True)
                raise
            return Members(frozenset(map(UserId, page["members"])), not _next_page(page))

        return await self.lookups.find(("members", group), ask, kept=self._last_known)

    async def groups(self) -> dict[GroupId, str] | None:
        """The workspace's user groups by id, `@handle` each; None if Slack did not say."""
        groups = await self._usergroups()
        return None if groups is None else {group: one.handle for group, one in groups.items()}

    async def channel(self, channel: ChannelId) -> Channel | None:
        """The channel; None if Slack did not say."""

        async def ask() -> Channel:
            try:
                return _channel_in((await self._client.conversations_info(channel=channel))["channel"])
            except SlackApiError as refused:
                if slack_errors.code(refused) in _NO_CHANNEL:
                    return Channel(channel, known=False)
                raise

        answer = await self.lookups.find(("channel", channel), ask)
        if answer is not None and not (answer.known and answer.is_member):
            self.lookups.forget(("channel", channel))  # after a refusal people invite the app and try again
        return answer

    async def channels(self, *, anew: bool = False) -> dict[str, ChannelId] | None:
        """The app's channels by name, `anew` as of now; None if Slack did not say."""

        async def ask() -> dict[str, ChannelId]:
            return {c["name"]: ChannelId(c["id"]) for c in await self._channels(exclude_archived=True)}

        return await self.lookups.find(("channels",), ask, fresh=timedelta(seconds=5) if anew else FRESH)

    async def still_there(self, card: Message) -> bool | None:
        """Return whether people can see the message now.

        Slack removes apps from an archived channel, and leaves a tombstone in place of a deleted message with replies.
        A response URL may have removed the card's metadata.
        """

        async def ask() -> bool:
            look = self._client.conversations_replies if card.thread else self._client.conversations_history
            only: dict[str, Any] = {"ts": card.thread, "oldest": card.ts} if card.thread else {"limit": 1}
            one = {"channel": card.channel, "latest": card.ts, "inclusive": True, **only}
            try:
                channel = _channel_in((await self._client.conversations_info(channel=card.channel))["channel"])
                page = await look(**one, include_all_metadata=True)
            except SlackApiError as refused:
                if slack_errors.code(refused) in _SHUT_OUT:
                    return False
                raise
            named = {
                m["ts"]: (m.get("metadata") or {}).get("event_payload", {"name": card.name})
                for m in page["messages"]
                if m.get("bot_id") and m.get("subtype") != "tombstone"
            }
            return named.get(card.ts) == {"name": card.name} and not channel.is_archived

        # R32: only a current answer counts; an older reply must not hide that the card was deleted.
        return await self.lookups.find(("message", card.channel, card.ts), ask, kept=FRESH)

    async def channel_named(self, name: str) -> ChannelId | None:
        """Find the app's channel of this name; None if it does not exist or is unknown."""
        if (channel := (await self.channels() or {}).get(name.removeprefix("#"))) is None:
            self.lookups.forget(("channels",))
        return channel

    async def users_named(self, name: str) -> frozenset[UserId] | None:
        """Find the people with this display name, real name or handle, in any case.

        Names are edited and not unique. In a workspace with too many accounts to list, nobody is found. None if Slack
        did not say.
        """

        async def ask() -> dict[str, frozenset[UserId]]:
            found: defaultdict[str, set[UserId]] = defaultdict(set)
            cursor = ""
            for _ in range(_MOST_PAGES):
                page = await self._client.users_list(limit=PAGE, cursor=cursor)
                for user in page["members"]:
                    account, profile = Account.read(user), user.get("profile") or {}
                    if account.is_bot or account.is_deactivated or account.is_stranger:
                        continue
                    for one in (profile.get("display_name"), profile.get("real_name"), user.get("name")):
                        if one:
                            found[str(one).casefold()].add(UserId(user["id"]))
                if not (cursor := _next_page(page)):
                    return {one: frozenset(users) for one, users in found.items()}
            return {}

        people = await self.lookups.find(("people",), ask)
        return None if people is None else people.get(name.strip().casefold(), frozenset())

    async def _person(self, user: UserId) -> Account | None:
        """Return the user's account, empty if unknown; None if Slack did not answer."""

        async def ask() -> Account:
            try:
                return Account.read((await self._client.users_info(user=user))["user"])
            except SlackApiError as refused:
                if slack_errors.code(refused) in _NOBODY:
                    return Account()
                raise

        return await self.lookups.find(("person", user), ask, kept=self._last_known)

    async def _usergroups(self) -> dict[GroupId, UserGroup] | None:
        """Read all user groups with their members in one call; empty on plans without groups."""

        async def ask() -> dict[GroupId, UserGroup]:
            try:
                answer = await self._client.usergroups_list(include_users=True)
            except SlackApiError as refused:
                if slack_errors.code(refused) in _NO_GROUPS:
                    return {}
                raise
            groups = [(g, frozenset(map(UserId, g.get("users") or ()))) for g in answer["usergroups"]]
            return {GroupId(g["id"]): UserGroup(f"@{g['handle']}", users) for g, users in groups}

        return await self.lookups.find(("usergroups",), ask, kept=self._last_known)

    async def joined(self, user: UserId) -> frozenset[ChannelId] | None:
        """List the user's public channels, and the private ones where the app is too.

        None if Slack did not say.
        """

        async def ask() -> frozenset[ChannelId]:
            return frozenset(ChannelId(channel["id"]) for channel in await self._channels(user=user))

        return await self.lookups.find(("joined", user), ask, kept=self._last_known)

    async def _channels(self, **whose: Any) -> list[dict[str, Any]]:
        """Read all pages of `users.conversations`."""
        channels: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = await self._client.users_conversations(
                types="public_channel,private_channel", limit=PAGE, cursor=cursor, **whose
            )
            channels += page["channels"]
            if not (cursor := _next_page(page)):
                return channels


def _next_page(page: Any) -> str:
    """The cursor of the next page; "" if this was the last."""
    return (page.get("response_metadata") or {}).get("next_cursor") or ""


def _channel_in(channel: dict[str, Any]) -> Channel:
    return Channel(
        ChannelId(channel["id"]),
        channel.get("name", ""),
        is_member=bool(channel.get("is_member")),
        is_archived=bool(channel.get("is_archived")),
        is_external=bool(channel.get("is_ext_shared")),
    )
