"""Who somebody is, as far as deciding goes. Names never count, ids do (R9)."""

from dataclasses import dataclass

from bot.core.ids import GroupId, UserId, WorkspaceId
from bot.core.refusals import Refusal


@dataclass(frozen=True, slots=True)
class Actor:
    """A Slack user at the moment of a click, as Slack described them a moment ago.

    `groups` are those of the groups asked about that the user belongs to; None when Slack did not say, and then
    nothing that depends on a group is allowed. `checked` is False when Slack did not answer who the user is.
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
    """Those who may decide: users, and the members of user groups. Empty means nobody (R10)."""

    users: frozenset[UserId] = frozenset()
    groups: frozenset[GroupId] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.users or self.groups)

    def why_not(self, actor: Actor) -> Refusal | None:
        """Why this actor is none of these reviewers; None if they are one."""
        if actor.user in self.users:
            return None
        if actor.groups is None:
            return Refusal.NOT_CHECKED if self.groups else Refusal.NOT_A_REVIEWER
        return None if actor.groups & self.groups else Refusal.NOT_A_REVIEWER


def why_nobody(actor: Actor, workspace: WorkspaceId) -> Refusal | None:
    """Why this account may decide on nothing at all in the workspace; None if it may."""
    if not actor.checked:
        return Refusal.NOT_CHECKED
    if actor.workspace != workspace or actor.is_stranger:
        return Refusal.OTHER_WORKSPACE
    if actor.is_bot:
        return Refusal.NOT_A_PERSON
    if actor.is_deactivated:
        return Refusal.DEACTIVATED
    return Refusal.GUEST if actor.is_guest else None
