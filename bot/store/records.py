"""What stands under the keys, each kind with its codec. What two sides write of has its own: see `bot.store.sides`."""

from functools import lru_cache

from bot.core.absence import Absences
from bot.core.events import Event
from bot.core.permissions import Permission
from bot.core.policy import ChannelSettings, Rules
from bot.core.ports import TeamInfo
from bot.core.rulebook import Rulebook
from bot.store.codec import Codec

SETTINGS = Codec(ChannelSettings)
ABSENCES = Codec(Absences)
PERMISSIONS = Codec(Permission)
RULES = Codec(Rules)
RULEBOOK = Codec(Rulebook)
EVENTS = Codec(Event, compressed=False)
TEAMS: Codec[list[TeamInfo]] = Codec(list[TeamInfo])


@lru_cache(maxsize=4)
def rulebook_in(raw: bytes) -> Rulebook:
    """The workspace's policy as it is stored, parsed once for as long as it stays the same."""
    return RULEBOOK.read(raw)[0]
