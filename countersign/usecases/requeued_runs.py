"""Ask again for runs whose jobs were lost (R5).

Each is asked for by itself, so that a failure holds up no other run.
"""

import logging
from collections.abc import Set
from datetime import timedelta

from countersign import metrics
from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import RequestId, RunId
from countersign.domain.runs import Status
from countersign.metrics import Repair
from countersign.usecases.ports import Queue, Store

log = logging.getLogger(__name__)


async def ask_again(
    store: Store, queue: Queue, in_hand: Set[RunId], unheard: timedelta, *, starting: bool = False
) -> None:
    """Ask for every run that no worker has held for the time `unheard`.

    `starting`: ask for those that nobody holds now. A parked run is asked for only if it has a decision, and only the
    time `unheard` after that, because its own job comes meanwhile. StoreUnavailable if the store is away.
    """
    for name in set(await store.indexes.unheld(10_000, timedelta(0) if starting else unheard)) - in_hand:
        if name.of_script:
            continue
        if not starting:
            metrics.repaired(Repair.JOB_LOST)
            log.warning("Run %s is advanced by nobody; asking.", name)
        await _ask(store, queue, name)
    await store.put_away(1000)
    undelivered = await store.indexes.undelivered(10_000, unheard)
    runs = await store.readable_runs(list({request.run for request in undelivered}))
    for request in undelivered:
        run = runs.get(request.run)
        if run is None or run.status is not Status.PARKED or run.id.of_script or run.id in in_hand:
            continue
        metrics.repaired(Repair.UNDELIVERED)
        log.warning("Run %s was decided (request %s) and not asked for; asking.", run.id, request.id)
        await _ask(store, queue, run.id, request.id)


async def ask_for_forgotten(store: Store, queue: Queue, start: int = 0) -> int:
    """Ask for each parked run of a page whose question Redis does not have any more.

    Returns the start of the next page, 0 after the last one, so a look takes no longer however many are parked.
    """
    names, following = await store.indexes.forgotten(start)
    for name in names:
        if name.of_script:
            continue
        metrics.repaired(Repair.QUESTION_LOST)
        log.warning("Run %s is parked for a question that Redis does not have any more; asking.", name)
        await _ask(store, queue, name)
    return following


async def _ask(store: Store, queue: Queue, run: RunId, signal: RequestId | None = None) -> None:
    try:
        await queue.advance(run, signal=signal)
    except StoreUnavailable as refused:
        await store.now()  # raises if the store is away: then the others need not be tried
        log.error("Run %s cannot be asked for; the others are. %s", run, refused)
