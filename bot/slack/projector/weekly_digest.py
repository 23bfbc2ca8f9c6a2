"""Post a digest of each week: what could be asked less, and what waited."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, time, timedelta
from typing import Final

from countersign.domain.call_words import in_words
from countersign.domain.errors import StoreUnavailable
from countersign.domain.events import EventType
from countersign.domain.ids import ChannelId, RequestId, RunId
from countersign.domain.requests import How
from countersign.usecases.ports import Store

from ...audit.figures import Figures
from ...audit.spans import span
from ..ports import CannotPost
from ..views.block_kit import Drawing, words
from ..views.slack_markup import escape, link
from .file_uploads import Files
from .message_sync import File, Place, Poster

LOOK_EVERY: Final = timedelta(minutes=10)
LEAST: Final = 10
"""Approvals in the week of what could be asked less."""
_MOST: Final = 5
_WEEK: Final = timedelta(weeks=1)
_log = logging.getLogger(__name__)
Sums = Callable[[datetime, datetime], Awaitable[Figures | None]]
"""The figures of a span; None while the record does not have all of it."""
Picture = Callable[[Figures], Awaitable[bytes | None]]


async def keep(sums: Sums, picture: Picture, store: Store, poster: Poster, channel: ChannelId) -> None:
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
        await asyncio.sleep(LOOK_EVERY.total_seconds())


def week_before(now: datetime) -> datetime:
    """Return the Monday on which the last full week began."""
    today = now.astimezone(UTC).date()
    return datetime.combine(today - timedelta(days=today.weekday()), time(), UTC) - _WEEK


async def post(
    sums: Sums, picture: Picture, store: Store, poster: Poster, channel: ChannelId, monday: datetime
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
    message = await poster.show(name, Place(channel), drawing(figures, monday, links))
    drawn = await picture(figures)
    if message is not None and drawn is not None:
        week = f"{monday:%Y-%m-%d}"
        file = File(f"{name}/picture", Place(channel, message.ts), f"week-{week}.png", drawn, "Decisions of the week")
        await Files(poster, store).attach(file)
    return True


async def _link(store: Store, poster: Poster, name: str) -> str:
    """Return the address of the request's card, or of the run's thread; "" if it is not known any more."""
    request, run = RequestId.named(name), RunId.named(name)
    card = await store.message(f"card/{request}") if request is not None else None
    if card is None and run is not None:
        card = await store.message(f"run/{run}")
    if card is not None and card.value.on:
        card = await store.message(card.value.on)
    return poster.link(card.value) if card is not None and card.value.ts else ""


def drawing(figures: Figures, monday: datetime, links: dict[str, str]) -> Drawing:
    """Draw the digest.

    `links` lead to the card of the last such request, or to the thread of its run.
    """

    def linked(text: str, key: str) -> str:
        return link(links[key], text) if links.get(key) else text

    sunday = monday + _WEEK - timedelta(days=1)
    title = f"Approvals, {monday:%-d %B} to {sunday:%-d %B}"
    decided = linked(_many(figures.decided, "decision"), How.REVIEWERS)
    asked = linked(_many(figures.asked, "request"), EventType.REQUEST_ASKED)
    lines = [f"*{asked}*, {decided}."]
    if figures.waits.count:
        median, most = span(figures.waits.quantile(0.5)), span(figures.waits.quantile(0.95))
        lines.append(f"*Time to decision:* half within {median}, 95 % within {most}.")
    if figures.timeouts:
        lines.append(f"*Timed out:* {linked(_many(figures.timeouts, 'request'), How.TIMEOUT)}.")
    if figures.passed:
        calls = linked(_many(figures.passed.total(), "call"), EventType.CALL_PASSED)
        rules = ", ".join(
            f"{escape(rule or 'the team’s own code')} ({count:,})"
            for (rule, _), count in figures.passed.most_common(_MOST)
        )
        lines.append(f"*Allowed automatically:* {calls}: {rules}.")
    if rare := figures.always_approved(LEAST)[:_MOST]:
        tools = ", ".join(f"{linked(escape(in_words(name)), name)} ({count} times)" for name, count in rare)
        lines.append(
            f"*Could be asked less:* {tools}. Always approved, low risk. "
            "`countersign policy suggest` proposes rules to review."
        )
    return Drawing(f"{title}: {_many(figures.asked, 'request')}", [words(f"*{title}*"), words("\n".join(lines))])


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
