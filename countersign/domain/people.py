"""People who decide: Slack accounts, actors and reviewers (R9).

People are identified by their ids. In an Enterprise Grid organisation a person has one id (`U…` or `W…`) in all of
their workspaces. The `team_id` that Slack names for them, in a click and in `users.info`, is their home, which may be
another workspace than ours, or the organisation (`E…`); `enterprise_user.teams` lists all of them. Therefore only
`users.info` makes somebody a member here, never a payload.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self

from countersign.domain.attempt_refusals import Refusal, Sentence
from countersign.domain.ids import ChannelId, GroupId, UserId, WorkspaceId

MEMBERS: Final = "members"
"""The keyword for everybody in the channel that cards go to."""
_LONGEST_NAME: Final = 80
"""Characters of a name, as Slack allows them."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A Slack user at the moment of a click, as Slack described them a moment ago.

    `groups` are the user's groups and channels among the requested ones; None if Slack did not say, which
    denies everything that depends on a group. `checked` is False when Slack did not answer who the user is.
    """

    workspace: WorkspaceId
    user: UserId
    groups: frozenset[GroupId] | None = frozenset()
    is_admin: bool = False
    is_bot: bool = False
    is_guest: bool = False
    is_deactivated: bool = False
    is_stranger: bool = False
    checked: bool = True
    name: str = ""
    """Display name; "" if Slack did not say."""
    stands_for: tuple["Actor", ...] = ()
    """Absent people who named this user as their stand-in, as Slack describes them. Their own `stands_for` does not
    count."""
    said_ago: timedelta | None = None
    """Age of Slack's answer, if Slack is away and an older answer than usual counts."""

    def administers(self, admins: frozenset[UserId]) -> bool:
        """Tell whether this is an admin of the workspace, or named in ADMINS."""
        return self.is_admin or self.user in admins


@dataclass(frozen=True, slots=True)
class Reviewers:
    """Users, user groups and channels whose members may decide; empty means nobody.

    `members` means the members of whichever channel a card goes to. Rules in force name that channel among the `groups`
    instead (`at`), so that Slack is asked for its members as for a group's.
    """

    users: frozenset[UserId] = frozenset()
    groups: frozenset[GroupId] = frozenset()
    members: bool = False

    def __bool__(self) -> bool:
        return bool(self.users or self.groups or self.members)

    def at(self, channel: ChannelId) -> "Reviewers":
        """Name the channel that the card goes to instead of `members`."""
        return Reviewers(self.users, self.groups | {GroupId(channel)}) if self.members else self

    def meant(self, channel: ChannelId) -> "Reviewers":
        """Undo `at`: replace this channel by `members`."""
        here = frozenset({GroupId(channel)})
        return Reviewers(self.users, self.groups - here, True) if here <= self.groups else self

    def why_not(self, actor: Actor) -> Refusal | None:
        """Return why this actor is not one of these reviewers; None if they are."""
        if actor.user in self.users:
            return None
        if actor.groups is None:
            return Refusal.NOT_CHECKED if self.groups else Refusal.NOT_A_REVIEWER
        return None if actor.groups & self.groups else Refusal.NOT_A_REVIEWER


def reviewers_named(names: Collection[str]) -> Reviewers:
    """Read ids of users (U…, W…) and user groups (S…), and `members`."""
    users = frozenset(UserId(name) for name in names if name.startswith(("U", "W")))
    groups = frozenset(GroupId(name) for name in names if name.startswith("S"))
    return Reviewers(users, groups, MEMBERS in names)


def is_channel(group: GroupId) -> bool:
    """Tell whether this id is a channel's, not a user group's.

    The first letter of Slack's ids tells the kind.
    """
    return group.startswith(("C", "G", "D"))


def those_of(group: GroupId) -> Sentence:
    """Name the members of a group, so that nobody in a channel is notified."""
    return ("everybody in ", group) if is_channel(group) else (group,)


def why_nobody(actor: Actor, workspace: WorkspaceId) -> Refusal | None:
    """Return why this account may not decide in the workspace; None if it may."""
    if not actor.checked:
        return Refusal.NOT_CHECKED
    if actor.workspace != workspace or actor.is_stranger:
        return Refusal.OTHER_WORKSPACE
    if actor.is_bot:
        return Refusal.NOT_A_PERSON
    if actor.is_deactivated:
        return Refusal.DEACTIVATED
    return Refusal.GUEST if actor.is_guest else None


def readable_name(text: str) -> str:
    """Put a name on one line, without characters that hide or reverse text."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:_LONGEST_NAME]


@dataclass(frozen=True, slots=True)
class Account:
    """Account of a user as Slack describes it; without fields, of an unknown user.

    `teams`: the workspaces and the organisation that Slack names for them, their home first.
    """

    name: str = ""
    zone: str = ""
    teams: tuple[WorkspaceId, ...] = ()
    is_admin: bool = False
    is_bot: bool = False
    is_guest: bool = False
    is_deactivated: bool = False
    is_stranger: bool = False

    @classmethod
    def read(cls, user: dict[str, Any]) -> Self:
        """Read `user` of a reply of `users.info`."""
        profile = user.get("profile") or {}
        named = (user.get("team_id"), *((user.get("enterprise_user") or {}).get("teams") or ()))
        return cls(
            name=readable_name(str(profile.get("display_name") or profile.get("real_name") or "")),
            zone=str(user.get("tz") or ""),
            teams=tuple(dict.fromkeys(WorkspaceId(str(team)) for team in named if team)),
            is_admin=bool(user.get("is_admin") or user.get("is_owner")),
            is_bot=bool(user.get("is_bot")),
            is_guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
            is_deactivated=bool(user.get("deleted")),
            is_stranger=bool(user.get("is_stranger")),
        )


def actor_of(
    workspace: WorkspaceId, user: UserId, account: Account | None, groups: frozenset[GroupId] | None = frozenset()
) -> Actor:
    """Describe a user as they act in this workspace.

    `account` is None if Slack did not say. Slack does not mark members of the app's channels as strangers, so a user
    who belongs only to other workspaces counts as an outsider too.
    """
    if account is None:
        return Actor(workspace, user, groups=None, checked=False)
    is_member = workspace in account.teams and not account.is_stranger
    return Actor(
        workspace if is_member or not account.teams else account.teams[0],
        user,
        groups,
        is_admin=account.is_admin,
        is_bot=account.is_bot or user == "USLACKBOT",
        is_guest=account.is_guest,
        is_deactivated=account.is_deactivated,
        is_stranger=not is_member,
        name=account.name,
    )
