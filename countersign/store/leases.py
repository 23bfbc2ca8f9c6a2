"""Leases: the right of one process at a time to advance a run, or to draw Slack.

A lease counts by the server's clock, and its fence grows with each claim: every write of a run names the fence.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

from countersign.domain.ids import RunId
from countersign.store.codec import ms
from countersign.store.keys import KEPT_LEASE, Keys
from countersign.store.reads import reaching
from countersign.store.redis.scripts import Script
from countersign.usecases.ports import Lease

_LEASE = (Path(__file__).parent / "hold_lease.lua").read_text()


class Leases:
    """Leases of one namespace."""

    def __init__(self, client: Any, keys: Keys) -> None:
        self._keys = keys
        self._script = Script(client, _LEASE)

    async def claim(self, run: RunId, owner: str, ttl: timedelta) -> Lease | None:
        """The lease of the run, with a new fence; None while another owner holds it."""
        fence = await self._with_lease(self._keys.lease(run), "claim", owner, 0, ttl)
        return Lease(run, fence, owner) if fence else None

    async def renew(self, lease: Lease, ttl: timedelta) -> bool:
        """Hold the lease for another `ttl`; False if it is no longer ours."""
        return bool(await self._with_lease(self._keys.lease(lease.run), "renew", lease.owner, lease.fence, ttl))

    async def release(self, lease: Lease) -> None:
        """Let the lease go at once, if it is still ours."""
        await self._with_lease(self._keys.lease(lease.run), "release", lease.owner, lease.fence, timedelta(0))

    async def claim_projector(self, owner: str, ttl: timedelta) -> int:
        """Claim the right to draw Slack; the fence, or 0 while another process holds it."""
        return await self._with_lease(self._keys.projector, "claim", owner, 0, ttl)

    async def renew_projector(self, owner: str, ttl: timedelta) -> bool:
        """Keep that right for another `ttl`; False if it is no longer this owner's."""
        return bool(await self._with_lease(self._keys.projector, "renew", owner, -1, ttl))

    async def release_projector(self, owner: str) -> None:
        """Let that right go at once, if it is still this owner's."""
        await self._with_lease(self._keys.projector, "release", owner, -1, timedelta(0))

    async def _with_lease(self, key: str, verb: str, owner: str, fence: int, ttl: timedelta) -> int:
        async with reaching():
            return int(await self._script(keys=[key], args=[verb, owner, fence, ms(ttl), ms(KEPT_LEASE)]))
