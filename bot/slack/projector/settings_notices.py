"""The notice of a change of a channel's settings (R33).

A notice is drawn from its event alone, because the settings may have changed again by then.
"""

import json
import logging
from collections.abc import Mapping
from typing import Final

from pydantic import TypeAdapter

from countersign.domain.channel_settings import Rules
from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.slack_markup import mention
from countersign.policy.loosening import Configured

from ..slack_calls import CannotPost
from ..views.cards import Drawing
from ..views.settings_text import changed_lines, shown
from .message_sync import Place, Poster

_RULES: Final = TypeAdapter(Rules)
_log = logging.getLogger(__name__)


def concerns(event: Event) -> ChannelId | None:
    """The channel whose settings the event changed; None if it is another event."""
    return ChannelId.named(event.data.get("channel", "")) if event.type is EventType.SETTINGS_CHANGED else None


async def show(poster: Poster, entry: str, event: Event) -> None:
    """Tell of a change in its channel, where cards went and where they go now; nobody if nothing changed.

    `entry` is the event's id in the stream, so that each place is told once. InvalidInput if the event does not say
    what changed. A place that Slack does not let us post in is left out.
    """
    channel, done = ChannelId(event.data["channel"]), effect_of(event.data)
    lines = changed_lines(channel, done)
    if not lines:
        return
    by, proposed_by = mention(event.user) if event.user else "Somebody", event.data.get("proposed_by")
    together = f", as {mention(UserId(proposed_by))} had asked for" if proposed_by else ""
    text = f":gear: {by} changed the settings of {mention(channel)}{together}."
    drawing = Drawing(text, shown(f"{text}\n{lines}"))
    for place in dict.fromkeys((channel, done.before.approvals_channel, done.after.approvals_channel)):
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
