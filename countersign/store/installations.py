"""Installations of the app by OAuth, as texts that `web` has sealed.

Redis holds no token in plain text: the sealed texts can be read only with a key that Redis never has.
"""

from datetime import timedelta
from typing import Final

from countersign.domain.ids import WorkspaceId
from countersign.store.codec import ms
from countersign.store.records import Records
from countersign.store.redis.scripts import Script

_SWAP: Final = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""


class Installations:
    """The sealed installations of all workspaces, under the namespace of `web`."""

    def __init__(self, store: Records) -> None:
        """Take the store of the namespace that `web` was given, which contains no runs."""
        self.now = store.now
        self._client = store.client
        self._keys = store.keys
        self._swap = Script(store.client, _SWAP)

    async def all(self) -> dict[WorkspaceId, bytes]:
        """Read the stored text of each workspace."""
        stored = await self._client.hgetall(self._keys.installations)
        return {name: sealed for field, sealed in stored.items() if (name := WorkspaceId.named(field)) is not None}

    async def of(self, workspace: WorkspaceId) -> bytes | None:
        """Read the stored text of one workspace."""
        stored: bytes | None = await self._client.hget(self._keys.installations, workspace)
        return stored

    async def put(self, workspace: WorkspaceId, sealed: bytes) -> None:
        """Store the text, replacing any other."""
        await self._client.hset(self._keys.installations, workspace, sealed)

    async def swap(self, workspace: WorkspaceId, before: bytes, after: bytes) -> bool:
        """Store the text if `before` is still stored; return whether it was."""
        return bool(await self._swap([self._keys.installations], [workspace, before, after]))

    async def take_turn(self, workspace: WorkspaceId, turn: timedelta) -> bool:
        """Try to become the only process that may renew or revoke its token for `turn`."""
        return bool(await self._client.set(self._keys.renewing(workspace), "1", nx=True, px=ms(turn)))

    async def is_turn(self, workspace: WorkspaceId) -> bool:
        """Return whether some process has its turn."""
        return bool(await self._client.exists(self._keys.renewing(workspace)))

    async def end_turn(self, workspace: WorkspaceId) -> None:
        """End the turn early, so that another process may take it."""
        await self._client.delete(self._keys.renewing(workspace))
