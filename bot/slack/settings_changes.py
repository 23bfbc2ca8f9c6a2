"""What changes in a channel's settings: told to all whom it concerns, and confirmed by a second person (R33)."""

import asyncio
import logging
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any, Final

import aiohttp
from slack_bolt.async_app import AsyncAck
from slack_sdk.errors import SlackApiError

from bot import flows, proposals
from bot.core.errors import InvalidInput
from bot.core.ids import ChannelId, UserId
from bot.core.loosening import Configured, NeedsSecond, loosened_by
from bot.core.marks import mention
from bot.core.people import Reviewers
from bot.core.policy import OnTimeout, Rules, say_duration
from bot.slack import settings_window, timing
from bot.slack.answering import Desk, Said, answer_click, delivered, who
from bot.slack.blocks import Block, button, words
from bot.slack.outcomes import NAMED, mentioned, named
from bot.slack.text import pieces
from bot.slack.vetting import problems

CONFIRM: Final = "confirm_settings"
_ROOM: Final = 2900
"""Characters of a block of words."""
_IN_A_LINE: Final = 80
"""People."""
_LONGEST: Final = 2000
"""Characters of a button's value."""
_TOO_LONG: Final = "It is too long for a button, so please ask an admin to make it."
_log = logging.getLogger(__name__)


def say(channel: ChannelId, rules: Rules) -> str:
    """The rules in force, in words."""
    waits = "no deadline" if rules.on_timeout is OnTimeout.WAIT else say_duration(rules.timeout)
    need = f"{rules.quorum} approvals by different people" if rules.quorum > 1 else "one approval"
    own = "may" if rules.own_requests else "may not"
    glass = "the requester may decide alone, with a reason that all reviewers read" if rules.break_glass else "off"
    return (
        f"Settings of {mention(channel)}:\n"
        f"• cards go to {mention(rules.approvals_channel)}\n"
        f"• reviewers: {named(rules.reviewers)}; {need} needed, one rejection is enough; "
        f"requesters {own} decide on their own requests\n"
        f"• break-glass: {glass}\n"
        f"• a request waits: {waits}; when time runs out: {settings_window.ON_TIMEOUT_SAYS[rules.on_timeout]}\n"
        f"{timing.say(rules)}"
    )


def changed_lines(channel: ChannelId, done: Configured) -> str:
    """What differs, before and after: here, and where it is inherited if that is another thing."""
    here = _changed(channel, done.before, done.after)
    others = _changed(channel, done.inherited_before, done.inherited_after)
    if others and others != here:
        here += ["Channels whose cards go here, and that set nothing else themselves:", *others]
    return "\n".join(here)


def _changed(channel: ChannelId, before: Rules, after: Rules) -> list[str]:
    old, new = (say(channel, rules).splitlines() for rules in (before, after))
    return [
        *(f"Before: {line.removeprefix('• ')}" for line in old if line not in new),
        *(f"After: {line.removeprefix('• ')}" for line in new if line not in old),
        *_unnamed(before, after),
    ]


def _unnamed(before: Rules, after: Rules) -> Iterator[str]:
    """Who comes and goes where a line names not everybody."""
    steps = zip_longest(before.escalation, after.escalation)
    pairs = [(before.reviewers, after.reviewers)]
    pairs += [(old.reviewers if old else Reviewers(), new.reviewers if new else Reviewers()) for old, new in steps]
    for old, new in pairs:
        for what, more, less in (("Added", new, old), ("Removed", old, new)):
            names = mentioned(Reviewers(more.users - less.users, more.groups - less.groups))
            if max(len(one.users | one.groups) for one in (old, new)) > NAMED:
                yield from (
                    f"{what}: {', '.join(names[at : at + _IN_A_LINE])}" for at in range(0, len(names), _IN_A_LINE)
                )


def _shown(text: str) -> list[Block]:
    return [words(piece) for piece in pieces(text, _ROOM)]


def tell_all(desk: Desk, channel: ChannelId, done: Configured, by: UserId, proposed_by: UserId | None = None) -> None:
    """Post a change where cards went and where they go now; nothing if nothing changed."""
    lines = changed_lines(channel, done)
    if not lines:
        return
    together = f", as {mention(proposed_by)} had asked for" if proposed_by is not None else ""
    text = f":gear: {mention(by)} changed the settings of {mention(channel)}{together}."
    for place in {done.before.approvals_channel, done.after.approvals_channel}:
        desk.hold(_told(desk, place, text, _shown(f"{text}\n{lines}")))


async def ask_for_second(desk: Desk, body: dict[str, Any], milder: NeedsSecond) -> Said:
    """Post the proposal with a button for somebody else; says so to who wanted it."""
    proposal, place = milder.proposal, milder.effect.before.approvals_channel
    value = proposals.written(proposal)
    if len(value) > _LONGEST:
        raise InvalidInput(f"{milder} {_TOO_LONG}")
    if not milder.again:
        what = "; ".join(loosened_by(milder.effect))
        text = f":scales: {mention(proposal.by)} wants to make the rules of {mention(proposal.channel)} milder: {what}."
        lines = changed_lines(proposal.channel, milder.effect)
        confirm = button("Confirm", CONFIRM, value, "danger")
        asks = "Nothing has changed yet. An admin or another reviewer may confirm it."
        blocks = [*_shown(f"{text}\n{lines}"), words(asks), {"type": "actions", "elements": [confirm]}]
        if not await _post(desk, place, text, blocks):
            raise InvalidInput(f"{milder} Slack did not take the message that asks for one in {mention(place)}.")
    return Said(f"{milder} {mention(place)} shows what you want, with a button for them.")


async def on_confirm(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """The button of a proposal."""
    await answer_click(desk, ack, body, _confirm(desk, body))


async def _confirm(desk: Desk, body: dict[str, Any]) -> Said:
    proposal = proposals.read(str(body["actions"][0].get("value")))
    at = who(body)
    before = await flows.rules_of(desk.store, proposal.channel)
    actor, proposer = await asyncio.gather(
        *(desk.directory.actor(at.workspace, user, before.reviewers.groups) for user in (at.user, proposal.by))
    )

    async def check(rules: Rules) -> list[str]:
        return [problem.sentence for problem in await problems(desk.directory, at.workspace, rules)]

    done = await flows.configure(
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
    tell_all(desk, proposal.channel, done, at.user, proposal.by)
    desk.hold(_settled(desk, body, f"Confirmed by {mention(at.user)}."))
    return Said(f"Saved. {say(proposal.channel, done.after)}")


async def _post(desk: Desk, channel: ChannelId, text: str, blocks: list[Block]) -> bool:
    """Whether Slack took it; the record has it in any case."""
    try:
        await desk.client.chat_postMessage(
            channel=channel, text=text, blocks=blocks, unfurl_links=False, unfurl_media=False
        )
    except (SlackApiError, aiohttp.ClientError, TimeoutError, OSError) as lost:
        _log.error("A change of settings could not be told in %s: %s", channel, lost or type(lost).__name__)
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


async def _told(desk: Desk, channel: ChannelId, text: str, blocks: list[Block]) -> None:
    await _post(desk, channel, text, blocks)
