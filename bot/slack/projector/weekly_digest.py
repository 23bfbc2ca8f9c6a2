"""Post a digest of each week: what could be asked less, and what waited."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time, timedelta
from typing import Final, TypeVar

from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.ids import ChannelId, RequestId, RunId
from countersign.usecases.ports import Store

from ..ports import CannotPost
from ..views.weekly_digest import PICTURE_TITLE, Week, digest
from .file_uploads import Files
from .message_sync import File, Place, Poster

LOOK_EVERY: Final = timedelta(minutes=10)
_WEEK: Final = timedelta(weeks=1)
_log = logging.getLogger(__name__)
W = TypeVar("W", bound=Week)
Sums = Callable[[datetime, datetime], Awaitable[W | None]]
"""The figures of a span; None while the record does not have all of it."""
Picture = Callable[[W], Awaitable[bytes | None]]


async def keep(sums: Sums[W], picture: Picture[W], store: Store, poster: Poster, channel: ChannelId) -> None:
    """Post the digest as each week begins (UTC), until cancelled."""
    done: datetime | None = None
    while True:
        try:
            monday = week_before(await store.now())
            if monday != done and await post(sums, picture, store, poster, channel, monday):
                done = monday
        except StoreUnavailable as away:
            _log.warning("%s The weekly digest is posted when it is back.", away)
        except CannotPost as refused:
            _log.error("Slack refuses the weekly digest in %s (%s).", channel, refused)
        except (CountersignError, ValueError) as damaged:
            _log.error("The weekly digest cannot be posted: %s", damaged)
        await asyncio.sleep(LOOK_EVERY.total_seconds())


def week_before(now: datetime) -> datetime:
    """Return the Monday on which the last full week began."""
    today = now.astimezone(UTC).date()
    return datetime.combine(today - timedelta(days=today.weekday()), time(), UTC) - _WEEK


async def post(
    sums: Sums[W], picture: Picture[W], store: Store, poster: Poster, channel: ChannelId, monday: datetime
) -> bool:
    """Post the digest of the week from that Monday once, with its picture.

    Of a week without requests nothing is posted. False while the record does not have the whole week.
    """
    name = f"digest/{monday:%Y-%m-%d}"
    seen = await store.message(name)
    if seen is not None and seen.value.ts:
        return True
    figures = await sums(monday, monday + _WEEK)
    if figures is None:
        return False
    if not figures.asked and not figures.passed:
        return True
    links = {key: await _link(store, poster, request) for key, request in figures.last.items()}
    message = await poster.show(name, Place(channel), digest(figures, monday, links))
    try:
        drawn = await picture(figures)
    except Exception:  # of the library that plots: no picture is worth the record, or `web` (R36)
        _log.exception("The picture of the weekly digest cannot be drawn.")
        return True
    if message is not None and drawn is not None:
        week = f"{monday:%Y-%m-%d}"
        file = File(f"{name}/picture", Place(channel, message.ts), f"week-{week}.png", drawn, PICTURE_TITLE)
        await Files(poster, store).attach(file)
    return True


async def _link(store: Store, poster: Poster, name: str) -> str:
    """Return the address of the request's card, or of the run's thread, or ""."""
    request, run = RequestId.named(name), RunId.named(name)
    card = await store.message(f"card/{request}") if request is not None else None
    if card is None and run is not None:
        card = await store.message(f"run/{run}")
    if card is not None and card.value.on:
        card = await store.message(card.value.on)
    return poster.link(card.value) if card is not None and card.value.ts else ""
