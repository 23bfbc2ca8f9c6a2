"""What `/healthz` and `/metrics` of `web` say of the store, of Slack and of this machine's clock."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from countersign import metrics
from countersign.domain.errors import CountersignError, StoreFull
from countersign.usecases.ports import Store

_CLOCKS_APART: Final = timedelta(minutes=4)


async def problem_of(store: Store, connected: Callable[[], Awaitable[bool]] | None) -> str:
    """What is wrong with this process, for `/healthz`; "" if nothing is. `connected`: of Socket Mode, None for HTTP."""
    try:
        async with asyncio.timeout(2):
            now = await store.takes()
    except StoreFull as full:
        return str(full)
    except (CountersignError, TimeoutError):
        return "The store (Redis) does not answer."
    if connected is None:
        return wrong_clock(now, datetime.now(UTC))
    return "" if await connected() else "There is no Socket Mode connection to Slack."


def wrong_clock(theirs: datetime, ours: datetime) -> str:
    """Why what Slack signs is refused: it is valid for five minutes by this machine's clock. "" if that is right."""
    apart = ours - theirs
    if abs(apart) < _CLOCKS_APART:
        return ""
    return (
        f"The clock of this machine is {round(abs(apart) / timedelta(minutes=1))} minutes "
        f"{'ahead of' if apart > timedelta(0) else 'behind'} that of Redis. Whatever Slack sends is refused as too old "
        "if this one is wrong. Set it right; nothing needs to be started again."
    )


async def measured(store: Store) -> bytes:
    """What Prometheus reads; without what waits if the store does not say."""
    try:
        async with asyncio.timeout(2):
            return metrics.exposition(await store.indexes.standing())
    except (CountersignError, TimeoutError):
        return metrics.exposition()
