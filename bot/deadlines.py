"""Keeps deadlines to the second: sleeps until the next one, settles what is due, 100 at once.

Any number of processes may do this at once; the store lets one of them win. A late click is refused by the server's
clock whether or not anybody got here first.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Final, Protocol

from bot import flows
from bot.core.errors import CountersignError, StoreUnavailable
from bot.core.ids import RequestId
from bot.core.ports import Queue, Store
from bot.core.requests import Status

_BATCH: Final = 100
LATE: Final = timedelta(seconds=5)
"""A deadline kept so late was passed while nobody was there; bot.metrics counts it from the record."""
_LONGEST_SLEEP: Final = timedelta(seconds=15)
_log = logging.getLogger(__name__)


class Hints(Protocol):
    """Whoever hears of new deadlines."""

    due: asyncio.Event


async def keep(store: Store, queue: Queue, hints: Hints) -> None:
    """Expire requests as their deadlines pass, until cancelled."""
    while True:
        hints.due.clear()
        try:
            due, following, now = await store.due(_BATCH)
            # At once: each waits for Redis a few times, and one after another they would be late together.
            settled = await asyncio.gather(*(_expire(store, queue, r) for r in due), return_exceptions=True)
            for problem in settled:
                if isinstance(problem, BaseException):
                    raise problem
        except StoreUnavailable as away:
            _log.warning("%s Deadlines are kept again when it is back.", away)
            await asyncio.sleep(1)
            continue
        if any(settled):
            continue
        if due:  # another process must settle these
            await asyncio.sleep(1)
            continue
        sleep = min(_LONGEST_SLEEP, following - now) if following else _LONGEST_SLEEP
        try:
            async with asyncio.timeout(sleep.total_seconds()):
                await hints.due.wait()
        except TimeoutError:
            pass


async def _expire(store: Store, queue: Queue, request: RequestId) -> bool:
    """Whether it does not wait any more."""
    try:
        settled = await flows.expire(store, queue, request)
        late = settled.decision.at - settled.deadline if settled and settled.decision and settled.deadline else None
        if late is not None and late > LATE:
            _log.warning("Request %s was due %d s ago, and nobody was there; settled now.", request, late.seconds)
        return settled is not None and settled.status is not Status.PENDING
    except StoreUnavailable:
        raise
    except CountersignError as wrong:
        _log.error("Request %s is due and cannot be settled: %s", request, wrong)
        return False
