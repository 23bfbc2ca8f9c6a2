"""Leases of processes: one process at a time updates Slack or keeps the audit log.

They follow the server's clock.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from countersign.store.codec import ms
from countersign.store.redis.scripts import Script

LEASE_SCRIPT: Final = (Path(__file__).parent / "hold_lease.lua").read_text()
KEPT_LEASE: Final = timedelta(hours=1)
"""How long the key outlives its lease. A fence made without the key is the server's clock (ms), which is higher unless
it was set back."""
_WHICHEVER: Final = -1
"""Stands for the owner's fence, whatever it is."""


class ProcessLease:
    """Right of one process at a time, to update Slack or to keep the audit log."""

    def __init__(self, client: Any, key: str) -> None:
        self._key = key
        self._script = Script(client, LEASE_SCRIPT)

    async def claim(self, owner: str, ttl: timedelta) -> bool:
        """Claim the right for `ttl`; False if another process has it."""
        return bool(await held(self._script, self._key, "claim", owner, 0, ttl))

    async def renew(self, owner: str, ttl: timedelta) -> bool:
        """Keep the right for another `ttl`; False if another process has it by now."""
        return bool(await held(self._script, self._key, "renew", owner, _WHICHEVER, ttl))

    async def release(self, owner: str) -> None:
        """Release the right at once, if this owner has it."""
        await held(self._script, self._key, "release", owner, _WHICHEVER, timedelta(0))


async def held(script: Script, key: str, verb: str, owner: str, fence: int, ttl: timedelta) -> int:
    """Run the lease script; returns the new fence for a claim, else 1 or 0."""
    return int(await script(keys=[key], args=[verb, owner, fence, ms(ttl), ms(KEPT_LEASE)]))
