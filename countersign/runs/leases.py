"""Leases of runs: one worker at a time advances a run.

A lease follows the server's clock, and its fence grows with each claim. The journal refuses fences below the lease's,
and `web` refuses fences below the highest one that it has seen.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Protocol

from countersign.domain.ids import RunId
from countersign.store.leases import LEASE_SCRIPT, held
from countersign.store.redis.scripts import Script
from countersign.usecases.ports import Lease


class HeldLeases(Protocol):
    """Leases of runs, wherever they are kept."""

    async def claim(self, run: RunId, owner: str, ttl: timedelta) -> Lease | None: ...
    async def renew(self, lease: Lease, ttl: timedelta) -> bool: ...
    async def release(self, lease: Lease) -> None: ...


class Leases:
    """Leases in Redis; `name` gives the key of each."""

    def __init__(self, client: Any, name: Callable[[RunId], str]) -> None:
        self._name = name
        self._script = Script(client, LEASE_SCRIPT)

    async def claim(self, run: RunId, owner: str, ttl: timedelta) -> Lease | None:
        """Claim the run, with a new fence; None while another owner holds it."""
        fence = await held(self._script, self._name(run), "claim", owner, 0, ttl)
        return Lease(run, fence, owner) if fence else None

    async def renew(self, lease: Lease, ttl: timedelta) -> bool:
        """Hold the lease for another `ttl`; False if it is no longer ours."""
        return bool(await held(self._script, self._name(lease.run), "renew", lease.owner, lease.fence, ttl))

    async def release(self, lease: Lease) -> None:
        """Release the lease at once, if it is still ours."""
        await held(self._script, self._name(lease.run), "release", lease.owner, lease.fence, timedelta(0))
