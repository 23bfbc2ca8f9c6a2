"""Accounts of Slack, and the workspaces that they are members of (R9).

In an Enterprise Grid organisation a person has one id (`U…` or `W…`) in all of their workspaces. The `team_id` that
Slack names for them, in a click and in `users.info`, is their home, which may be another workspace than ours, or the
organisation (`E…`); `enterprise_user.teams` lists all of them. So nothing but what `users.info` says makes somebody a
member here, never what a payload says.
"""

from dataclasses import dataclass
from typing import Any, Self

from countersign.domain.ids import GroupId, UserId, WorkspaceId
from countersign.domain.people import Actor


@dataclass(frozen=True, slots=True)
class Account:
    """Account of a user as Slack describes it; the one without a field is of nobody.

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
            name=str(profile.get("display_name") or profile.get("real_name") or ""),
            zone=str(user.get("tz") or ""),
            teams=tuple(dict.fromkeys(WorkspaceId(str(team)) for team in named if team)),
            is_admin=bool(user.get("is_admin") or user.get("is_owner")),
            is_bot=bool(user.get("is_bot")),
            is_guest=bool(user.get("is_restricted") or user.get("is_ultra_restricted")),
            is_deactivated=bool(user.get("deleted")),
            is_stranger=bool(user.get("is_stranger")),
        )


def actor(
    workspace: WorkspaceId, user: UserId, account: Account | None, groups: frozenset[GroupId] | None = frozenset()
) -> Actor:
    """Describe a user as they act in this workspace.

    `account` is None if Slack did not say. Slack calls nobody a stranger who is in a channel of the app, so whoever
    belongs to other workspaces alone is an outsider too.
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
    )
