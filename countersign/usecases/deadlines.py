"""Keep deadlines, reminders and escalations to the second.

The loop sleeps until the next deadline and handles due requests, 100 at once. Any number of processes may do this in
parallel; for each request, the store lets one of them win. The server's clock refuses a late click even if no loop has
settled the request yet.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal, Protocol

from countersign import usecases
from countersign.domain import schedule
from countersign.domain.errors import CountersignError, StoreUnavailable, UnknownSchema
from countersign.domain.ids import RequestId
from countersign.usecases.decisions import CardCheck
from countersign.usecases.ports import Message, Queue, Store

_BATCH: Final = 100
_LONGEST_SLEEP: Final = timedelta(seconds=15)
_AT_WORK: Final = timedelta(minutes=1)
"""A request settled this long after the index was read, or longer, was not settled by that round."""
UNREADABLE_AGAIN: Final = timedelta(minutes=5)
"""Pause before an unreadable request is tried again; a `web` that can read it is late by no more."""
LOOKS: Final = 120
"""Number of times that Slack is asked whether a card is visible before silence approves. Without a clear answer, they
take two to five minutes."""
_log = logging.getLogger(__name__)


class Hints(Protocol):
    """Hints of new deadlines and other scheduled steps."""

    due: asyncio.Event


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Fate of a name in the index; `look_again` is None if it is not read again."""

    fate: Literal["done", "left", "settled", "unknown", "unreadable", "early"]
    look_again: datetime | None = None


async def keep(store: Store, queue: Queue, hints: Hints, card_check: CardCheck | None = None) -> None:
    """Settle, remind and escalate when due, until cancelled.

    Without `card_check` silence approves nothing.
    """
    card_check = card_check and bounded(card_check)
    start = 0
    while True:
        hints.due.clear()
        try:
            due, following, now = await store.indexes.due(_BATCH, start)
            # In parallel: each waits for Redis a few times, and one after another they would all be late.
            settling = (_settle_due(store, queue, request, now, card_check) for request in due)
            outcomes = dict(zip(due, await asyncio.gather(*settling, return_exceptions=True), strict=True))
            for problem in outcomes.values():
                if isinstance(problem, BaseException):
                    raise problem
            seen = {name: outcome for name, outcome in outcomes.items() if isinstance(outcome, _Outcome)}
            left = [name for name, outcome in seen.items() if outcome.fate != "done"]
            if left:
                left = await _tidy(store, seen, now)
        except StoreUnavailable as away:
            _log.warning("%s Deadlines will be handled when it is back.", away)
            await asyncio.sleep(1)
            continue
        if len(due) == _BATCH:  # after requests that only another process can settle, there may be some for this one
            start += len(left)
            continue
        waiting, start = start + len(left), 0
        if waiting:
            await asyncio.sleep(1)
            continue
        if due:
            continue
        sleep = min(_LONGEST_SLEEP, following - now) if following else _LONGEST_SLEEP
        try:
            async with asyncio.timeout(sleep.total_seconds()):
                await hints.due.wait()
        except TimeoutError:
            pass


async def _tidy(store: Store, outcomes: Mapping[RequestId, _Outcome], now: datetime) -> list[RequestId]:
    """Correct the index; return the due names that remain."""

    def those(fate: str) -> list[RequestId]:
        return [name for name, outcome in outcomes.items() if outcome.fate == fate]

    if unreadable := those("unreadable"):
        shown = ", ".join(ascii(name)[:80] for name in unreadable[:3])
        _log.error(
            "Requests that are due and cannot be read: %d (%s …). They were left as they are, and are looked at again "
            "in %s.",
            len(unreadable),
            shown,
            UNREADABLE_AGAIN,
        )
    due = {name: outcome.look_again for name, outcome in outcomes.items() if outcome.fate == "early"}
    due |= dict.fromkeys(unreadable, now + UNREADABLE_AGAIN)
    await store.indexes.tidy(due, those("settled"), those("unknown"))
    return those("left")


def bounded(card_check: CardCheck, looks: int = LOOKS) -> CardCheck:
    """Limit `card_check`: after `looks` unclear answers a card counts as gone (R32)."""
    left: dict[str, int] = {}

    async def look(card: Message) -> bool | None:
        there = await card_check(card)
        if there is None and (more := left.get(card.name, looks) - 1):
            left[card.name] = more
            return None
        left.pop(card.name, None)
        if there is None:
            _log.warning(
                "Slack did not say whether %s stands, asked %d times: silence does not approve it.", card.name, looks
            )
        return bool(there)

    return look


async def _settle_due(
    store: Store, queue: Queue, request: RequestId, now: datetime, card_check: CardCheck | None = None
) -> _Outcome:
    """Settle, remind or escalate one request, if that is due."""
    try:
        after = await usecases.catch_up(store, queue, request, card_check)
        if after is None:
            return _Outcome("unknown")
        if after.decision is not None and not now <= after.decision.at < now + _AT_WORK:
            return _Outcome("settled")  # the index is wrong, or another process settled it at this moment
        late = after.decision.at - after.deadline if after.decision and after.deadline else None
        if late is not None and late > schedule.LATE:
            seconds = late.total_seconds()
            _log.warning("Request %s was due %d s ago, while no process ran; settled now.", request, seconds)
        if after.decision is not None:
            return _Outcome("done")
        following = schedule.next_step(after)
        if following is None or following.at > now:
            return _Outcome("early", following and following.at)
        return _Outcome("left")
    except StoreUnavailable:
        raise
    except UnknownSchema:
        return _Outcome("unreadable")
    except CountersignError as wrong:
        _log.error("Request %s is due and cannot be settled: %s", request, wrong)
    except Exception:
        _log.exception("Request %s is due and cannot be settled; the others will be.", request)
    return _Outcome("unreadable")
