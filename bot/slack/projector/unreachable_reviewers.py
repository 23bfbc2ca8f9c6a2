"""Notify the requester that nobody is left who may decide (R10, R21).

A group may be deleted, or a reviewer may leave, long after a question was asked. A request with a deadline expires, and
its requester is notified. A request without a deadline would wait in silence, so a note in its run's thread says once
that nobody can decide.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request, Status
from countersign.usecases.ports import Store

from ..people import account_check
from ..people.users_and_groups import Directory
from ..ports import CannotPost
from ..views.thread_notes import nobody_left_note
from .message_sync import Place, Poster
from .run_thread import root_of

EVERY: Final = timedelta(hours=1)
_LOOKED_AT: Final = 1000
"""Largest number of pending requests that one round checks."""
_log = logging.getLogger(__name__)


async def keep(store: Store, directory: Directory, poster: Poster) -> None:
    """Look for such requests every hour, until cancelled; safe in several processes."""
    while True:
        try:
            await look(store, directory, poster)
        except CountersignError as wrong:
            _log.warning("Not all pending requests were checked for reviewers; trying again in an hour. %s", wrong)
        await asyncio.sleep(EVERY.total_seconds())


async def look(store: Store, directory: Directory, poster: Poster) -> None:
    """Post a note for each request that nobody can decide any more.

    An error about one request, such as a damaged run, does not stop the others.
    """
    for waiting in await store.indexes.waiting(_LOOKED_AT):
        if waiting.deadline is not None:
            continue
        try:
            await _look_at(store, directory, poster, waiting.id)
        except StoreUnavailable:
            raise
        except CountersignError as wrong:
            _log.error("Could not check whether anybody is left to decide on request %s: %s", waiting.id, wrong)


async def _look_at(store: Store, directory: Directory, poster: Poster, name: RequestId) -> None:
    seen = await store.request(name)
    if seen is None or seen.value.status is not Status.PENDING or seen.value.deadline is not None:
        return
    if (why := await account_check.why_nobody_could(directory, seen.value)) is not None:
        await _tell(poster, seen.value, why)


async def _tell(poster: Poster, request: Request, why: str) -> None:
    root = await root_of(poster, request.run)
    if root is None:
        return
    try:
        note = nobody_left_note(request, why)
        await poster.show(f"deserted/{request.id}", Place(root.channel, root.ts), note, request=request.id)
    except CannotPost as refused:
        _log.error(
            "Nobody is left to decide on request %s, and its run's thread does not take the note: %s",
            request.id,
            refused,
        )
