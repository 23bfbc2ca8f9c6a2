"""Post the audit record's head once a day and a digest once a week.

With the heads in Slack, nobody can change earlier entries unnoticed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Protocol, TypeVar

from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.hash_chain import Head
from countersign.domain.ids import ChannelId, RequestId, RunId
from countersign.usecases.ports import Store

from ..ports import CannotPost
from ..views.audit_posts import PICTURE_TITLE, Week, daily_checkpoint, weekly_digest
from .card_grouping import stored_message
from .file_uploads import Files
from .message_sync import File, Place, Poster

CHECKPOINT_EVERY: Final = timedelta(minutes=1)
SOON: Final = timedelta(seconds=1)
"""Pause before the next check while the record has no entry yet."""
DIGEST_EVERY: Final = timedelta(minutes=10)
_WEEK: Final = timedelta(weeks=1)
_log = logging.getLogger(__name__)
W = TypeVar("W", bound=Week)
Sums = Callable[[datetime, datetime], Awaitable[W | None]]
"""Returns the figures of a period; None while the record does not cover all of it."""
Picture = Callable[[W], Awaitable[bytes | None]]
Sleep = Callable[[float], Awaitable[None]]


class Heads(Protocol):
    """Source of a day's head: the first answer for a day never changes."""

    async def head_of(self, day: date) -> Head | None: ...


async def keep_checkpoints(
    heads: Heads, store: Store, poster: Poster, channel: ChannelId, *, sleep: Sleep = asyncio.sleep
) -> None:
    """Post the head as each day begins, until cancelled."""

    async def look(now: datetime) -> timedelta:
        return CHECKPOINT_EVERY if await post_checkpoint(heads, poster, channel, now) else SOON

    await _keep("The head of the record", store, channel, look, CHECKPOINT_EVERY, sleep)


async def post_checkpoint(heads: Heads, poster: Poster, channel: ChannelId, now: datetime) -> bool:
    """Post the head of this day (UTC) once; False while the record is empty."""
    day = now.date()
    head = await heads.head_of(day)
    if head is None:
        return False
    await poster.show(f"audit-head/{day.isoformat()}", Place(channel), daily_checkpoint(head, day))
    return True


async def keep_digests(sums: Sums[W], picture: Picture[W], store: Store, poster: Poster, channel: ChannelId) -> None:
    """Post the digest as each week begins (UTC), until cancelled."""
    posted: datetime | None = None

    async def look(now: datetime) -> timedelta:
        nonlocal posted
        monday = week_before(now)
        if monday != posted and await post_digest(sums, picture, store, poster, channel, monday):
            posted = monday
        return DIGEST_EVERY

    await _keep("The weekly digest", store, channel, look, DIGEST_EVERY, asyncio.sleep)


def week_before(now: datetime) -> datetime:
    """Return the Monday on which the last full week began."""
    today = now.astimezone(UTC).date()
    return datetime.combine(today - timedelta(days=today.weekday()), time(), UTC) - _WEEK


async def post_digest(
    sums: Sums[W], picture: Picture[W], store: Store, poster: Poster, channel: ChannelId, monday: datetime
) -> bool:
    """Post the digest of the week from that Monday once, with its picture.

    Nothing is posted for a week without requests. False while the record does not cover the whole week.
    """
    name = f"digest/{monday:%Y-%m-%d}"
    if await poster.first_standing(name):
        return True
    figures = await sums(monday, monday + _WEEK)
    if figures is None:
        return False
    if not figures.asked and not figures.passed:
        return True
    links = {key: await _link(store, poster, request) for key, request in figures.last.items()}
    message = await poster.show(name, Place(channel), weekly_digest(figures, monday, links))
    try:
        content = await picture(figures)
    except Exception:  # from the plotting library: a picture must not stop the record or `web` (R36)
        _log.exception("The picture of the weekly digest cannot be drawn.")
        return True
    if message is not None and content is not None:
        filename = f"week-{monday:%Y-%m-%d}.png"
        file = File(f"{name}/picture", Place(channel, message.ts), filename, content, PICTURE_TITLE)
        await Files(poster, store).attach(file)
    return True


async def _keep(
    subject: str,
    store: Store,
    channel: ChannelId,
    look: Callable[[datetime], Awaitable[timedelta]],
    pause: timedelta,
    sleep: Sleep,
) -> None:
    """Check for due posts, and again after the pause that `look` returns."""
    while True:
        after = pause
        try:
            after = await look(await store.now())
        except StoreUnavailable as away:
            _log.warning("%s %s will be posted when the store is back.", away, subject)
        except CannotPost as refused:
            _log.error("Slack refuses to post in %s (%s): %s.", channel, refused, subject)
        except (CountersignError, ValueError) as damaged:
            _log.error("%s cannot be posted: %s", subject, damaged)
        await sleep(after.total_seconds())


async def _link(store: Store, poster: Poster, name: str) -> str:
    """Return the address of the request's card, or of the run's thread, or ""."""
    request, run = RequestId.named(name), RunId.named(name)
    message = await stored_message(store, request) if request is not None else None
    if message is None and run is not None:
        message = await store.message(f"run/{run}")
    return poster.link(message.value) if message is not None and message.value.ts else ""
