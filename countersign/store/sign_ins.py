"""People who are signed in to the pages of `web`.

Redis holds the digest of a cookie and never the cookie: reading Redis lets nobody act as somebody else.
"""

from datetime import timedelta

from countersign.domain.ids import digest_of
from countersign.store.codec import LARGEST, ms
from countersign.store.records import Records, reaching


class SignIns:
    """Sessions of one namespace, as texts that only `web` understands."""

    def __init__(self, records: Records) -> None:
        self.now = records.now
        self._client = records.client
        self._keys = records.keys

    async def put(self, cookie: str, session: bytes, left: timedelta) -> None:
        """Keep the session of this cookie for the time `left`."""
        async with reaching():
            await self._client.set(self._keys.session(digest_of(cookie)), session, px=ms(left))

    async def replace(self, cookie: str, session: bytes) -> bool:
        """Store a changed session until the same moment; False if it has ended."""
        key = self._keys.session(digest_of(cookie))
        async with reaching():
            return bool(await self._client.set(key, session, xx=True, keepttl=True))

    async def get(self, cookie: str) -> bytes | None:
        """Read the session of this cookie; None if it has ended."""
        async with reaching():
            stored: bytes = await self._client.getrange(self._keys.session(digest_of(cookie)), 0, LARGEST)
        return stored or None

    async def drop(self, cookie: str) -> None:
        """End the session of this cookie."""
        async with reaching():
            await self._client.delete(self._keys.session(digest_of(cookie)))
