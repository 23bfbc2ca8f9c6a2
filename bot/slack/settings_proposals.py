"""Serialise changes of a channel's settings for a button or an event (R33)."""

import json
from collections.abc import Mapping
from typing import Final

from pydantic import TypeAdapter, ValidationError

from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.errors import InvalidInput
from countersign.domain.events import Event
from countersign.domain.ids import ChannelId, UserId
from countersign.domain.proof import Proof
from countersign.policy.loosening import Configured, SettingsProposal, print_of

from .views.confirmation_text import OTHER_VERSION

_KIND: Final = TypeAdapter(SettingsProposal)
_RULES: Final = TypeAdapter(Rules)
_SETTINGS: Final = TypeAdapter(ChannelSettings)


def written(proposal: SettingsProposal) -> str:
    """Write a proposal for its button, without unset fields."""
    return _KIND.dump_json(proposal, exclude_none=True).decode()


def read(text: str) -> SettingsProposal:
    """Read a proposal from its button. InvalidInput if this version did not write it."""
    try:
        return _KIND.validate_json(text)
    except ValidationError:
        raise InvalidInput(OTHER_VERSION) from None


def proposal_of(event: Event) -> SettingsProposal:
    """Read a proposal from its event. InvalidInput if this version did not write it."""
    data = event.data
    try:
        settings = _SETTINGS.validate_python(json.loads(data["wanted"]))
        by, channel, version = UserId(event.user or ""), ChannelId(data["channel"]), int(data["version"])
    except (KeyError, TypeError, ValueError) as wrong:  # pydantic's are ValueErrors
        raise InvalidInput(
            f"The event of a proposal does not say what was proposed ({ascii(str(wrong))[:200]})."
        ) from None
    return SettingsProposal(channel, by, settings, version, print_of(*effect_of(data)[:4]))


def effect_of(data: Mapping[str, str]) -> Configured:
    """Read a change from its event. InvalidInput if this version did not write it."""
    try:
        after, inherited = json.loads(data["rules"]), json.loads(data["inherited"])
        before = after | json.loads(data["before"])
        inherited_before = inherited | json.loads(data["inherited_before"])
        rules = [_RULES.validate_python(one) for one in (before, after, inherited_before, inherited)]
        return Configured(rules[0], rules[1], rules[2], rules[3], Proof(json.loads(data["elsewhere"])))
    except (KeyError, TypeError, ValueError) as wrong:  # pydantic's are ValueErrors
        raise InvalidInput(
            f"The event of a change of settings does not say what changed ({ascii(str(wrong))[:200]})."
        ) from None
