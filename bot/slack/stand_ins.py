"""Who somebody is at the moment of a click, and for whom they stand in."""

import asyncio
from dataclasses import replace

from bot.core.people import Actor, Reviewers
from bot.slack.answering import Desk, Who


async def actor_at(desk: Desk, at: Who, reviewers: Reviewers) -> Actor:
    """The person, as Slack describes them now; who is no reviewer with those they stand in for, described likewise."""
    actor = await desk.directory.actor(at.workspace, at.user, reviewers.groups)
    if not actor.checked or reviewers.why_not(actor) is None:
        return actor
    seen = await desk.store.absences()
    behind = seen.value.behind(at.workspace, at.user, seen.now)
    if not behind:
        return actor
    described = await asyncio.gather(*(desk.directory.actor(at.workspace, u, reviewers.groups) for u in behind))
    return replace(actor, stands_for=tuple(described))
