"""Reports of workers, which `web` takes over into the events.

Workers cannot write events. Every commit of web takes their reports over first, so that an earlier report stands
before; `take_over` does so when web has nothing to commit.
"""

import asyncio
import logging
from typing import Final

from countersign.domain.errors import StoreUnavailable, UnknownSchema
from countersign.domain.events import Event, EventType
from countersign.store.codec import from_ms
from countersign.store.ownership import EVENTS
from countersign.store.reads import reaching
from countersign.store.store import Store
from countersign.usecases import worker_claims
from countersign.usecases.ports import Change

BREATH: Final = 0.02
"""Seconds from the first new event until its readers begin: what follows at once comes with it, and whoever decided, or
waited for the decision, is answered first."""
_BLOCK: Final = 1
"""Seconds."""
_log = logging.getLogger(__name__)


async def take_over(store: Store) -> None:
    """Take workers' reports over into the events as they come, until cancelled.

    Any number of processes may do so.
    """
    while True:
        try:
            async with reaching():
                # Moves the first one to where it is: the only way to wait for it and leave it there.
                waiting = await store.client.blmove(store.keys.reports, store.keys.reports, _BLOCK, "LEFT", "LEFT")
            if waiting:
                await store.commit(Change())
            await store.put_away(1000)
        except StoreUnavailable as away:
            _log.warning("%s Reports of workers are taken over when it is back.", away)
            await asyncio.sleep(1)


def read_event(fields: dict[bytes, bytes], entry: bytes = b"0-0") -> Event:
    """Read an entry of the stream; of a worker's report only what a worker may report."""
    if fields.get(b"by") != b"agents":
        return EVENTS.load(fields[b"event"])
    try:
        report = EVENTS.load(fields[b"event"])
    except UnknownSchema:
        at = from_ms(int(entry.split(b"-")[0]))
        event = Event(EventType.REPORT_REFUSED, at, data={"claimed": "something that cannot be read"})
    else:
        event = worker_claims.reported(report)
    if event.type is EventType.REPORT_REFUSED:
        _log.error("A worker reported what only people and web can do; it does not count: %s.", event.data)
    return event
