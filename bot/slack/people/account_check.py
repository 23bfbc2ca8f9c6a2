"""Check settings against Slack: do the people exist, and can a card be posted?

The check runs when settings change and when a run starts, not at 3 a.m. when a request waits for nobody (R10).
"""

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, NamedTuple

from countersign.domain import schedule, start_sentences
from countersign.domain.attempt_refusals import Sentence
from countersign.domain.channel_settings import Rules, enough_people
from countersign.domain.ids import ChannelId, GroupId, UserId
from countersign.domain.people import Actor, Reviewers, is_channel, why_nobody
from countersign.domain.proof import Proof
from countersign.domain.requests import Request

from ..views import people_text
from .users_and_groups import Directory, Members

_LOOKED_AT: Final = 30
"""Largest number of group members looked up one by one; Slack allows about 50 look-ups a minute."""
_FEW: Final = 10
"""If this many more reviewers are named than needed, none is looked up before people are asked."""


class SettingProblem(NamedTuple):
    """A problem: the setting (a field of Rules), and the sentence for people."""

    field: str
    sentence: Sentence


class Deciders(NamedTuple):
    """Reviewers who can decide, and the problems with the others.

    `members` are the members of the groups; `unclear`: Slack's information is incomplete.
    """

    users: frozenset[UserId]
    members: frozenset[UserId]
    problems: list[SettingProblem]
    unclear: bool


async def problems(directory: Directory, rules: Rules, pages: str = "") -> list[SettingProblem]:
    """List the reasons why these rules would not work in this workspace.

    `pages` is the address of the pages on which people prove who they are.
    """
    if rules.proof is not Proof.SLACK and not pages:
        return [SettingProblem("proof", people_text.no_pages(rules.proof))]
    deciders, of_channel = await asyncio.gather(_deciders(directory, rules), _channel_problems(directory, rules))
    all_problems = [*deciders.problems, *of_channel]
    number = len(deciders.users | deciders.members)
    if not all_problems and number < rules.quorum:
        all_problems.append(SettingProblem("quorum", people_text.too_few(rules.quorum, number)))
    for at, step in enumerate(rules.escalation, 1):
        channel = step.channel or rules.approvals_channel
        escalated = replace(rules, reviewers=step.reviewers, approvals_channel=channel, quorum=1, escalation=())
        all_problems += [
            SettingProblem(problem.field, people_text.of_step(at, problem.sentence))
            for problem in await problems(directory, escalated, pages)
        ]
    return all_problems


async def why_not_start(directory: Directory, rules: Rules, requester: UserId) -> Sentence | None:
    """Say why nobody could decide the requests of this run; None if somebody can."""
    if not rules.reviewers:
        return None  # usecases.start says so itself
    deciders, of_channel = await asyncio.gather(_deciders(directory, rules), _channel_problems(directory, rules))
    if of_channel:
        return start_sentences.because_of(of_channel[0].sentence)
    real = replace(rules, reviewers=Reviewers(deciders.users, rules.reviewers.groups))
    why = enough_people(real, requester, deciders.members)
    if why is None:
        return None
    if deciders.unclear:
        return start_sentences.REVIEWERS_UNKNOWN
    return start_sentences.nobody_could(why, (problem.sentence for problem in deciders.problems))


async def why_not_seen(directory: Directory, channel: ChannelId) -> Sentence | None:
    """Say why nobody would see a run that starts in this channel; None if they would.

    The app cannot look up direct messages between two people; the requester gets the messages of a run started there.
    """
    if not is_channel(GroupId(channel)):
        return None
    found = await directory.channel(channel)
    if found is None:
        return start_sentences.PRESENCE_UNKNOWN
    return None if found.known and found.is_member else start_sentences.NOT_HERE


async def why_not_asked(directory: Directory, request: Request) -> str | None:
    """Say why people are not asked this at all; None if they are."""
    why = await why_not_shown(directory, request.rules.approvals_channel)
    if request.rules.in_thread and await why_not_shown(directory, request.channel) is None:
        why = None  # the card is in the run's thread
    return why or (await why_nobody_could(directory, request) if request.rules.reviewers.groups else None)


