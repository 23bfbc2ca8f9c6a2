"""Show changes of a channel's settings, and proposals of one (R33).

A notice is drawn from its event alone, because the settings may have changed again by then.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, UserId
from countersign.policy.loosening import Configured, loosened_by

from .. import settings_proposals
from ..slack_calls import CannotPost
from ..views.block_kit import Drawing, button, words
from ..views.settings_text import changed_lines, shown
from ..views.slack_markup import mention
from .message_sync import Place, Poster

_log = logging.getLogger(__name__)


def channel_of(event: Event) -> ChannelId | None:
    """The channel whose settings the event is about; None if it is another event."""
    return ChannelId.named(event.data.get("channel", "")) if event.type in DRAWN else None


async def draw(poster: Poster, entries: Sequence[tuple[str, Event]]) -> None:
    """Draw the notices of these events in their order; an event that says nothing is left out."""
    for entry, event in entries:
        try:
            await DRAWN[event.type](poster, entry, event)
        except InvalidInput as wrong:
            _log.error("Nobody is told of event %s. %s", entry, wrong)


async def draw_change(poster: Poster, entry: str, event: Event) -> None:
    """Tell of a change in its channel, where cards went and where they go now; nobody if nothing changed.

    `entry` is the event's id in the stream, so that each place is told once. InvalidInput if the event does not say
    what changed. A place that Slack does not let us post in is left out.
    """
    channel, change = ChannelId(event.data["channel"]), settings_proposals.effect_of(event.data)
    lines = changed_lines(channel, change)
    if not lines:
        return
    by, proposed_by = mention(event.user) if event.user else "Somebody", event.data.get("proposed_by")
    together = f", as {mention(UserId(proposed_by))} had asked for" if proposed_by else ""
    text = f":gear: {by} changed the settings of {mention(channel)}{together}."
    drawing = Drawing(text, shown(f"{text}\n{lines}"))
    if proposed_by and (proposal := event.data.get("proposal")):
        settled = _proposal(UserId(proposed_by), channel, change, f"Confirmed by {by}.")
        await _show(poster, f"proposal/{proposal}", change.before.approvals_channel, settled, post=False)
    for place in dict.fromkeys((channel, change.before.approvals_channel, change.after.approvals_channel)):
        await _show(poster, f"settings/{entry}/{place}", place, drawing)


async def _show(poster: Poster, name: str, place: ChannelId, drawing: Drawing, *, post: bool = True) -> None:
    try:
        await poster.show(name, Place(place), drawing, post=post)
    except CannotPost as refused:
        _log.error("%s cannot be shown in %s (%s).", name, place, refused)


async def draw_proposal(poster: Poster, entry: str, event: Event) -> None:
    """Show a proposal with a button for somebody else, where the channel's cards go.

    What stands already is left as it is: it may be settled. InvalidInput if the event does not say what is proposed.
    """
    proposal, change = settings_proposals.proposal_of(event), settings_proposals.effect_of(event.data)
    name, place = f"proposal/{proposal.id}", change.before.approvals_channel
    if await poster.stands(name):
        return
    confirm = button("Confirm", settings_proposals.CONFIRM, settings_proposals.written(proposal), "danger")
    asks = "Nothing has changed yet. An admin or another reviewer may confirm it."
    drawing = _proposal(proposal.by, proposal.channel, change, asks)
    try:
        await poster.show(
            name, Place(place), replace(drawing, blocks=[*drawing.blocks, {"type": "actions", "elements": [confirm]}])
        )
    except CannotPost as refused:
        _log.error("A change of the settings of %s cannot be proposed in %s (%s).", proposal.channel, place, refused)
        sorry = (
            f"Slack did not take the message about the settings of {mention(proposal.channel)} in {mention(place)}, "
            "so nobody can confirm what you want. Ask an admin to make the change."
        )
        await poster.show(f"{name}/direct", Place(proposal.by), Drawing(sorry, [words(sorry)]))


def _proposal(by: UserId, channel: ChannelId, change: Configured, state: str) -> Drawing:
    milder = "; ".join(loosened_by(change))
    text = f":scales: {mention(by)} wants to make the rules of {mention(channel)} milder: {milder}."
    return Drawing(text, [*shown(f"{text}\n{changed_lines(channel, change)}"), words(state)])


DRAWN: Final[Mapping[EventType, Callable[[Poster, str, Event], Awaitable[None]]]] = {
    EventType.SETTINGS_CHANGED: draw_change,
    EventType.SETTINGS_PROPOSED: draw_proposal,
}
"""Event about a channel's settings -> what draws it."""
