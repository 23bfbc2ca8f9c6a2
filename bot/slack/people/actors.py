"""Describe actors: people who decide, and the people they stand in for.

Both are described by Slack's current data.
"""

import asyncio
from dataclasses import replace

from countersign.domain.attempt_refusals import Refusal
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import Refused
from countersign.domain.ids import UserId
from countersign.domain.people import Actor, Reviewers
from countersign.domain.requests import Request, Vote
from countersign.domain.standing_permissions import Permission
from countersign.usecases.ports import Store

from .users_and_groups import Directory


async def actor_of(store: Store, directory: Directory, user: UserId, reviewers: Reviewers) -> Actor:
    """Describe the person who acts.

    The people whom they stand in for are included, unless the actor is a reviewer.
    """
    actor = await directory.actor(user, reviewers.groups)
    if not actor.checked or reviewers.why_not(actor) is None:
        return actor
    seen = await store.absences()
    behind = seen.value.behind(actor.workspace, user, seen.now)
    if not behind:
        return actor
    described = await asyncio.gather(*(directory.actor(u, reviewers.groups) for u in behind))
    return replace(actor, stands_for=tuple(described))


async def giver_of(store: Store, directory: Directory, permission: Permission, rules: Rules) -> Actor:
    """Describe the giver of a permission, with the rules' groups that they are in."""
    return await actor_of(store, directory, permission.by, rules.reviewers)


async def voters_of(directory: Directory, request: Request) -> tuple[Actor, ...]:
    """Describe the voters.

    A stand-in's vote includes the person they voted for, whether that person is still away or not.
    """

    async def described(vote: Vote) -> Actor:
        names = (vote.user, *([vote.seat] if vote.seat is not None else []))
        groups = request.rules.reviewers.groups
        voter, *behind = await asyncio.gather(*(directory.actor(name, groups) for name in names))
        return replace(voter, stands_for=tuple(behind))

    return tuple(await asyncio.gather(*(described(vote) for vote in request.votes)))


async def admit(directory: Directory, user: UserId) -> None:
    """Keep people of other workspaces from data beyond their channel.

    Refused if they belong to another workspace, as through Slack Connect, or if Slack did not say.
    """
    actor = await directory.actor(user)
    if not actor.checked:
        raise Refused(Refusal.NOT_KNOWN, (Refusal.NOT_KNOWN.value,))
    if actor.is_stranger:
        raise Refused(Refusal.OUTSIDER, (Refusal.OUTSIDER.value,))
