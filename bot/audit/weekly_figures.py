"""Sum and plot a week's figures for the digest, in the background of `web`."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from countersign.domain.errors import WrongSettings
from countersign.domain.hash_chain import Kept
from countersign.store.audit_log import Ledger
from countersign.store.codec import from_ms

from . import plots
from .figures import Figures

_PAGE: Final = 100


async def summed(ledger: Ledger, since: datetime, until: datetime) -> Figures | None:
    """Sum up a period of the record, in threads, so that clicks do not wait.

    None if events of the period are not chained yet, as after a long downtime.
    """
    behind = await ledger.events((await ledger.position()).event, 1, timedelta(0))
    if behind and from_ms(int(behind[0].event.split("-")[0])) < until:
        return None
    sums, after = Figures(), await ledger.before(since)
    last = await ledger.before(until)
    while after < last and (page := await ledger.read(after, min(_PAGE, last - after))):
        await asyncio.to_thread(_take, sums, [kept for _, kept in page])
        after = page[-1][0]
    return sums


def _take(sums: Figures, page: list[Kept]) -> None:
    for kept in page:
        sums.read(kept)


async def picture(figures: Figures) -> bytes | None:
    """Draw the decisions for a message; None if matplotlib is not installed."""
    try:
        return await asyncio.to_thread(lambda: plots.png(plots.by_day(figures)))
    except WrongSettings:
        return None
