"""Lease of the right to draw Slack, which one process holds at a time."""

import asyncio
import logging
import math
from datetime import timedelta
from typing import Final

from countersign.domain.errors import StoreUnavailable

from ..ports import Outbox

LEASE: Final = timedelta(seconds=6)
ON_ITS_WAY: Final = timedelta(seconds=1)
"""So long before its lease may end, a process sends nothing more: what is sent takes a while to reach Slack."""
_log = logging.getLogger(__name__)


class DrawingLease:
    """Lease of this process.

    `held_until`: when another process may draw, by the loop's clock.
    """

    def __init__(self, outbox: Outbox, owner: str) -> None:
        self._outbox = outbox
        self._owner = owner
        self.held_until = -math.inf

    async def claim(self) -> bool:
        """Claim the lease; returns whether this process may draw from now on."""
        asked = asyncio.get_running_loop().time()
        return self._note(asked, await self._outbox.lease.claim(self._owner, LEASE))

    async def renew(self) -> bool:
        """Renew the lease; returns whether this process may go on."""
        asked = asyncio.get_running_loop().time()
        return self._note(asked, await self._outbox.lease.renew(self._owner, LEASE))

    async def was_held(self) -> bool:
        """Return whether no other process held the lease since this one claimed it."""
        return await self._outbox.lease.renew(self._owner, LEASE)

    async def release(self) -> None:
        """Let another process draw at once."""
        try:
            await self._outbox.lease.release(self._owner)
        except StoreUnavailable:
            _log.info("The lease to draw Slack could not be released; it ends by itself.")

    def _note(self, asked: float, holds: bool) -> bool:
        self.held_until = asked + (LEASE - ON_ITS_WAY).total_seconds() if holds else -math.inf
        return holds
