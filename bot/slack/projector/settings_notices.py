"""The notice of a change of a channel's settings (R33).

A notice is drawn from its event alone, because the settings may have changed again by then.
"""

import json
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from pydantic import TypeAdapter

from countersign.domain.channel_settings import Rules
from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, UserId
from countersign.policy.loosening import Configured

from ..slack_calls import CannotPost
from ..views.cards import Drawing
from ..views.settings_text import changed_lines, shown
from ..views.slack_markup import mention
from .message_sync import Place, Poster

_RULES: Final = TypeAdapter(Rules)
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
            _log.error("Nobody is told of the change in event %s. %s", entry, wrong)


async def draw_change(poster: Poster, entry: str, event: Event) -> None:
    """Tell of a change in its channel, where cards went and where they go now; nobody if nothing changed.

    `entry` is the event's id in the stream, so that each place is told once. InvalidInput if the event does not say
    what changed. A place that Slack does not let us post in is left out.
    """
    channel, change = ChannelId(event.data["channel"]), effect_of(event.data)
    lines = changed_lines(channel, change)
    if not lines:
        return
    by, proposed_by = mention(event.user) if event.user else "Somebody", event.data.get("proposed_by")
    together = f", as {mention(UserId(proposed_by))} had asked for" if proposed_by else ""
    text = f":gear: {by} changed the settings of {mention(channel)}{together}."
    drawing = Drawing(text, shown(f"{text}\n{lines}"))
    for place in dict.fromkeys((channel, change.before.approvals_channel, change.after.approvals_channel)):
        try:
            await poster.show(f"settings/{entry}/{place}", Place(place), drawing)
        except CannotPost as refused:
            _log.error("A change of the settings of %s cannot be told in %s (%s).", channel, place, refused)


def effect_of(data: Mapping[str, str]) -> Configured:
    """What a change did, by the data of its event. InvalidInput if this version did not write them."""
    try:
        after, inherited = json.loads(data["rules"]), json.loads(data["inherited"])
        before = after | json.loads(data["before"])
        inherited_before = inherited | json.loads(data["inherited_before"])
        rules = (before, after, inherited_before, inherited)
        return Configured(*(_RULES.validate_python(one) for one in rules))
    except (KeyError, TypeError, ValueError) as wrong:  # pydantic's are ValueErrors
        raise InvalidInput(f"The event of a change of settings does not say what changed ({wrong!r}).") from None


DRAWN: Final[Mapping[EventType, Callable[[Poster, str, Event], Awaitable[None]]]] = {
    EventType.SETTINGS_CHANGED: draw_change,
}
"""Event about a channel's settings -> what draws it."""
