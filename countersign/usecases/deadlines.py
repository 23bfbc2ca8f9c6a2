"""Keep deadlines, reminders and escalations to the second.

The loop sleeps until the next one and does what is due, 100 at once. Any number of processes may do this at once; the
store lets one of them win. A late click is refused by the server's clock, also before anybody got here.
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
"""A request that was settled this much later than a look, or more, was not settled by it."""
UNREADABLE_AGAIN: Final = timedelta(minutes=5)
"""The pause before an unreadable request is tried again: a newer `web` reads it, and it is late by no more."""
LOOKS: Final = 120
"""Times that Slack is asked whether a card stands, before silence approves. They take two to five minutes if it does
not say."""
_log = logging.getLogger(__name__)


class Hints(Protocol):
    """Hints of new deadlines, and of other things to come."""

    due: asyncio.Event


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Fate of a name in the index; `look_again`: the next time to look at it, None for never."""

    fate: Literal["done", "left", "settled", "unknown", "unreadable", "early"]
    look_again: datetime | None = None


async def keep(store: Store, queue: Queue, hints: Hints, card_check: CardCheck | None = None) -> None:
    """Settle, remind and escalate as the time comes, until cancelled.

    Without `card_check` silence approves nothing.
    """
    card_check = card_check and bounded(card_check)
    start = 0
    while True:
        hints.due.clear()
        try:
            due, following, now = await store.indexes.due(_BATCH, start)
            # At once: each waits for Redis a few times, and one after another they would be late together.
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
            _log.warning("%s Deadlines are kept again when it is back.", away)
            await asyncio.sleep(1)
            continue
        if len(due) == _BATCH:  # behind those that another process must settle may be some that this one can
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
    """Correct the index; returns the due names that stay."""

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
    """Limit `card_check`: after so many unclear answers a card counts as gone (R32)."""
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
            return _Outcome("settled")  # it stands in the index and should not, or somebody else settled it this moment
        late = after.decision.at - after.deadline if after.decision and after.deadline else None
        if late is not None and late > schedule.LATE:
            seconds = late.total_seconds()
            _log.warning("Request %s was due %d s ago, and nobody was there; settled now.", request, seconds)
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
        _log.exception("Request %s is due and cannot be settled; the others are.", request)
    return _Outcome("unreadable")
