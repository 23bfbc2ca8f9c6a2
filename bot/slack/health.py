"""Health of `web`: the store, the connection to Slack, the machine's clock."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from countersign import metrics
from countersign.domain.errors import CountersignError, StoreFull, StoreUnavailable
from countersign.usecases.ports import Store

_CLOCKS_APART: Final = timedelta(minutes=4)


async def problem_of(
    store: Store, connected: Callable[[], Awaitable[bool]] | None, refused: Callable[[], str] = str
) -> str:
    """Return the problem of this process, "" if there is none.

    `connected` checks Socket Mode; None for HTTP. `refused` says why Slack refuses our token, "" if it does not.
    """
    try:
        async with asyncio.timeout(2):
            now = await store.check_writable()
    except StoreFull as full:
        return str(full)
    except TimeoutError:
        return "The store (Redis) does not answer within 2 s."
    except StoreUnavailable as away:
        return f"The store (Redis) does not answer{f': {away.reason}' if away.reason else '.'}"
    except CountersignError:
        return "The store (Redis) does not answer."
    if why := refused():
        return why
    if connected is None:
        return wrong_clock(now, datetime.now(UTC))
    return "" if await connected() else "There is no Socket Mode connection to Slack."


def wrong_clock(theirs: datetime, ours: datetime) -> str:
    """Return a sentence about a wrong clock, "" if it is right.

    Slack's signatures are valid for five minutes of this machine's clock.
    """
    apart = ours - theirs
    if abs(apart) < _CLOCKS_APART:
        return ""
    return (
        f"The clock of this machine is {round(abs(apart) / timedelta(minutes=1))} minutes "
        f"{'ahead of' if apart > timedelta(0) else 'behind'} that of Redis. If it is the wrong one, every signature of "
        "Slack is refused as too old. Correct the clock; nothing needs a restart."
    )


async def measured(*stores: Store) -> bytes:
    """Return the text that Prometheus reads.

    If the store does not answer, the counts of waiting requests are left out.
    """
    try:
        async with asyncio.timeout(2):
            standing = Counter({"requests": 0, "runs": 0, "parked_runs": 0})
            for store in stores:
                standing.update(await store.indexes.standing())
            return metrics.exposition(standing)
    except (CountersignError, TimeoutError):
        return metrics.exposition()
