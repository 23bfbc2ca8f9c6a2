"""Replies of Slack about people, groups and channels, shared by all `web`.

Each value is prefixed with the time, by the server's clock, when Slack was asked.
"""

from datetime import timedelta

from countersign.domain.ids import ChannelId, UserId
from countersign.store.codec import compress, decompress, from_ms, ms
from countersign.store.records import Records


class RedisSlackFacts:
    """Replies of Slack by query, for the look-ups of `web`."""

    def __init__(self, reads: Records) -> None:
        self._reads = reads

    async def get(self, fact: tuple[str, ...]) -> tuple[bytes, timedelta] | None:
        """Return the reply and its age; None if it is unknown."""
        (raw,), now = await self._reads.values(self._key(fact))
        if raw is None:
            return None
        moment, _, stored = raw.partition(b"\n")
        return decompress(stored), max(now - from_ms(int(moment)), timedelta(0))

    async def put(self, fact: tuple[str, ...], reply: bytes, age: timedelta, left: timedelta) -> None:
        """Keep a reply of Slack, made `age` ago, for the time `left`."""
        key, now = self._key(fact), await self._reads.now()
        await self._reads.client.set(key, b"%d\n%b" % (ms(now - age), compress(reply)), px=ms(left))

    def _key(self, fact: tuple[str, ...]) -> str:
        keys = self._reads.keys
        match fact:
            case ("person", user):
                return keys.person(UserId(user))
            case ("joined", user):
                return keys.joined(UserId(user))
            case ("members", channel):
                return keys.members(ChannelId(channel))
            case ("usergroups",):
                return keys.usergroups
        raise ValueError(f"{fact!r} is not shared.")
