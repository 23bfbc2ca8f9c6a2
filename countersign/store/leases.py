"""Leases: one process at a time advances a run, draws Slack or keeps the record.

A lease counts by the server's clock, and its fence grows with each claim: every write of a run names the fence.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from countersign.domain.ids import RunId
from countersign.store.codec import ms
from countersign.store.keys import KEPT_LEASE, Keys
from countersign.store.records import reaching
from countersign.store.redis.scripts import Script
from countersign.usecases.ports import Lease

_LEASE = (Path(__file__).parent / "hold_lease.lua").read_text()
_WHICHEVER: Final = -1
"""The fence that the owner has."""


class Leases:
    """Leases of the runs of one namespace."""

    def __init__(self, client: Any, keys: Keys) -> None:
        self._keys = keys
        self._script = Script(client, _LEASE)

    async def claim(self, run: RunId, owner: str, ttl: timedelta) -> Lease | None:
        """Claim the run, with a new fence; None while another owner holds it."""
        fence = await _held(self._script, self._keys.lease(run), "claim", owner, 0, ttl)
        return Lease(run, fence, owner) if fence else None

    async def renew(self, lease: Lease, ttl: timedelta) -> bool:
        """Hold the lease for another `ttl`; False if it is no longer ours."""
        return bool(await _held(self._script, self._keys.lease(lease.run), "renew", lease.owner, lease.fence, ttl))

    async def release(self, lease: Lease) -> None:
        """Let the lease go at once, if it is still ours."""
        await _held(self._script, self._keys.lease(lease.run), "release", lease.owner, lease.fence, timedelta(0))


class ProcessLease:
    """A right of one process at a time: to draw Slack, or to keep the record."""

    def __init__(self, client: Any, key: str) -> None:
        self._key = key
        self._script = Script(client, _LEASE)

    async def claim(self, owner: str, ttl: timedelta) -> bool:
        """Claim the right for `ttl`; False if another process has it."""
        return bool(await _held(self._script, self._key, "claim", owner, 0, ttl))

    async def renew(self, owner: str, ttl: timedelta) -> bool:
        """Keep the right for another `ttl`; False if another process has it by now."""
        return bool(await _held(self._script, self._key, "renew", owner, _WHICHEVER, ttl))

    async def release(self, owner: str) -> None:
        """Let the right go at once, if this owner has it."""
        await _held(self._script, self._key, "release", owner, _WHICHEVER, timedelta(0))


async def _held(script: Script, key: str, verb: str, owner: str, fence: int, ttl: timedelta) -> int:
    async with reaching():
        return int(await script(keys=[key], args=[verb, owner, fence, ms(ttl), ms(KEPT_LEASE)]))
