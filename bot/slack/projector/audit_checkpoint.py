"""Post the head of the record once a day.

Nobody can change earlier entries without many people noticing.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import date, datetime, timedelta
from typing import Final, Protocol

from countersign.domain.errors import StoreUnavailable
from countersign.domain.hash_chain import Head
from countersign.domain.ids import ChannelId
from countersign.usecases.ports import Store

from ..ports import CannotPost
from ..views.record_notices import checkpoint
from .message_sync import Place, Poster

LOOK_EVERY: Final = timedelta(minutes=1)
SOON: Final = timedelta(seconds=1)
"""The next look while the record has no entry yet."""
_log = logging.getLogger(__name__)


class Heads(Protocol):
    """Source of the head of a day: always the same one, once it was asked for."""

    async def head_of(self, day: date) -> Head | None: ...


async def keep(
    heads: Heads,
    store: Store,
    poster: Poster,
    channel: ChannelId,
    *,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Post the head as each day begins, until cancelled."""
    while True:
        pause = LOOK_EVERY
        try:
            if not await post(heads, poster, channel, await store.now()):
                pause = SOON
        except StoreUnavailable as away:
            _log.warning("%s The head of the record is posted when it is back.", away)
        except ValueError as damaged:
            _log.error("The head of the record cannot be posted: %s", damaged)
        except CannotPost as refused:
            _log.error("Slack refuses the head of the record in %s (%s).", channel, refused)
        await sleep(pause.total_seconds())


async def post(heads: Heads, poster: Poster, channel: ChannelId, now: datetime) -> bool:
    """Post the head of this day (UTC) once; False while the record is empty."""
    day = now.date()
    head = await heads.head_of(day)
    if head is None:
        return False
    await poster.show(f"audit-head/{day.isoformat()}", Place(channel), checkpoint(head, day))
    return True
