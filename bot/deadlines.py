"""Keeps deadlines, reminders and escalations to the second: sleeps until the next, does what is due, 100 at once.

Any number of processes may do this at once; the store lets one of them win. A late click is refused by the server's
clock whether or not anybody got here first.
"""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final, Protocol

from bot import flows
from bot.core import schedule
from bot.core.errors import CountersignError, StoreUnavailable
from bot.core.ids import RequestId
from bot.core.ports import Queue, Store

_BATCH: Final = 100
LATE: Final = timedelta(seconds=5)
"""A deadline kept so late was passed while nobody was there; bot.metrics counts it from the record."""
_LONGEST_SLEEP: Final = timedelta(seconds=15)
_AT_WORK: Final = timedelta(minutes=1)
"""What was settled so long after a look was not settled by it."""
_log = logging.getLogger(__name__)


class Hints(Protocol):
    """Whoever hears of new deadlines, and of other things to come."""

    due: asyncio.Event


async def keep(store: Store, queue: Queue, hints: Hints) -> None:
    """Do what is due to requests as its time comes, until cancelled."""
    batch = _BATCH
    while True:
        hints.due.clear()
        try:
            due, following, now = await store.due(batch)
            # At once: each waits for Redis a few times, and one after another they would be late together.
            settled = await asyncio.gather(*(_do(store, queue, r, now) for r in due), return_exceptions=True)
            for problem in settled:
                if isinstance(problem, BaseException):
                    raise problem
        except StoreUnavailable as away:
            _log.warning("%s Deadlines are kept again when it is back.", away)
            await asyncio.sleep(1)
            continue
        if any(settled):
            batch = _BATCH
            continue
        if due:  # another process must settle these, and behind them may be some that this one can
            batch = 2 * batch if len(due) == batch else batch
            await asyncio.sleep(1)
            continue
        sleep = min(_LONGEST_SLEEP, following - now) if following else _LONGEST_SLEEP
        try:
            async with asyncio.timeout(sleep.total_seconds()):
                await hints.due.wait()
        except TimeoutError:
            pass


async def _do(store: Store, queue: Queue, request: RequestId, now: datetime) -> bool:
    """Whether something was due to it, and is not any more."""
    try:
        after = await flows.due(store, queue, request)
        if after is None or (after.decision is not None and not now <= after.decision.at < now + _AT_WORK):
            return False  # it stands in the index and should not, or somebody else settled it this moment
        late = after.decision.at - after.deadline if after.decision and after.deadline else None
        if late is not None and late > LATE:
            seconds = late.total_seconds()
            _log.warning("Request %s was due %d s ago, and nobody was there; settled now.", request, seconds)
        coming = schedule.next_step(after)
        return coming is None or coming.at > now
    except StoreUnavailable:
        raise
    except CountersignError as wrong:
        _log.error("Request %s is due and cannot be settled: %s", request, wrong)
        return False
    except Exception:
        _log.exception("Request %s is due and cannot be settled; the others are.", request)
        return False
