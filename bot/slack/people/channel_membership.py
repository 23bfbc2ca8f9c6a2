"""Store the channels that the app is in.

A program asks before it starts a run that nobody would see.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from countersign.domain.errors import StoreUnavailable
from countersign.usecases.ports import Store

from .users_and_groups import Directory

LOOK_EVERY: Final = timedelta(minutes=1)
_log = logging.getLogger(__name__)


async def keep(
    store: Store, directory: Directory, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Store the app's channels every minute, until cancelled."""
    while True:
        await note(store, directory)
        await sleep(LOOK_EVERY.total_seconds())


async def note(store: Store, directory: Directory) -> None:
    """Store Slack's answer; without one the last answer stays for ten minutes."""
    rooms = await directory.channels()
    if rooms is None:
        return
    try:
        await store.set_channels(rooms)
    except StoreUnavailable as away:
        _log.warning("%s The app's channels will be stored when the store is back.", away)
