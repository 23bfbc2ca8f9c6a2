"""A channel's settings, shown and changed: in words, or in a window.

A change that makes the rules milder may need a second person, who confirms it (R33).
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError
from slack_bolt.async_app import AsyncAck

from countersign import usecases
from countersign.domain import channel_settings
from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.errors import InvalidInput, plain_text
from countersign.domain.ids import ChannelId
from countersign.domain.people import Actor
from countersign.domain.refusals import Sentence
from countersign.policy.loosening import NeedsSecond, Proposal, loosened_by, may_alone

from ..people.settings_check import Found, problems
from ..views import modals, settings_modal
from ..views.block_kit import Block, button, context, mrkdwn, words
from ..views.safe_text import unescape
from ..views.setting_inputs import SETTINGS
from ..views.settings_text import changed_lines, say, shown
from ..views.slack_markup import mention
from .mention_parsing import READERS
from .payloads import delivery, sender
from .responses import SLACK_ERRORS, answer_click, answer_window, change_on_record, open_modal
from .services import Desk, Reply, Word

CONFIRM: Final = "confirm_settings"
_PROPOSAL: Final = TypeAdapter(Proposal)
_LONGEST: Final = 2000
"""Characters of a button's value."""
_TOO_LONG: Final = "It is too long for a button, so please ask an admin to make it."
_log = logging.getLogger(__name__)


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
        channel = modals.channel_of(view)
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
        done = await usecases.configure(desk.store, channel, actor, desk.admins, edit, check, delivery(body))
    except NeedsSecond as milder:
        return await _ask_for_second(desk, milder)
    except InvalidInput as wrong:
        about = (plain_text(found[0].sentence), found[0].field) if found else (str(wrong),)
        raise settings_modal.Problem(settings_modal.block_of(*about), *wrong.sentence) from None
    return Reply(f"Saved. {say(channel, done.after)}")


async def _ask_for_second(desk: Desk, milder: NeedsSecond) -> Reply:
    """Post the proposal with a button for somebody else, and tell so."""
    proposal, place = milder.proposal, milder.effect.before.approvals_channel
    value = _PROPOSAL.dump_json(proposal, exclude_none=True).decode()
    if len(value) > _LONGEST:
        raise InvalidInput(f"{milder} {_TOO_LONG}")
    if not milder.again:
        why = "; ".join(loosened_by(milder.effect))
        text = f":scales: {mention(proposal.by)} wants to make the rules of {mention(proposal.channel)} milder: {why}."
        lines = changed_lines(proposal.channel, milder.effect)
        confirm = button("Confirm", CONFIRM, value, "danger")
        asks = "Nothing has changed yet. An admin or another reviewer may confirm it."
        blocks = [*shown(f"{text}\n{lines}"), words(asks), {"type": "actions", "elements": [confirm]}]
        if not await _post(desk, place, text, blocks):
            raise InvalidInput(f"{milder} Slack did not take the message that asks for one in ", place, ".")
    return Reply(f"{milder} {mention(place)} shows what you want, with a button for them.")


async def on_confirm(desk: Desk, ack: AsyncAck, body: dict[str, Any]) -> None:
    """Make the change that somebody else proposed."""
    await answer_click(desk, ack, body, _confirm(desk, body))


async def _confirm(desk: Desk, body: dict[str, Any]) -> Reply:
    try:
        proposal = _PROPOSAL.validate_json(str(body["actions"][0].get("value")))
    except ValidationError:
        raise InvalidInput("This button is of another version of the app. Nothing was changed.") from None
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
    desk.hold(_take_button_away(desk, body, f"Confirmed by {mention(at.user)}."))
    return Reply(f"Saved. {say(proposal.channel, done.after)}")


async def _post(desk: Desk, channel: ChannelId, text: str, blocks: list[Block]) -> bool:
    """Post a message; False if Slack did not take it."""
    try:
        await desk.client.chat_postMessage(
            channel=channel, text=text, blocks=blocks, unfurl_links=False, unfurl_media=False
        )
    except SLACK_ERRORS as lost:
        _log.error("A change of settings could not be proposed in %s: %s", channel, lost or type(lost).__name__)
        return False
    return True


async def _take_button_away(desk: Desk, body: dict[str, Any], how: str) -> None:
    message, place = body["message"], sender(body).channel
    if place is None:
        return
    blocks = [block for block in message.get("blocks", ()) if block["type"] != "actions"][:-1]
    try:
        await desk.client.chat_update(
            channel=place, ts=message["ts"], text=f"{message['text']} {how}", blocks=[*blocks, words(how)]
        )
    except SLACK_ERRORS as lost:
        _log.warning("A proposal keeps its button, which does nothing any more: %s", lost or type(lost).__name__)
