"""Standing permissions: "approve, and don't ask again for this" (R24).

A permission is given with the approval of one request, in the scope that people chose. It never covers more than the
judged request: the same team, channel and tool, and the same arguments unless the scope is the tool. It ends within a
day.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.channel_settings import Risk, Rules, why_not_configure
from countersign.domain.events import Event, EventType
from countersign.domain.ids import (
    AttemptId,
    ChannelId,
    Digest,
    PermissionId,
    RequestId,
    RunId,
    UserId,
    WorkspaceId,
    digest_of,
    short_name,
)
from countersign.domain.people import Actor, why_nobody
from countersign.domain.proof import Proof
from countersign.domain.question_salts import unsalted
from countersign.domain.requests import How, Kind, Request, Scope, Standing

LONGEST: Final = timedelta(days=1)
"""Longest life of a permission; after it people are asked again."""


class Span(StrEnum):
    """The time for which people are not asked again."""

    RUN = "run"
    """Until this run ends, a day at most."""
    HOUR = "hour"
    DAY = "day"


SPANS: Final = {Span.RUN: LONGEST, Span.HOUR: timedelta(hours=1), Span.DAY: LONGEST}


@dataclass(frozen=True, slots=True)
class PermissionChoice:
    """The scope and span that somebody chose with an approval."""

    scope: Scope
    span: Span


@dataclass(frozen=True, slots=True)
class Permission:
    """A standing permission. It holds digests only, never arguments.

    `exact` is the digest that must match: for scope CALL of the content, for ARGUMENTS of tool and arguments, for TOOL
    empty. It has no salt, so it is never in a record. `team` is the run's `known_as`. `run` is set if the permission
    ends with that run. `changed_at` is the time when it was given, last used or revoked.
    """

    id: PermissionId
    workspace: WorkspaceId
    channel: ChannelId
    team: str
    agent: str
    tool: str
    kind: Kind
    scope: Scope
    exact: Digest | None
    run: RunId | None
    by: UserId
    request: RequestId
    at: datetime
    until: datetime
    changed_at: datetime
    used: int = 0
    revoked_by: UserId | None = None
    proof: Proof = Proof.SLACK
    """The proof it was given with; it approves nothing that needs a stronger proof."""


def why_not(request: Request, choice: PermissionChoice | None = None) -> Refusal | None:
    """Return why this approval cannot give the permission; None if it can.

    Without a choice, return why it cannot give any permission.
    """
    if request.question.call is None:
        return Refusal.NO_STANDING_HERE
    if request.rules.quorum > 1:
        return Refusal.STANDING_NEEDS_ONE
    if request.rules.risk is Risk.HIGH:
        return Refusal.NO_STANDING_AT_HIGH_RISK
    if choice is not None and choice.scope is Scope.TOOL and request.question.kind is Kind.CODE:
        return Refusal.NO_STANDING_FOR_ALL_CODE
    return None


def standing(request: Request, choice: PermissionChoice, attempt: AttemptId, now: datetime) -> Standing:
    """Return the permission that this attempt's approval of the request gives."""
    name = PermissionId("p" + short_name(request.id, attempt, length=10))
    return Standing(name, choice.scope, now + SPANS[choice.span], choice.span is Span.RUN)


def given_with(request: Request, team: str) -> Permission | None:
    """Return the permission that was given with the request's approval, or None."""
    call, decision = request.question.call, request.decision
    if call is None or decision is None or decision.standing is None or decision.how is How.PERMISSION:
        return None
    return Permission(
        decision.standing.permission,
        request.workspace,
        request.channel,
        team,
        request.question.agent,
        call.tool,
        request.question.kind,
        decision.standing.scope,
        _exact(request, decision.standing.scope),
        request.run if decision.standing.this_run else None,
        decision.by[0],
        request.id,
        decision.at,
        decision.standing.until,
        decision.at,
        proof=decision.proof,
    )


def in_force(permission: Permission, now: datetime) -> bool:
    """Tell whether the permission has neither ended nor been revoked."""
    return permission.revoked_by is None and permission.at <= now < permission.until


def covers(permission: Permission, request: Request, team: str, now: datetime) -> bool:
    """Tell whether the permission covers the request, so that nobody need be asked.

    Its giver must still be allowed to decide. Requests asked before it was given remain for people.
    """
    call = request.question.call
    return (
        call is not None
        and in_force(permission, now)
        and request.created_at >= permission.at
        and why_not(request, PermissionChoice(permission.scope, Span.HOUR)) is None
        and (permission.workspace, permission.channel, permission.team) == (request.workspace, request.channel, team)
        and (permission.tool, permission.kind) == (call.tool, request.question.kind)
        and permission.run in (None, request.run)
        and (permission.scope is not Scope.CALL or permission.agent == request.question.agent)
        and permission.exact == _exact(request, permission.scope)
        and permission.proof.reaches(request.rules.proof)
    )


def why_not_revoke(permission: Permission, actor: Actor, rules: Rules, admins: frozenset[UserId]) -> Refusal | None:
    """Return why this actor may not revoke the permission; None if they may.

    Its giver may, and everybody who may change its channel's settings. `rules` are now in force there.
    """
    if (nobody := why_nobody(actor, permission.workspace)) is not None:
        return nobody
    may = actor.user == permission.by or why_not_configure(actor, rules, admins) is None
    return None if may else Refusal.MAY_NOT_REVOKE


def given(permission: Permission) -> Event:
    """Make the event of a new permission."""
    return _event(EventType.PERMISSION_GIVEN, permission, permission.by)


def revoked(permission: Permission, by: UserId) -> Event:
    """Make the event of a permission's revocation."""
    return _event(EventType.PERMISSION_REVOKED, permission, by)


def _exact(request: Request, scope: Scope) -> Digest | None:
    call = request.question.call
    if scope is Scope.TOOL or call is None:
        return None
    if scope is Scope.CALL:
        return unsalted(request.question)
    return digest_of(request.question.kind, call.tool, call.arguments)


def _event(kind: EventType, permission: Permission, user: UserId) -> Event:
    data = {
        "permission": permission.id,
        "channel": permission.channel,
        "team": permission.team,
        "tool": permission.tool,
        "scope": permission.scope,
        "only_run": permission.run or "",
        "until": permission.until.isoformat(),
        "given_by": permission.by,
        "used": str(permission.used),
    }
    return Event(
        kind,
        permission.changed_at,
        request=permission.request,
        workspace=permission.workspace,
        user=user,
        data={name: str(value) for name, value in data.items()},
    )
