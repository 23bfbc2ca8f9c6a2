"""Requeue runs whose jobs were lost (R5).

Each run is queued separately, so that a failure does not block other runs.
"""

import asyncio
import logging
from datetime import datetime, timedelta
from typing import Final

from countersign import metrics
from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import RequestId, RunId
from countersign.domain.runs import Status
from countersign.metrics import Repair
from countersign.usecases.ports import Queue, Store

LOST_AFTER: Final = timedelta(seconds=10)
"""Time without a worker, or since the decision on a parked run's question, after which a run's job counts as lost.
Longer than the pause between two announcements of a worker."""
LOOKED_FOR_EVERY: Final = timedelta(seconds=5)
_LOOKS_TO_SEARCH: Final = 720
"""Rounds between two searches for lost questions of parked runs: an hour. Each page of a search takes one round."""
_MOST: Final = 10_000
log = logging.getLogger(__name__)


class Unheld:
    """Active runs that no worker announces, with the time of that finding."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._since: dict[RunId, datetime] = {}

    async def since(self, span: timedelta) -> list[RunId]:
        """Find runs that no worker has held for this span or longer.

        StoreUnavailable if the store is away.
        """
        active, held = await self._store.indexes.active(_MOST), await self._store.workers.held()
        now = await self._store.now()
        self._since = {run: self._since.get(run, now) for run in active if run not in held}
        return [run for run, since in self._since.items() if now - since >= span]

    def asked(self, run: RunId) -> None:
        """Restart the run's span, because the run was queued again."""
        self._since.pop(run, None)


async def keep(store: Store, queue: Queue, every: timedelta = LOOKED_FOR_EVERY) -> None:
    """Requeue runs whose job was lost, at intervals, until cancelled."""
    unheld, page, looks = Unheld(store), 0, 0
    while True:
        try:
            await ask_again(store, queue, unheld)
            if page or looks % _LOOKS_TO_SEARCH == 0:
                page = await ask_for_forgotten(store, queue, page)
            looks += 1
        except StoreUnavailable as away:
            log.warning("The search for lost jobs failed: %s", away)
        except Exception:
            log.exception("The search for lost jobs failed; trying again later.")
        await asyncio.sleep(every.total_seconds())


async def ask_again(store: Store, queue: Queue, unheld: Unheld, unheard: timedelta = LOST_AFTER) -> None:
    """Requeue every run that no worker has held for the time `unheard`.

    A parked run is queued only if it has a decision, and only once `unheard` has passed since then, to leave its own
    job time to arrive. StoreUnavailable if the store is away.
    """
    for name in await unheld.since(unheard):
        if name.of_script:
            continue
        metrics.repaired(Repair.JOB_LOST)
        log.warning("No worker advances run %s; queuing it again.", name)
        await _ask(store, queue, name)
        unheld.asked(name)
    undelivered = await store.indexes.undelivered(_MOST, unheard)
    runs = await store.readable_runs(list({request.run for request in undelivered}))
    for request in undelivered:
        run = runs.get(request.run)
        if run is None or run.status is not Status.PARKED or run.id.of_script:
            continue
        metrics.repaired(Repair.UNDELIVERED)
        log.warning("Run %s has a decision (request %s) but no job; queuing it again.", run.id, request.id)
        await _ask(store, queue, run.id, request.id)


async def ask_for_forgotten(store: Store, queue: Queue, start: int = 0) -> int:
    """Requeue each parked run of a page whose question is gone from Redis.

    Returns the start of the next page, 0 after the last one, so a round takes the same time however many runs are
    parked.
    """
    names, following = await store.indexes.forgotten(start)
    for name in names:
        if name.of_script:
            continue
        metrics.repaired(Repair.QUESTION_LOST)
        log.warning("Run %s is parked for a question that is gone from Redis; queuing it again.", name)
        await _ask(store, queue, name)
    return following


async def _ask(store: Store, queue: Queue, run: RunId, signal: RequestId | None = None) -> None:
    try:
        await queue.advance(run, signal=signal)
    except StoreUnavailable as refused:
        await store.now()  # raises if the store is away, and then the other runs need not be tried
        log.error("Run %s cannot be queued; the others are. %s", run, refused)