async def why_not_shown(directory: Directory, channel: ChannelId) -> str | None:
    """Say why no card may go to this channel; None if one may or if that is unknown."""
    found = await directory.channel(channel)
    if found is None or not found.is_external or directory.external_channels:
        return None
    return people_text.SHARED_OUTSIDE


async def is_shared_outside(directory: Directory, channel: ChannelId) -> bool:
    """Tell whether another company reads the cards in this channel."""
    found = await directory.channel(channel)
    return found is not None and found.is_external


async def unknown(directory: Directory, users: Iterable[UserId], groups: Iterable[GroupId] = ()) -> list[str]:
    """List the ids that Slack does not know in this workspace.

    Ids about which Slack does not answer are left out.
    """
    actors, handles = await _actors(directory, sorted(users)), None
    if named := {group for group in groups if not is_channel(group)}:
        handles = await directory.groups()
    strangers: list[str] = [actor.user for actor in actors if actor.checked and actor.is_stranger]
    return strangers + ([] if handles is None else sorted(named - handles.keys()))


async def why_nobody_could(directory: Directory, request: Request) -> str | None:
    """Say why nobody can decide on this request, by Slack's current data.

    None if enough people can, if other people are asked next, or if Slack did not answer.
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
    fit = _can_decide(directory, actors)
    return enough_people(rules, request.requester, fit, named - fit)


async def _deciders(directory: Directory, rules: Rules) -> Deciders:
    users, groups = sorted(rules.reviewers.users), sorted(rules.reviewers.groups)
    actors, lists = await asyncio.gather(
        _actors(directory, users), asyncio.gather(*(directory.members(g) for g in groups))
    )
    sentences = [people_text.person(actor) for actor in actors]
    sentences += [_about_group(group, members) for group, members in zip(groups, lists, strict=True)]
    about_reviewers = [SettingProblem("reviewers", sentence) for sentence in sentences if sentence]
    named = _can_decide(directory, actors)
    members = sorted({user for some in lists if some for user in some.users} - rules.reviewers.users)
    fit = frozenset[UserId]()
    enough, at, unclear = rules.quorum + 1, 0, None in lists or not all(a.checked for a in actors)
    while at < min(len(members), _LOOKED_AT) and len(named | fit) < enough:  # the requester may be among them
        some = await _actors(directory, members[at : at + enough])
        fit |= _can_decide(directory, some)
        at, unclear = at + enough, unclear or not all(a.checked for a in some)
    fit |= frozenset(members[at:])
    if groups and not named and not fit and not about_reviewers and not unclear:
        about_reviewers.append(SettingProblem("reviewers", people_text.NO_FULL_MEMBER))
    return Deciders(named, fit, about_reviewers, unclear)


async def _actors(directory: Directory, users: Iterable[UserId]) -> list[Actor]:
    return list(await asyncio.gather(*(directory.actor(user) for user in users)))


def _can_decide(directory: Directory, actors: Iterable[Actor]) -> frozenset[UserId]:
    return frozenset(actor.user for actor in actors if why_nobody(actor, directory.workspace) is None)


def _about_group(group: GroupId, members: Members | None) -> Sentence | None:
    if members is None:
        return people_text.group_unknown(group)
    return None if members.users else people_text.group_empty(group)


async def _channel_problems(directory: Directory, rules: Rules) -> list[SettingProblem]:
    channel = rules.approvals_channel
    found = await directory.channel(channel)
    if found is None:
        sentence = people_text.channel_unknown(channel)
    elif not found.known:
        sentence = people_text.channel_unseen(channel)
    elif found.is_archived:
        sentence = people_text.channel_archived(channel)
    elif not found.is_member:
        sentence = people_text.channel_left(channel)
    elif found.is_external and not directory.external_channels:
        sentence = people_text.channel_shared(channel)
    else:
        return []
    return [SettingProblem("approvals_channel", sentence)]
