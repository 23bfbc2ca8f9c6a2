"""A change of a channel's settings that takes two people: proposed by one, confirmed by another (R33)."""

import asyncio
import logging
from typing import Any, Final

import aiohttp
from slack_bolt.async_app import AsyncAck
from slack_sdk.errors import SlackApiError

from countersign import usecases
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import ChannelId
from countersign.domain.refusals import Sentence
from countersign.policy.loosening import NeedsSecond, loosened_by

from ..people.settings_check import problems
from ..projector.settings_notices import changed_lines, say, shown
from ..views.block_kit import Block, button, words
from ..views.slack_markup import mention
from . import settings_proposals
from .responses import Desk, Said, answer_click, delivered, who

CONFIRM: Final = "confirm_settings"
_LONGEST: Final = 2000
"""Characters of a button's value."""
_TOO_LONG: Final = "It is too long for a button, so please ask an admin to make it."
_log = logging.getLogger(__name__)


async def ask_for_second(desk: Desk, body: dict[str, Any], milder: NeedsSecond) -> Said:
    """Post the proposal with a button for somebody else; says so to who wanted it."""
    proposal, place = milder.proposal, milder.effect.before.approvals_channel
    value = settings_proposals.written(proposal)
    if len(value) > _LONGEST:
        raise InvalidInput(f"{milder} {_TOO_LONG}")
    if not milder.again:
        what = "; ".join(loosened_by(milder.effect))
        text = f":scales: {mention(proposal.by)} wants to make the rules of {mention(proposal.channel)} milder: {what}."
        lines = changed_lines(proposal.channel, milder.effect)
        confirm = button("Confirm", CONFIRM, value, "danger")
        asks = "Nothing has changed yet. An admin or another reviewer may confirm it."
        blocks = [*shown(f"{text}\n{lines}"), words(asks), {"type": "actions", "elements": [confirm]}]
        if not await _post(desk, place, text, blocks):
            raise InvalidInput(f"{milder} Slack did not take the message that asks for one in ", place, ".")
    return Said(f"{milder} {mention(place)} shows what you want, with a button for them.")


async def on_confirm(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """The button of a proposal."""
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
    desk.hold(_settled(desk, body, f"Confirmed by {mention(at.user)}."))
    return Said(f"Saved. {say(proposal.channel, done.after)}")


async def _post(desk: Desk, channel: ChannelId, text: str, blocks: list[Block]) -> bool:
    """Whether Slack took it."""
    try:
        await desk.client.chat_postMessage(
            channel=channel, text=text, blocks=blocks, unfurl_links=False, unfurl_media=False
        )
    except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as lost:
        _log.error("A change of settings could not be proposed in %s: %s", channel, lost or type(lost).__name__)
        return False
    return True


async def _settled(desk: Desk, body: dict[str, Any], how: str) -> None:
    """The proposal without its button."""
    shown, place = body["message"], who(body).channel
    if place is None:
        return
    blocks = [block for block in shown.get("blocks", ()) if block["type"] != "actions"][:-1]
    try:
        await desk.client.chat_update(
            channel=place, ts=shown["ts"], text=f"{shown['text']} {how}", blocks=[*blocks, words(how)]
        )
    except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as lost:
        _log.warning("A proposal keeps its button, which does nothing any more: %s", lost or type(lost).__name__)
