"""Put a channel's settings into words, and show changes and proposals of one (R33).

A notice is drawn from its event alone, because the settings may have changed again by then.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Final

from countersign.domain.channel_settings import OnTimeout, Rules, say_duration
from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.people import Reviewers
from countersign.policy.loosening import Configured, loosened_by

from ..handlers import schedule_commands, settings_proposals
from ..slack_calls import CannotPost
from ..views import settings_modal
from ..views.block_kit import Block, Drawing, button, words
from ..views.request_text import NAMED, mentioned, named
from ..views.safe_text import pieces
from ..views.slack_markup import mention
from .message_sync import Place, Poster

_ROOM: Final = 2900
"""Characters of a block of words."""
_IN_A_LINE: Final = 80
"""People."""
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
        f"• a request waits: {waits}; when time runs out: {settings_modal.ON_TIMEOUT_SAYS[rules.on_timeout]}\n"
        f"{schedule_commands.say(rules)}"
    )


def changed_lines(channel: ChannelId, done: Configured) -> str:
    """List what differs, before and after: here, and where it is inherited if that is another thing."""
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
    """List who comes and goes where a line does not name everybody."""
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


def shown(text: str) -> list[Block]:
    """The text in as many blocks as it takes."""
    return [words(piece) for piece in pieces(text, _ROOM)]


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
