"""Show and change a channel's settings, by command or in a window.

A change that loosens the rules must be confirmed first, by its admin or by a second person (R33).
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from countersign import usecases
from countersign.domain import channel_settings
from countersign.domain.attempt_refusals import Sentence
from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.errors import InvalidInput, plain_text
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.people import Actor
from countersign.policy.loosening import NeedsConfirmation, NeedsProof, NeedsSecond, SettingsProposal

from .. import settings_proposals
from ..people.account_check import SettingProblem, is_shared_outside, problems
from ..views import confirmation_text, modal_parts, settings_modal, settings_text
from ..views.block_kit import context, mrkdwn
from ..views.setting_inputs import SETTINGS
from ..views.settings_text import describe
from ..views.slack_markup import unescape
from .ack_deadline import change_on_record
from .context import Reply, Services, Subcommand
from .mention_parsing import READERS
from .modal_opening import open_at_once, open_modal
from .payloads import Sender, delivery, sender

_LONGEST: Final = 2000
"""Characters of a button's value."""


async def open_window(services: Services, body: dict[str, Any], rest: str = "") -> Reply:
    """Open the settings from the command or from the greeting's button."""
    return await open_modal(services.client, body, _window(services, sender(body)))


async def _rules_for(services: Services, user: UserId, channel: ChannelId) -> tuple[Rules, Actor]:
    """Read the channel's rules, and describe the user with their groups."""
    rules = await usecases.rules_of(services.store, channel)
    return rules, await services.directory.actor(user, rules.reviewers.groups)


async def _window(services: Services, at: Sender) -> modal_parts.View:
    rules, actor = await _rules_for(services, at.user, at.here)
    read_only = channel_settings.why_not_configure(actor, rules, services.admins)
    if read_only is not None:
        return settings_modal.view_only(describe(at.here, rules), read_only)
    groups, external = await services.directory.groups(), services.directory.external_channels
    window = settings_modal.view(at.here, rules, groups, external_channels=external)
    for warning in await _warnings(services, rules):
        window["blocks"].insert(0, context(mrkdwn(warning)))
    return window


async def _show(services: Services, body: dict[str, Any], rest: str) -> Reply:
    at = sender(body)
    rules = await usecases.rules_of(services.store, at.here)
    return Reply("\n".join((describe(at.here, rules), *await _warnings(services, rules))))


async def _warnings(services: Services, rules: Rules) -> list[str]:
    """Return the warnings for people who look at these settings."""
    outside = await is_shared_outside(services.directory, rules.approvals_channel)
    return [settings_text.read_outside(rules.approvals_channel)] if outside else []


async def _missing(name: str, services: Services, body: dict[str, Any]) -> tuple[str, str]:
    """Explain the arguments and show the setting.

    People who may not change it only see the setting.
    """
    at = sender(body)
    rules, actor = await _rules_for(services, at.user, at.here)
    read_only = channel_settings.why_not_configure(actor, rules, services.admins)
    return settings_text.value_missing(name, rules, read_only)


async def _set(name: str, services: Services, body: dict[str, Any], text: str) -> Reply:
    read = SETTINGS[name].read
    value = await READERS[name](services.directory, text) if read is None else read(unescape(text))
    reply = await _configure(services, body, sender(body).here, lambda own: replace(own, **{name: value}))
    return reply if reply.view is None else await open_at_once(services.client, body, reply.view)


SUBCOMMANDS: Final = {
    "": Subcommand(open_window, settings_text.OPEN_HELP, on_record=False),
    "show": Subcommand(_show, settings_text.SHOW_HELP, on_record=False, alone=True),
    **{
        one.word: Subcommand(partial(_set, name), one.help, partial(_missing, name), example=one.example)
        for name, one in SETTINGS.items()
    },
}
"""Subcommands of `/approvals` about settings."""


async def save(services: Services, body: dict[str, Any]) -> Reply:
    """Save the settings entered in the window."""
    view = body["view"]
    channel = modal_parts.channel_of(view)
    async with change_on_record(services, body, channel):
        edit = settings_modal.read(view, await usecases.rules_of(services.store, channel))
        try:
            return await _configure(services, body, channel, edit)
        except modal_parts.InputProblem as wrong:
            raise settings_modal.renumber_steps(view, wrong) from None


async def _configure(
    services: Services, body: dict[str, Any], channel: ChannelId, edit: Callable[[ChannelSettings], ChannelSettings]
) -> Reply:
    _, actor = await _rules_for(services, sender(body).user, channel)
    found: list[SettingProblem] = []

    async def check(rules: Rules) -> list[Sentence]:
        found[:] = await problems(services.directory, rules, services.pages)
        return [problem.sentence for problem in found]

    try:
        done = await usecases.configure(
            services.store,
            channel,
            actor,
            services.admins,
            edit,
            check,
            delivery(body),
            why_not_propose=why_not_propose,
        )
    except NeedsProof as milder:
        return Reply(settings_text.proposed_on_page(milder, services.pages))
    except NeedsSecond as milder:
        return Reply(settings_text.proposed(milder))
    except NeedsConfirmation as milder:
        window = settings_text.confirm(channel, milder.effect, settings_proposals.written(milder.proposal))
        return Reply(confirmation_text.CHANGE_TOO_LATE, False, view=window)
    except InvalidInput as wrong:
        about = (plain_text(found[0].sentence), found[0].field) if found else (str(wrong),)
        raise modal_parts.InputProblem(settings_modal.block_of(*about), *wrong.sentence) from None
    return Reply(settings_text.saved(channel, done.after))


def why_not_propose(proposal: SettingsProposal) -> str | None:
    """Return the reason why a button cannot confirm the proposal, or None."""
    if len(settings_proposals.written(proposal)) <= _LONGEST:
        return None
    return settings_text.TOO_LONG_TO_CONFIRM


async def confirm_proposal(services: Services, body: dict[str, Any]) -> Reply:
    """Apply the change that another person proposed."""
    return await _confirm(services, body, str(body["actions"][0].get("value")))


async def confirm_loosening(services: Services, body: dict[str, Any]) -> Reply:
    """Apply the change that its admin confirmed in the window."""
    return await _confirm(services, body, body["view"]["private_metadata"])


async def _confirm(services: Services, body: dict[str, Any], written: str) -> Reply:
    proposal = settings_proposals.read(written)
    at = sender(body)
    before = await usecases.rules_of(services.store, proposal.channel)
    actor, proposer = await asyncio.gather(
        *(services.directory.actor(user, before.reviewers.groups) for user in (at.user, proposal.by))
    )

    async def check(rules: Rules) -> list[Sentence]:
        return [problem.sentence for problem in await problems(services.directory, rules, services.pages)]

    done = await usecases.configure(
        services.store,
        proposal.channel,
        actor,
        services.admins,
        lambda _: proposal.wanted,
        check,
        delivery(body),
        confirms=proposal,
        proposer=proposer,
    )
    return Reply(settings_text.saved(proposal.channel, done.after))
