"""Check settings against Slack: do the people exist, and can a card be posted?

This is found out when settings are changed and when a run starts, not at 3 a.m. when a request waits for nobody (R10).
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from countersign.domain import schedule
from countersign.domain.channel_settings import Rules, enough_people
from countersign.domain.ids import ChannelId, GroupId, UserId, WorkspaceId
from countersign.domain.people import Actor, Reviewers, is_channel, why_nobody
from countersign.domain.refusals import Sentence
from countersign.domain.requests import Request

from .directory import Directory, Room

_LOOKED_AT: Final = 30
"""Members of groups that are looked up one by one; Slack allows about 50 look-ups a minute."""
_FEW: Final = 10
"""Where so many more are named than are needed, nobody is looked up before people are asked."""
_SLACK_SILENT: Final = "Slack did not answer in time"


class Found(NamedTuple):
    """A problem: the setting it is about (a field of Rules), and the sentence."""

    field: str
    sentence: Sentence


class People(NamedTuple):
    """Those of some reviewers who may really decide, and the problems with the others."""

    users: frozenset[UserId]
    members: frozenset[UserId]
    problems: list[Found]
    silent: bool


async def problems(directory: Directory, workspace: WorkspaceId, rules: Rules) -> list[Found]:
    """Why rules like these would not work in this workspace; empty if they would."""
    people, room = await asyncio.gather(_people(directory, workspace, rules.reviewers), _room(directory, rules))
    found = [*people.problems, *room]
    if not found and len(people.users | people.members) < rules.quorum:
        found.append(
            Found("quorum", (f"{rules.quorum} approvals needed, {len(people.users | people.members)} may give them.",))
        )
    for number, step in enumerate(rules.escalation, 1):
        there = step.channel or rules.approvals_channel
        reached = replace(rules, reviewers=step.reviewers, approvals_channel=there, quorum=1, escalation=())
        again = await problems(directory, workspace, reached)
        found += [Found(problem.field, (f"Step {number} of the escalation: ", *problem.sentence)) for problem in again]
    return found


async def why_not_start(
    directory: Directory, workspace: WorkspaceId, rules: Rules, requester: UserId
) -> Sentence | None:
    """Say why nobody could decide what a run of this requester asks, in a sentence; None if enough people can."""
    if not rules.reviewers:
        return None  # flows.start says so itself
    people, room = await asyncio.gather(_people(directory, workspace, rules.reviewers), _room(directory, rules))
    if room:
        return *room[0].sentence, " Nothing was started."
    real = replace(rules, reviewers=Reviewers(people.users, rules.reviewers.groups))
    why = enough_people(real, requester, people.members)
    if why is None:
        return None
    if people.silent:
        return (f"{_SLACK_SILENT} who may decide here, so nothing was started. Please try again in a moment.",)
    details = [part for problem in people.problems for part in (" ", *problem.sentence)]
    return f"Nothing was started, because {why}.", *details


async def why_not_seen(directory: Directory, channel: ChannelId) -> Sentence | None:
    """Say why nobody would see a run that is started in this channel, in a sentence; None if it would be seen.

    The app cannot ask Slack about messages between two people; a run that is started there is told its requester.
    """
    room = await directory.room(channel) if is_channel(GroupId(channel)) else Room(channel, is_member=True)
    if room is None:
        return (f"{_SLACK_SILENT} whether the app is here, so nothing was started. Please try again in a moment.",)
    if room.known and room.is_member:
        return None
    return (
        "The app is not in this channel, so nobody would see the run there and nothing was started. Invite it with "
        "`/invite`, and try again.",
    )


async def why_nobody_could(directory: Directory, request: Request) -> str | None:
    """Say why nobody can decide on this request, by what Slack says now of its people, groups and channels.

    None if enough people can, if others are asked next, or if Slack did not say.
    """
    rules = request.rules
    lists = await asyncio.gather(*(directory.members(group) for group in rules.reviewers.groups))
    named = rules.reviewers.users.union(*(users for users in lists if users))
    if None in lists or schedule.next_escalation(request) is not None or len(named) > rules.quorum + _FEW:
        return None
    actors = await _actors(directory, request.workspace, sorted(named | {vote.user for vote in request.votes}))
    if not all(actor.checked for actor in actors):
        return None
    fit = frozenset(actor.user for actor in actors if why_nobody(actor, request.workspace) is None)
    return enough_people(rules, request.requester, fit, named - fit)


async def _people(directory: Directory, workspace: WorkspaceId, reviewers: Reviewers) -> People:
    users, groups = sorted(reviewers.users), sorted(reviewers.groups)
    actors, lists = await asyncio.gather(
        _actors(directory, workspace, users), asyncio.gather(*(directory.members(g) for g in groups))
    )
    found = [Found("reviewers", s) for s in (_about(actor) for actor in actors) if s]
    found += [Found("reviewers", s) for s in (_about_group(g, m) for g, m in zip(groups, lists, strict=True)) if s]
    members = sorted({user for some in lists if some for user in some} - reviewers.users)
    some = await _actors(directory, workspace, members[:_LOOKED_AT])
    fit = frozenset(a.user for a in some if why_nobody(a, workspace) is None) | frozenset(members[_LOOKED_AT:])
    named = frozenset(a.user for a in actors if why_nobody(a, workspace) is None)
    silent = any(not a.checked for a in (*actors, *some)) or None in lists
    if groups and not named and not fit and not found and not silent:
        found.append(Found("reviewers", ("Nobody there may decide: there are only guests, bots or strangers.",)))
    return People(named, fit, found, silent)


async def _actors(directory: Directory, workspace: WorkspaceId, users: Iterable[UserId]) -> list[Actor]:
    return list(await asyncio.gather(*(directory.actor(workspace, user) for user in users)))


def _about(actor: Actor) -> Sentence | None:
    if not actor.checked:
        return f"{_SLACK_SILENT} who ", actor.user, " is; please try again in a moment."
    if actor.is_stranger:
        return actor.user, " is not a member of this workspace and could not decide."
    if actor.is_bot:
        return actor.user, " is a bot, and bots do not decide."
    if actor.is_deactivated:
        return actor.user, " left: the account is deactivated and could not decide."
    return (actor.user, " is a guest, and guests do not decide.") if actor.is_guest else None


def _about_group(group: GroupId, members: frozenset[UserId] | None) -> Sentence | None:
    if members is None:
        return f"{_SLACK_SILENT} who is in ", group, "; please try again in a moment."
    return None if members else ("There is nobody in ", group, ", so nobody of it could decide.")


async def _room(directory: Directory, rules: Rules) -> list[Found]:
    channel = rules.approvals_channel
    room = await directory.room(channel)
    problem: Sentence
    if room is None:
        problem = f"{_SLACK_SILENT} whether cards can be posted in ", channel, "; please try again in a moment."
    elif not room.known:
        problem = "The app does not see the channel ", channel, ". Invite it there with `/invite` first."
    elif room.is_archived:
        problem = "The channel ", channel, " is archived, so no card can be posted there."
    elif not room.is_member:
        problem = "The app is not in ", channel, " and cannot post cards there. Invite it with `/invite` first."
    else:
        return []
    return [Found("approvals_channel", problem)]
