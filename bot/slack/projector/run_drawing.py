"""Draw a run from the store: its thread, its requests' cards and notes, its outcome.

Whatever happened, the run's own messages are drawn from its state; `REDRAWS` says after which events a request's are.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final

from countersign import usecases
from countersign.domain.events import REQUEST_CHANGED, Event, EventType
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import How, Status
from countersign.domain.runs import Run
from countersign.usecases.ports import Message, Store

from ..slack_calls import CannotPost
from ..views import thread_notes
from . import card_drawing, card_placement
from .card_drawing import RunThread
from .file_uploads import File, missing
from .message_sync import Place, Poster

_LATE: Final = timedelta(seconds=10)
"""A card that was settled so long ago shows nothing to click on, unless a killed process drew over it as it woke up."""
_log = logging.getLogger(__name__)


async def draw(
    store: Store, poster: Poster, run_id: RunId, events: Sequence[Event], doubted: set[RequestId]
) -> list[File]:
    """Make Slack show the run as it is now; returns the files that belong to it.

    `doubted`: the requests whose cards were sent anew for these events already.
    """
    seen = await store.run(run_id)
    if seen is None:
        _log.warning("Events tell of run %s, which is not known any more.", run_id)
        return []
    run = seen.value
    thread = RunThread(store, poster, run, await _root(poster, run))
    newest = {(event.request, event.type): event for event in events}
    changed = [
        request
        for (request, kind), event in newest.items()
        if request and kind in REDRAWS and await REDRAWS[kind](store, poster, event, doubted)
    ]
    await card_placement.seat(store, run, changed)
    if run.progress or run.writing:
        await thread.note(f"progress/{run.id}", thread_notes.progress_note(run))
    files: list[File] = []
    for request in dict.fromkeys(changed):
        files += await _draw_request(thread, request)
    if run.over:
        files += await _draw_outcome(thread)
    return files


async def _always(store: Store, poster: Poster, event: Event, doubted: set[RequestId]) -> bool:
    return True


async def _if_late(store: Store, poster: Poster, event: Event, doubted: set[RequestId]) -> bool:
    """Return whether somebody still found a button for what was settled long before: its card is sent anew."""
    seen = await store.request(event.request) if event.request is not None else None
    decision = seen.value.decision if seen else None
    if seen is None or decision is None or event.at - decision.at < _LATE:
        return False
    sheet = await card_placement.sheet_of(store, seen.value)
    if seen.value.id not in doubted:
        for name in (sheet.name, f"{sheet.name}/instead"):
            await poster.doubt(name)
        doubted.add(seen.value.id)
    return True


REDRAWS: Final[Mapping[EventType, Callable[[Store, Poster, Event, set[RequestId]], Awaitable[bool]]]] = {
    **dict.fromkeys(REQUEST_CHANGED, _always),
    EventType.ATTEMPT_REFUSED: _if_late,
}
"""Event -> whether the card of its request is drawn. After others only the run's own messages are."""


async def _root(poster: Poster, run: Run) -> Message:
    """The message in the requester's channel that the run's thread hangs on; a direct message if need be."""
    name, drawing = f"run/{run.id}", thread_notes.run_message(run)
    try:
        root = await poster.show(name, Place(run.channel), drawing)
    except CannotPost as refused:
        _log.error("Run %s cannot be shown in %s (%s); telling the requester directly.", run.id, run.channel, refused)
        root = await poster.show(f"{name}/direct", Place(run.requester), drawing)
    assert root is not None, "a message that is to be posted is posted or refused"
    return root


async def _draw_request(thread: RunThread, request_id: RequestId) -> list[File]:
    """Draw the request's card, and the notes in the requester's thread that tell of it."""
    seen = await usecases.admitted(thread.store, request_id)
    if seen is None:
        return []
    request, poster = seen.value, thread.poster
    sheet = await card_placement.sheet_of(thread.store, request)
    first, more, row = sheet.rows[0], len(sheet.rows) - 1, card_placement.number_of(request, sheet.rows)
    card, files = await card_drawing.draw(thread, sheet, request, seen.claim)
    if card is not None:
        # Of a settled request only if it stands already, and perhaps nobody has written down where.
        waiting = thread_notes.waiting_note(first, poster.link(card), more)
        await thread.note(f"waiting/{first.id}", waiting, request=first.id, post=sheet.pending)
    if card is not None and request.decision is not None and request.decision.how is How.BREAK_GLASS:
        below = Place(card.channel, card.thread or card.ts)
        await poster.show(f"glass/{request.id}", below, thread_notes.break_glass_note(request, row))
    if request.status is not Status.PENDING:
        await thread.note(f"decided/{request.id}", thread_notes.decided_note(request, row), request=request.id)
    return files


async def _draw_outcome(thread: RunThread) -> list[File]:
    """Tell how the run ended; its words are a file if they are too long."""
    run, files = thread.run, []
    if (whole := thread_notes.outcome_file(run)) is not None:
        files.append(File(f"outcome-file/{run.id}", thread.place, *whole, "All of the final words"))
    filed = not await missing(thread.store, [file.name for file in files])
    await thread.note(f"outcome/{run.id}", thread_notes.outcome_note(run, filed=filed))
    return files
