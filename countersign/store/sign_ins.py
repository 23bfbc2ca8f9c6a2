"""Sessions of people on the pages of `web`, and notes of mails to them.

Redis holds only the digest of a cookie, so reading Redis does not let anybody act as another person.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from countersign.domain.ids import RequestId, UserId, WorkspaceId, digest_of
from countersign.store.codec import ms
from countersign.store.keys import KEPT
from countersign.store.leases import ProcessLease
from countersign.store.records import Records


class SignIns:
    """Sessions of one namespace, as texts that only `web` understands."""

    def __init__(self, records: Records) -> None:
        self.now = records.now
        self._client = records.client
        self._keys = records.keys

    async def put(self, cookie: str, session: bytes, left: timedelta) -> None:
        """Keep the session of this cookie for the time `left`."""
        await self._client.set(self._keys.session(digest_of(cookie)), session, px=ms(left))

    async def get(self, cookie: str) -> bytes | None:
        """Read the session of this cookie; None if it has ended."""
        stored: bytes | None = await self._client.get(self._keys.session(digest_of(cookie)))
        return stored

    async def drop(self, cookie: str) -> None:
        """End the session of this cookie."""
        await self._client.delete(self._keys.session(digest_of(cookie)))

    async def end_all(self, workspace: WorkspaceId, user: UserId, longest: timedelta) -> None:
        """End all sessions that this person has now; none lasts longer than `longest`."""
        await self._client.set(self._keys.signed_out(workspace, user), (await self.now()).isoformat(), px=ms(longest))

    async def ended_at(self, workspace: WorkspaceId, user: UserId) -> datetime | None:
        """Return when all sessions of this person were ended; None if long ago."""
        stored: bytes | None = await self._client.get(self._keys.signed_out(workspace, user))
        return None if stored is None else datetime.fromisoformat(stored.decode())

    async def keep(self, nonce: str, confirmation: bytes, left: timedelta) -> None:
        """Keep a pending confirmation under the nonce of its proof."""
        await self._client.set(self._keys.confirming(digest_of(nonce)), confirmation, px=ms(left))

    async def kept(self, nonce: str) -> bytes | None:
        """Read a pending confirmation; None if it has expired."""
        stored: bytes | None = await self._client.get(self._keys.confirming(digest_of(nonce)))
        return stored

    async def change(self, nonce: str, confirmation: bytes) -> None:
        """Replace a pending confirmation, keeping its expiry; no effect if expired."""
        await self._client.set(self._keys.confirming(digest_of(nonce)), confirmation, xx=True, keepttl=True)

    async def forget(self, nonce: str) -> None:
        """Drop a pending confirmation."""
        await self._client.delete(self._keys.confirming(digest_of(nonce)))


class MailNotes:
    """Notes of one namespace about mails: which person was told of which requests."""

    def __init__(self, records: Records) -> None:
        self.lease = ProcessLease(records.client, records.keys.mailer)
        self._client = records.client
        self._keys = records.keys
        self._now = records.now

    async def untold(self, user: UserId, requests: Sequence[RequestId]) -> list[RequestId]:
        """Return the requests that this person was not told of."""
        if not requests:
            return []
        told = await self._client.zmscore(self._keys.mailed(user), list(requests))
        return [request for request, moment in zip(requests, told, strict=True) if moment is None]

    async def told(self, user: UserId, requests: Sequence[RequestId]) -> None:
        """Note that this person was told of these requests."""
        key, now = self._keys.mailed(user), ms(await self._now())
        await self._client.zadd(key, dict.fromkeys(map(str, requests), now))
        await self._client.zremrangebyscore(key, "-inf", now - ms(KEPT))
        await self._client.pexpire(key, ms(KEPT))
