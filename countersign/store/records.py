"""What stands under the keys, each kind with its codec. What two sides write of has its own: see
`countersign.store.ownership`."""

from functools import lru_cache

from countersign.domain.channel_settings import ChannelSettings, Rules
from countersign.domain.delegation import Absences
from countersign.domain.events import Event
from countersign.domain.grants import Permission
from countersign.policy.evaluation import Rulebook
from countersign.store.codec import Codec
from countersign.usecases.ports import TeamInfo

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
