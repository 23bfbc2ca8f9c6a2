"""End requests of programs that will not get an outcome.

These are requests that were not approved, and approved requests without a report for REPORTED_WITHIN.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from countersign.domain import runs
from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.ids import RequestId
from countersign.domain.request_endings import may_act
from countersign.domain.requests import Request
from countersign.usecases.executions import end
from countersign.usecases.found_requests import ProgramRequest
from countersign.usecases.ports import Store

REPORTED_WITHIN: Final = timedelta(days=1)
"""Time after the decision in which a program may report. Then the request ends with an unknown outcome, which the
program may still report."""
NOTHING_REPORTED: Final = "No outcome was reported."
NOTHING_TO_REPORT: Final = "Nothing was approved, so there is no outcome."
PAGE: Final = 1000
"""Number of requests that are read at once."""
_EVERY: Final = 60.0
_log = logging.getLogger(__name__)


async def keep(store: Store) -> None:
    """End these requests when due, until cancelled."""
    while True:
        try:
            await end_all(store)
        except StoreUnavailable as away:
            _log.warning("%s Requests of programs will end later.", away)
        await asyncio.sleep(_EVERY)


async def end_all(store: Store, within: timedelta = REPORTED_WITHIN) -> None:
    """End all requests that are due.

    Requests that do not belong in the index leave it; an unreadable or undecided request does not hide others.
    """
    start = 0
    while names := await store.indexes.unreported(PAGE, start):
        start += len(names) - await _end_page(store, names, within)


async def _end_page(store: Store, names: Sequence[RequestId], within: timedelta) -> int:
    """End the due ones of these requests; return how many have left the index."""
    readable = await store.readable(names)
    requests = [request for request in readable.values() if request is not None and request.run.of_program]
    runs_of = await store.readable_runs(list({request.run for request in requests}))
    before = await store.now() - within
    known, ended = {request.id for request in requests}, 0
    strays = [name for name in readable if name not in known]
    for request in requests:
        if request.run not in runs_of:
            continue
        run = runs_of[request.run]
        if run is None or run.over:
            strays.append(request.id)
        elif (words := _ended_by(request, before)) is not None:
            ended += await _ended(store, ProgramRequest(run, request), words)
    await store.indexes.forget_unreported(strays)
    return ended + len(strays)


def _ended_by(request: Request, before: datetime) -> str | None:
    """Return why the request awaits no outcome; None if it does, or is undecided."""
    if request.decision is None:
        return None
    if not may_act(request):
        return NOTHING_TO_REPORT
    return NOTHING_REPORTED if request.decision.at <= before else None


async def _ended(store: Store, target: ProgramRequest, words: str) -> bool:
    """End the request and tell whether that succeeded; a failure affects no other."""
    try:
        await end(store, target, runs.Verb.FINISH, words, ended_as=runs.UNREPORTED)
    except StoreUnavailable:
        raise
    except CountersignError as wrong:
        _log.error("Request %s of a program cannot be ended; the others are. %s", target.request.id, wrong)
        return False
    return True
