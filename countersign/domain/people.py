"""People as far as deciding goes: actors and reviewers, known by their ids (R9)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from countersign.domain.ids import ChannelId, GroupId, UserId, WorkspaceId
from countersign.domain.refusal_reasons import Refusal, Sentence

MEMBERS: Final = "members"
"""How people write: everybody in the channel that cards go to."""


@dataclass(frozen=True, slots=True)
class Actor:
    """A Slack user at the moment of a click, as Slack described them a moment ago.

    `groups` are those of the groups and channels asked about that the user belongs to; None when Slack did not say, and
    then nothing that depends on a group is allowed. `checked` is False when Slack did not answer who the user is.
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
    stands_for: tuple["Actor", ...] = ()
    """Those who are away and named this user as their stand-in, as Slack describes them; theirs do not count."""


@dataclass(frozen=True, slots=True)
class Reviewers:
    """Users, and members of user groups and channels, who may decide; empty is nobody.

    `members` are those of the channel that a card goes to, whichever that is. Rules in force name that channel among
    the `groups` instead (`at`), so that its members are asked of Slack as a group's are.
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
        """Put `members` in the place of this channel: the way back from `at`."""
        here = frozenset({GroupId(channel)})
        return Reviewers(self.users, self.groups - here, True) if here <= self.groups else self

    def why_not(self, actor: Actor) -> Refusal | None:
        """Return why this actor is none of these reviewers; None if they are one."""
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
    """Tell whether these are the members of a channel, not of a user group.

    Slack's ids tell by their first letter.
    """
    return group.startswith(("C", "G", "D"))


def those_of(group: GroupId) -> Sentence:
    """Name the members of a group, so that nobody in a channel is notified."""
    return ("everybody in ", group) if is_channel(group) else (group,)


def why_nobody(actor: Actor, workspace: WorkspaceId) -> Refusal | None:
    """Return why this account may decide nothing in the workspace; None if it may."""
    if not actor.checked:
        return Refusal.NOT_CHECKED
    if actor.workspace != workspace or actor.is_stranger:
        return Refusal.OTHER_WORKSPACE
    if actor.is_bot:
        return Refusal.NOT_A_PERSON
    if actor.is_deactivated:
        return Refusal.DEACTIVATED
    return Refusal.GUEST if actor.is_guest else None
