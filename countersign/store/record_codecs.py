"""Codecs of all records."""

import json
from functools import lru_cache
from typing import Final

from countersign.domain.api_keys import ApiKey
from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.delegation import Absences
from countersign.domain.events import Event
from countersign.domain.passkeys import Passkeys
from countersign.domain.proof import Challenge
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.domain.standing_permissions import Permission
from countersign.policy.evaluation import Rulebook
from countersign.policy.loosening import SettingsProposal
from countersign.store.codec import Codec
from countersign.usecases.ports import Announcement, Message

SETTINGS: Final = Codec(ChannelSettings)
ABSENCES: Final = Codec(Absences)
PERMISSIONS: Final = Codec(Permission)
RULES: Final = Codec(Rules)
RULEBOOK: Final = Codec(Rulebook)
EVENTS: Final = Codec(Event, compressed=False)
ANNOUNCEMENTS: Final = Codec(Announcement)
REQUESTS: Final = Codec(Request)
MESSAGES: Final = Codec(Message)
RUNS: Final = Codec(Run)
API_KEYS: Final = Codec(ApiKey)
PASSKEYS: Final = Codec(Passkeys)
CHALLENGES: Final = Codec(Challenge)
PROPOSALS: Final = Codec(SettingsProposal)


@lru_cache(maxsize=4)
def rulebook_in(raw: bytes) -> Rulebook:
    """Read the stored policy, parsed once for as long as it stays the same."""
    return RULEBOOK.read(raw)[0]


def write_message(message: Message, version: int) -> bytes:
    """Write the message without its name, which its key contains."""
    return MESSAGES.write(message, version, frozenset({"name"}))


def read_message(name: str, raw: bytes) -> tuple[Message, int]:
    """Read the message of this name, and its version."""
    return MESSAGES.read(raw, json.dumps({"name": name}).encode())
