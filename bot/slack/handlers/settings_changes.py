"""A change of a channel's settings that takes two people: proposed by one, confirmed by another (R33)."""

import asyncio
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.refusals import Sentence
from countersign.policy.loosening import NeedsSecond, Proposal

from ..people.settings_check import problems
from ..projector.settings_notices import say
from ..views.slack_markup import mention
from . import settings_proposals
from .responses import Desk, Said, answer_click, delivered, who

_LONGEST: Final = 2000
"""Characters of a button's value."""


def why_not_propose(proposal: Proposal) -> str | None:
    """Why nobody could confirm the proposal with a button; None if somebody could."""
    if len(settings_proposals.written(proposal)) <= _LONGEST:
        return None
    return "This makes the rules milder, and it is too long for a button to confirm it. Ask an admin to make it."


def asked_for_second(milder: NeedsSecond) -> Said:
    """Say where others may confirm the proposal; it is drawn from its event."""
    place = mention(milder.effect.before.approvals_channel)
    return Said(f"{milder} {place} shows what you want, with a button for them.")


async def on_confirm(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Make the change that somebody else proposed."""
    await answer_click(desk, ack, body, _confirm(desk, body))


async def _confirm(desk: Desk, body: dict[str, Any]) -> Said:
    proposal = settings_proposals.read(str(body["actions"][0].get("value")))
    at = who(body)
    before = await usecases.rules_of(desk.store, proposal.channel)
    actor, proposer = await asyncio.gather(
        *(desk.directory.actor(at.workspace, user, before.reviewers.groups) for user in (at.user, proposal.by))
    )

    async def check(rules: Rules) -> list[Sentence]:
        return [problem.sentence for problem in await problems(desk.directory, at.workspace, rules)]

    done = await usecases.configure(
        desk.store,
        proposal.channel,
        actor,
        desk.admins,
        lambda _: proposal.wanted,
        check,
        delivered(body),
        confirms=proposal,
        proposer=proposer,
    )
    return Said(f"Saved. {say(proposal.channel, done.after)}")
