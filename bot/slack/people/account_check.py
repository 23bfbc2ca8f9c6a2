"""Check settings against Slack: do the people exist, and can a card be posted?

This is found out when settings are changed and when a run starts, not at 3 a.m. when a request waits for nobody (R10).
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from countersign.domain import schedule, start_sentences
from countersign.domain.channel_settings import Rules, enough_people
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import Actor, Reviewers, is_channel, why_nobody
from countersign.domain.refusal_reasons import Sentence
from countersign.domain.requests import Request

from ..views import people_text
from .directory import Directory, Members, Room

_LOOKED_AT: Final = 30
"""Members of groups that are looked up one by one; Slack allows about 50 look-ups a minute."""
_FEW: Final = 10
"""Where so many more are named than are needed, nobody is looked up before people are asked."""


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


async def problems(directory: Directory, rules: Rules) -> list[Found]:
    """Why rules like these would not work in this workspace; empty if they would."""
    people, room = await asyncio.gather(_people(directory, rules), _room(directory, rules))
    found = [*people.problems, *room]
    fit = len(people.users | people.members)
    if not found and fit < rules.quorum:
        found.append(Found("quorum", people_text.too_few(rules.quorum, fit)))
    for number, step in enumerate(rules.escalation, 1):
        there = step.channel or rules.approvals_channel
        reached = replace(rules, reviewers=step.reviewers, approvals_channel=there, quorum=1, escalation=())
        again = await problems(directory, reached)
        found += [Found(problem.field, people_text.of_step(number, problem.sentence)) for problem in again]
    return found


async def why_not_start(directory: Directory, rules: Rules, requester: UserId) -> Sentence | None:
    """Say why nobody could decide what a run of this requester asks; None if they can."""
    if not rules.reviewers:
        return None  # usecases.start says so itself
    people, room = await asyncio.gather(_people(directory, rules), _room(directory, rules))
    if room:
        return start_sentences.because_of(room[0].sentence)
    real = replace(rules, reviewers=Reviewers(people.users, rules.reviewers.groups))
    why = enough_people(real, requester, people.members)
    if why is None:
        return None
    if people.silent:
        return start_sentences.REVIEWERS_UNKNOWN
    return start_sentences.nobody_could(why, (problem.sentence for problem in people.problems))


async def why_not_seen(directory: Directory, channel: ChannelId) -> Sentence | None:
    """Say why nobody would see a run that starts in this channel; None if they would.

    The app cannot ask Slack about messages between two people; a run that is started there is told its requester.
    """
    room = await directory.room(channel) if is_channel(GroupId(channel)) else Room(channel, is_member=True)
    if room is None:
        return start_sentences.PRESENCE_UNKNOWN
    return None if room.known and room.is_member else start_sentences.NOT_HERE


async def why_not_asked(directory: Directory, request: Request) -> str | None:
    """Say why people are not asked this at all; None if they are."""
    why = await why_not_shown(directory, request.rules.approvals_channel)
    if request.rules.in_thread and await why_not_shown(directory, request.channel) is None:
        why = None  # it stands in the run's thread
    return why or (await why_nobody_could(directory, request) if request.rules.reviewers.groups else None)


async def why_not_shown(directory: Directory, channel: ChannelId) -> str | None:
    """Say why no card may go to this channel; None if one may, or if Slack is silent."""
    room = await directory.room(channel)
    if room is None or not room.is_external or directory.external_channels:
        return None
    return people_text.SHARED_OUTSIDE


async def is_shared_outside(directory: Directory, channel: ChannelId) -> bool:
    """Tell whether another company reads the cards in this channel."""
    room = await directory.room(channel)
    return room is not None and room.is_external


async def why_nobody_could(directory: Directory, request: Request) -> str | None:
    """Say why nobody can decide on this request, by what Slack says now.

    None if enough people can, if others are asked next, or if Slack did not say.
    """
    rules = request.rules
    lists = await asyncio.gather(*(directory.members(group) for group in rules.reviewers.groups))
    named = rules.reviewers.users.union(*(some.users for some in lists if some))
    all_known = all(some is not None and some.whole for some in lists)
    if not all_known or schedule.next_escalation(request) is not None or len(named) > rules.quorum + _FEW:
        return None
    actors = await _actors(directory, sorted(named | {vote.user for vote in request.votes}))
    if not all(actor.checked for actor in actors):
        return None
    fit = frozenset(actor.user for actor in actors if why_nobody(actor, directory.workspace) is None)
    return enough_people(rules, request.requester, fit, named - fit)


async def _people(directory: Directory, rules: Rules) -> People:
    users, groups = sorted(rules.reviewers.users), sorted(rules.reviewers.groups)
    actors, lists = await asyncio.gather(
        _actors(directory, users), asyncio.gather(*(directory.members(g) for g in groups))
    )
    found = [Found("reviewers", s) for s in (people_text.person(actor) for actor in actors) if s]
    found += [Found("reviewers", s) for s in (_about_group(g, m) for g, m in zip(groups, lists, strict=True)) if s]
    named = frozenset(a.user for a in actors if why_nobody(a, directory.workspace) is None)
    members = sorted({user for some in lists if some for user in some.users} - rules.reviewers.users)
    fit: set[UserId] = set()
    enough, at, silent = rules.quorum + 1, 0, None in lists or not all(a.checked for a in actors)
    while at < min(len(members), _LOOKED_AT) and len(named | fit) < enough:  # one of them may have asked
        some = await _actors(directory, members[at : at + enough])
        fit.update(a.user for a in some if why_nobody(a, directory.workspace) is None)
        at, silent = at + enough, silent or not all(a.checked for a in some)
    fit.update(members[at:])
    if groups and not named and not fit and not found and not silent:
        found.append(Found("reviewers", people_text.NO_FULL_MEMBER))
    return People(named, frozenset(fit), found, silent)


async def _actors(directory: Directory, users: Iterable[UserId]) -> list[Actor]:
    return list(await asyncio.gather(*(directory.actor(user) for user in users)))


def _about_group(group: GroupId, members: Members | None) -> Sentence | None:
    if members is None:
        return people_text.group_unknown(group)
    return None if members.users else people_text.group_empty(group)


async def _room(directory: Directory, rules: Rules) -> list[Found]:
    channel = rules.approvals_channel
    room = await directory.room(channel)
    if room is None:
        problem = people_text.channel_unknown(channel)
    elif not room.known:
        problem = people_text.channel_unseen(channel)
    elif room.is_archived:
        problem = people_text.channel_archived(channel)
    elif not room.is_member:
        problem = people_text.channel_left(channel)
    elif room.is_external and not directory.external_channels:
        problem = people_text.channel_shared(channel)
    else:
        return []
    return [Found("approvals_channel", problem)]
