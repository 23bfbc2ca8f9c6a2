"""Tell the requester that nobody is left who may decide (R10, R21).

This is about requests that wait without a deadline.

A group may be deleted, or a reviewer leave, long after a question was asked. One with a deadline ends by itself and is
told; one that waits until somebody decides would wait in silence. Its run's thread says so, once.
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
"""Waiting requests of one look."""
_log = logging.getLogger(__name__)


async def keep(store: Store, directory: Directory, poster: Poster) -> None:
    """Look for such requests every hour, until cancelled. Any number of processes may."""
    while True:
        try:
            await look(store, directory, poster)
        except CountersignError as wrong:
            _log.warning("Not all that waits was looked at for who may decide; in an hour again. %s", wrong)
        await asyncio.sleep(EVERY.total_seconds())


async def look(store: Store, directory: Directory, poster: Poster) -> None:
    """Tell of all requests that nobody can decide any more, as Slack says now.

    An error about one of them, as of its own run's record, keeps nobody from the others.
    """
    for waiting in await store.indexes.waiting(_LOOKED_AT):
        if waiting.deadline is not None:
            continue
        try:
            await _look_at(store, directory, poster, waiting.id)
        except StoreUnavailable:
            raise
        except CountersignError as wrong:
            _log.error("Nobody knows whether somebody is left to decide on request %s: %s", waiting.id, wrong)


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
            "Nobody is left to decide on request %s, and its run's thread cannot be told: %s", request.id, refused
        )
