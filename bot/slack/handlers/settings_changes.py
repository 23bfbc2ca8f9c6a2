"""A channel's settings, shown and changed: in words, or in a window.

A change that makes the rules milder may need a second person, who confirms it (R33).
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain import channel_settings
from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.errors import InvalidInput, plain_text
from countersign.domain.ids import ChannelId
from countersign.domain.people import Actor
from countersign.domain.refusals import Sentence
from countersign.policy.loosening import NeedsSecond, Proposal, may_alone

from .. import settings_proposals
from ..people.settings_check import Found, problems
from ..views import modal_parts, settings_modal
from ..views.block_kit import context, mrkdwn
from ..views.safe_text import unescape
from ..views.setting_inputs import SETTINGS
from ..views.settings_text import say
from ..views.slack_markup import mention
from .context import Desk, Reply, Word
from .mention_parsing import READERS
from .payloads import delivery, sender
from .responses import answer_click, answer_window, change_on_record, open_modal

_LONGEST: Final = 2000
"""Characters of a button's value."""


async def _open(desk: Desk, body: dict[str, Any], rest: str) -> Reply:
    at = sender(body)
    rules = await usecases.rules_of(desk.store, at.here)
    actor = await desk.directory.actor(at.workspace, at.user, rules.reviewers.groups)
    read_only = channel_settings.why_not_configure(actor, rules, desk.admins)
    if read_only is not None:
        return await open_modal(desk.client, body, settings_modal.to_read(say(at.here, rules), read_only))
    window = settings_modal.view(at.here, rules, await desk.directory.groups())
    if warning := await _contradicted(desk, actor, rules):
        window["blocks"].insert(0, context(mrkdwn(warning)))
    return await open_modal(desk.client, body, window)


async def _show(desk: Desk, body: dict[str, Any], rest: str) -> Reply:
    at = sender(body)
    rules = await usecases.rules_of(desk.store, at.here)
    actor = await desk.directory.actor(at.workspace, at.user, frozenset())
    return Reply("\n".join(filter(None, (say(at.here, rules), await _contradicted(desk, actor, rules)))))


async def _contradicted(desk: Desk, actor: Actor, rules: Rules) -> str:
    """Warn admins of calls that passed though the policy says otherwise.

    "" if there were none lately, and for everybody else.
    """
    admin = may_alone(actor, desk.admins) and channel_settings.why_not_configure(actor, rules, desk.admins) is None
    if not admin or not (count := await desk.homes.overview.contradicted()):
        return ""
    calls = "1 call" if count == 1 else f"{count:,} calls"
    return (
        f":warning: *{calls}* passed at a worker in the last 7 days though the policy says otherwise: look for "
        "`contradicted` in `countersign audit export`."
    )


async def _set(name: str, desk: Desk, body: dict[str, Any], text: str) -> Reply:
    read = SETTINGS[name].read
    value = await READERS[name](desk.directory, text) if read is None else read(unescape(text))
    return await _configure(desk, body, sender(body).here, lambda own: replace(own, **{name: value}))


WORDS: Final = {
    "": Word(_open, "*`/approvals`* opens this channel's settings in a window", on_record=False),
    "show": Word(_show, "*`/approvals show`* shows them", on_record=False),
    **{one.word: Word(partial(_set, name), one.usage, takes_text=True) for name, one in SETTINGS.items()},
}
"""The words of `/approvals` about settings."""


async def on_settings_submit(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Save what was entered in the window."""
    view = body["view"]

    async def save() -> Reply:
        channel = modal_parts.channel_of(view)
        async with change_on_record(desk, body, channel):
            edit = settings_modal.read(view, await usecases.rules_of(desk.store, channel))
            try:
                return await _configure(desk, body, channel, edit)
            except settings_modal.Problem as wrong:
                raise settings_modal.as_shown(view, wrong) from None

    await answer_window(desk, ack, body, save, deed="change", block=settings_modal.USERS)


async def _configure(
    desk: Desk, body: dict[str, Any], channel: ChannelId, edit: Callable[[ChannelSettings], ChannelSettings]
) -> Reply:
    at = sender(body)
    before = await usecases.rules_of(desk.store, channel)
    actor = await desk.directory.actor(at.workspace, at.user, before.reviewers.groups)
    found: list[Found] = []

    async def check(rules: Rules) -> list[Sentence]:
        found[:] = await problems(desk.directory, at.workspace, rules)
        return [problem.sentence for problem in found]

    try:
        done = await usecases.configure(
            desk.store,
            channel,
            actor,
            desk.admins,
            edit,
            check,
            delivery(body),
            why_not_propose=why_not_propose,
        )
    except NeedsSecond as milder:
        place = mention(milder.effect.before.approvals_channel)
        return Reply(f"{milder} {place} shows what you want, with a button for them.")
    except InvalidInput as wrong:
        about = (plain_text(found[0].sentence), found[0].field) if found else (str(wrong),)
        raise settings_modal.Problem(settings_modal.block_of(*about), *wrong.sentence) from None
    return Reply(f"Saved. {say(channel, done.after)}")


def why_not_propose(proposal: Proposal) -> str | None:
    """Why nobody could confirm the proposal with a button; None if somebody could."""
    if len(settings_proposals.written(proposal)) <= _LONGEST:
        return None
    return "This makes the rules milder, and it is too long for a button to confirm it. Ask an admin to make it."


async def on_confirm(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Make the change that somebody else proposed."""
    await answer_click(desk, ack, body, _confirm(desk, body))


async def _confirm(desk: Desk, body: dict[str, Any]) -> Reply:
    proposal = settings_proposals.read(str(body["actions"][0].get("value")))
    at = sender(body)
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
        delivery(body),
        confirms=proposal,
        proposer=proposer,
    )
    return Reply(f"Saved. {say(proposal.channel, done.after)}")
