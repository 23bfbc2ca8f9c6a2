"""Look up people, groups and channels in Slack, and remember them for a minute.

Nobody waits here longer than `PATIENCE`, because a click must be answered within 3 s; what Slack says later is
remembered for the next click. What Slack did not say is never taken for a yes (R9).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.ids import ChannelId, GroupId, UserId, WorkspaceId
from countersign.domain.people import Actor, is_channel
from countersign.usecases.ports import Message

from ..posted_messages import name_of

PATIENCE: Final = 1.5
"""Seconds that one look-up may keep a person waiting."""
FRESH: Final = 60.0
"""Seconds that an answer of Slack is believed."""
_NOBODY: Final = frozenset({"user_not_found", "user_not_visible"})
_NO_GROUP: Final = frozenset({"no_such_subteam", "subteam_not_found"})
_NO_CHANNEL: Final = frozenset({"channel_not_found"})
_SHUT_OUT: Final = _NO_CHANNEL | {"not_in_channel"}
_log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Room:
    """A channel as the app sees it; `known` is False when there is none that the app may see."""

    id: ChannelId
    name: str = ""
    is_member: bool = False
    is_archived: bool = False
    known: bool = True


class Directory:
    """Look-ups for one workspace, the app's own. `close` it at the end."""

    def __init__(
        self,
        client: AsyncWebClient,
        workspace: WorkspaceId | None = None,
        *,
        patience: float = PATIENCE,
        fresh: float = FRESH,
    ) -> None:
        self._client = client
        self._workspace = workspace
        self._patience = patience
        self._fresh = fresh
        self._answers: dict[Hashable, tuple[float, Any]] = {}
        self._asked: dict[Hashable, asyncio.Task[Any]] = {}

    async def close(self) -> None:
        """Ends the look-ups that nobody waits for any more."""
        tasks = list(self._asked.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def actor(self, workspace: WorkspaceId, user: UserId, groups: Iterable[GroupId] = ()) -> Actor:
        """Describe this person as they are now, with those of the groups that they are in.

        `workspace` is the one that Slack's payload names for them: in an Enterprise organisation their home, so a
        member is who `users.info` calls one.
        """
        wanted = sorted(groups)
        person, *members = await self._all(user, wanted)
        mine = {g for g, users in zip(wanted, members, strict=True) if users and user in users}
        if person and self._workspace is not None and self._workspace in _teams(person):
            workspace = self._workspace
        untold = not mine and any(users is None for users in members)
        return described(workspace, user, person, None if untold else frozenset(mine))

    async def _all(self, user: UserId, groups: list[GroupId]) -> list[Any]:
        """Ask Slack about the user, then of each group; at once and without a task where it is remembered."""
        asked = [("person", user), *(("members", g) for g in groups)]
        oldest = asyncio.get_running_loop().time() - self._fresh
        if all(what in self._answers and self._answers[what][0] > oldest for what in asked):
            return [self._answers[what][1] for what in asked]
        return list(await asyncio.gather(self._person(user), *(self.members(g) for g in groups)))

    async def name(self, user: UserId) -> str:
        """Give the name of somebody, for texts where a mention cannot be; the id if Slack did not say."""
        profile = (await self._person(user) or {}).get("profile") or {}
        return f"@{profile.get('display_name') or profile.get('real_name') or user}"

    async def zone(self, user: UserId) -> str:
        """The time zone that somebody chose in Slack, by its IANA name; UTC if Slack did not say."""
        return str((await self._person(user) or {}).get("tz") or "UTC")

    async def group_name(self, group: GroupId) -> str:
        """Likewise for a user group."""
        return (await self.groups() or {}).get(group, f"the group {group}")

    async def room_name(self, channel: ChannelId) -> str:
        """Likewise for a channel."""
        room = await self.room(channel)
        return f"#{room.name}" if room and room.name else f"the channel {channel}"

    async def members(self, group: GroupId) -> frozenset[UserId] | None:
        """List who is in the user group or channel; empty if there is none such, None if Slack did not say."""

        async def ask() -> frozenset[UserId]:
            if is_channel(group):
                return await self._in_channel(group)
            try:
                return frozenset((await self._client.usergroups_users_list(usergroup=group))["users"])
            except SlackApiError as refused:
                if _code(refused) in _NO_GROUP:
                    return frozenset()
                raise

        return await self._ask(("members", group), ask)

    async def _in_channel(self, channel: GroupId) -> frozenset[UserId]:
        """Page by page: a channel may have thousands, and Slack tells 999 at once at most."""
        found: set[UserId] = set()
        cursor = ""
        while True:
            try:
                answer = await self._client.conversations_members(channel=channel, limit=999, cursor=cursor)
            except SlackApiError as refused:
                if _code(refused) in _NO_CHANNEL:
                    return frozenset()
                raise
            found.update(answer["members"])
            cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
            if not cursor:
                return frozenset(found)

    async def groups(self) -> dict[GroupId, str] | None:
        """The workspace's user groups by id, `@handle` each; None if Slack did not say."""

        async def ask() -> dict[GroupId, str]:
            answer = await self._client.usergroups_list()
            return {GroupId(g["id"]): f"@{g['handle']}" for g in answer["usergroups"]}

        return await self._ask("groups", ask)

    async def room(self, channel: ChannelId) -> Room | None:
        """The channel; None if Slack did not say."""

        async def ask() -> Room:
            try:
                return _room((await self._client.conversations_info(channel=channel))["channel"])
            except SlackApiError as refused:
                if _code(refused) in _NO_CHANNEL:
                    return Room(channel, known=False)
                raise

        found = await self._ask(("room", channel), ask)
        if found is not None and not (found.known and found.is_member):
            self._answers.pop(("room", channel), None)  # whoever reads the refusal invites the app and tries again
        return found

    async def rooms(self) -> dict[str, ChannelId] | None:
        """The channels that the app is in, by name without `#`; None if Slack did not say."""

        async def ask() -> dict[str, ChannelId]:
            found: dict[str, ChannelId] = {}
            cursor = ""
            while True:
                answer = await self._client.users_conversations(
                    types="public_channel,private_channel", exclude_archived=True, limit=200, cursor=cursor
                )
                found |= {c["name"]: ChannelId(c["id"]) for c in answer["channels"]}
                cursor = (answer.get("response_metadata") or {}).get("next_cursor") or ""
                if not cursor:
                    return found

        return await self._ask("rooms", ask)

    async def still_there(self, card: Message) -> bool | None:
        """Return whether people can see the message now. Slack puts apps out of an archived channel,
        and leaves a tombstone in the place of what had replies."""

        async def ask() -> bool:
            one: dict[str, Any] = {"channel": card.channel, "latest": card.ts, "inclusive": True, "limit": 1}
            try:
                room = _room((await self._client.conversations_info(channel=card.channel))["channel"])
                found = await self._client.conversations_history(**one, include_all_metadata=True)
            except SlackApiError as refused:
                if _code(refused) in _SHUT_OUT:
                    return False
                raise
            stands = any(m["ts"] == card.ts and name_of(m) == card.name for m in found["messages"])
            return stands and not room.is_archived

        return await self._ask(("message", card.channel, card.ts), ask)

    async def room_named(self, name: str) -> ChannelId | None:
        """The channel of this name (with or without `#`) that the app is in; None if there is none, or no answer."""
        found = (await self.rooms() or {}).get(name.removeprefix("#"))
        if found is None:
            self._answers.pop("rooms", None)
        return found

    async def _person(self, user: UserId) -> dict[str, Any] | None:
        """Slack's description of a user; empty if the workspace has no such user, None if Slack did not say."""

        async def ask() -> dict[str, Any]:
            try:
                found: dict[str, Any] = (await self._client.users_info(user=user))["user"]
                return found
            except SlackApiError as refused:
                if _code(refused) in _NOBODY:
                    return {}
                raise

        return await self._ask(("person", user), ask)

    async def _ask(self, what: Hashable, ask: Callable[[], Awaitable[T]]) -> T | None:
        loop = asyncio.get_running_loop()
        known = self._answers.get(what)
        if known is not None and loop.time() - known[0] < self._fresh:
            answer: T = known[1]
            return answer
        if what not in self._asked:
            self._asked[what] = asyncio.create_task(self._look_up(what, ask), name=f"look up {what}")
        task: asyncio.Task[T | None] = self._asked[what]
        await asyncio.wait({task}, timeout=self._patience)
        if not task.done():
            _log.warning("Slack has not said within %s s: %s", self._patience, what)
            return None
        return None if task.cancelled() else task.result()

    async def _look_up(self, what: Hashable, ask: Callable[[], Awaitable[T]]) -> T | None:
        loop = asyncio.get_running_loop()
        try:
            answer = await ask()
        except SlackApiError as refused:
            _log.warning("Slack did not say (%s): %s", _code(refused), what)
            return None
        except (aiohttp.ClientError, TimeoutError, OSError) as away:
            _log.warning("Slack cannot be reached (%s): %s", away or type(away).__name__, what)
            return None
        finally:
            self._asked.pop(what, None)
        self._answers = {k: v for k, v in self._answers.items() if loop.time() - v[0] < self._fresh}
        self._answers[what] = (loop.time(), answer)
        return answer


def described(
    workspace: WorkspaceId, user: UserId, person: dict[str, Any] | None, groups: frozenset[GroupId] | None
) -> Actor:
    """An account as Slack describes it: `person` is `user` of `users.info`, empty if the workspace has no such user,
    None if Slack did not say."""
    if person is None:
        return Actor(workspace, user, groups=None, checked=False)
    return Actor(
        workspace,
        user,
        groups,
        is_admin=bool(person.get("is_admin") or person.get("is_owner")),
        is_bot=bool(person.get("is_bot")) or user == "USLACKBOT",
        is_guest=bool(person.get("is_restricted") or person.get("is_ultra_restricted")),
        is_deactivated=bool(person.get("deleted")),
        is_stranger=not person or bool(person.get("is_stranger")) or _belongs_elsewhere(person, workspace),
    )


def _belongs_elsewhere(person: dict[str, Any], workspace: WorkspaceId) -> bool:
    """Return whether they are only here through Slack Connect.

    Slack calls nobody a stranger whom a shared channel makes known.

    In an Enterprise organisation a member of several workspaces is described as one of any of them, or of the
    organisation; who is in none that is named here is not from here.
    """
    teams = _teams(person)
    return bool(teams) and workspace not in teams


def _teams(person: dict[str, Any]) -> frozenset[str]:
    """Every workspace, or organisation, that Slack says somebody belongs to."""
    others = (person.get("enterprise_user") or {}).get("teams") or ()
    return frozenset(str(one) for one in (person.get("team_id"), *others) if one)


def _room(channel: dict[str, Any]) -> Room:
    member, archived = bool(channel.get("is_member")), bool(channel.get("is_archived"))
    return Room(ChannelId(channel["id"]), channel.get("name", ""), member, archived)


def _code(refused: SlackApiError) -> str:
    return str(refused.response["error"]) if isinstance(refused.response.data, dict) else "no answer"
