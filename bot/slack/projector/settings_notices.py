"""Notify channels of changes to settings and passkeys (R33).

A notice is drawn from its event alone, because the settings may have changed again by then. A greeting shows the
current settings.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from countersign import usecases
from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.proof import Proof
from countersign.policy.loosening import needed_proof
from countersign.usecases.ports import Store

from .. import settings_proposals
from ..ports import CannotPost
from ..views.block_kit import Drawing
from ..views.passkey_text import notices
from ..views.settings_text import (
    change_notice,
    confirmed_notice,
    greeting,
    not_proposed_notice,
    page_of,
    proposal_notice,
)
from .message_sync import Place, Poster

_log = logging.getLogger(__name__)


def channel_of(event: Event) -> ChannelId | None:
    """Return the channel that is notified of the event; None for other events."""
    ours = event.type in DRAWN or event.type is EventType.CHANNEL_JOINED
    return ChannelId.named(event.data.get("channel", "")) if ours else None


async def draw(store: Store, poster: Poster, entries: Sequence[tuple[str, Event]]) -> None:
    """Draw the notices of these events in order, skipping unreadable events."""
    for entry, event in entries:
        try:
            if event.type is EventType.CHANNEL_JOINED:
                await draw_greeting(store, poster, event)
            else:
                await DRAWN[event.type](poster, entry, event)
        except InvalidInput as wrong:
            _log.error("Event %s is unreadable, and nobody is notified of it. %s", entry, wrong)


async def draw_greeting(store: Store, poster: Poster, event: Event) -> None:
    """Greet a channel once, however often the app is invited there."""
    channel = ChannelId(event.data["channel"])
    if not await poster.first_standing(name := f"greeting/{channel}"):
        rules = await usecases.rules_of(store, channel)
        await _show(poster, name, channel, greeting(channel, rules, shared_outside="shared" in event.data))


async def draw_change(poster: Poster, entry: str, event: Event) -> None:
    """Announce a change in its channel, and in the old and new approvals channels.

    `entry` is the event's id in the stream, so that each place is notified once. InvalidInput if the event does not say
    what changed. Channels that refuse our posts are skipped.
    """
    channel, change = ChannelId(event.data["channel"]), settings_proposals.effect_of(event.data)
    proposed_by = UserId.named(event.data.get("proposed_by", ""))
    drawing = change_notice(channel, change, event.user, proposed_by)
    if drawing is None:
        return
    if proposed_by and (proposal := event.data.get("proposal")):
        settled = confirmed_notice(channel, change, proposed_by, event.user)
        await _show(poster, f"proposal/{proposal}", change.before.approvals_channel, settled, post=False)
    for place in dict.fromkeys((channel, change.before.approvals_channel, change.after.approvals_channel)):
        await _show(poster, f"settings/{entry}/{place}", place, drawing)


async def _show(poster: Poster, name: str, place: ChannelId, drawing: Drawing, *, post: bool = True) -> None:
    try:
        await poster.show(name, Place(place), drawing, post=post)
    except CannotPost as refused:
        _log.error("%s cannot be shown in %s (%s).", name, place, refused)


async def draw_proposal(poster: Poster, entry: str, event: Event) -> None:
    """Show a proposal, with a button for a second person, in the approvals channel.

    An existing message is left alone: it may be settled. InvalidInput if the event does not say what is proposed.
    """
    proposal, change = settings_proposals.proposal_of(event), settings_proposals.effect_of(event.data)
    name, place = f"proposal/{proposal.id}", change.before.approvals_channel
    if await poster.first_standing(name):
        return
    page = page_of(proposal, poster.pages) if needed_proof(change) is not Proof.SLACK else None
    drawing = proposal_notice(proposal.channel, change, proposal.by, settings_proposals.written(proposal), page)
    try:
        await poster.show(name, Place(place), drawing)
    except CannotPost as refused:
        _log.error("A change of the settings of %s cannot be proposed in %s (%s).", proposal.channel, place, refused)
        direct = Place(await poster.direct(proposal.by))
        await poster.show(f"{name}/direct", direct, not_proposed_notice(proposal.channel, place))


async def draw_passkey(poster: Poster, entry: str, event: Event) -> None:
    """Announce an enrolment, a revocation or a code, also to the person directly."""
    holder, theirs, yours = notices(event)
    await _show(poster, f"passkey/{entry}", ChannelId(event.data["channel"]), theirs)
    await _show(poster, f"passkey/{entry}/direct", await poster.direct(holder), yours)


DRAWN: Final[Mapping[EventType, Callable[[Poster, str, Event], Awaitable[None]]]] = {
    EventType.SETTINGS_CHANGED: draw_change,
    EventType.SETTINGS_PROPOSED: draw_proposal,
    EventType.PASSKEY_CODE_MADE: draw_passkey,
    EventType.PASSKEY_ENROLLED: draw_passkey,
    EventType.PASSKEY_REVOKED: draw_passkey,
}
"""Events that a channel is notified of, each with the function that draws it."""
