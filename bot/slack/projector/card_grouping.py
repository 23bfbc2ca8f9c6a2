"""Group requests on cards: a card of its own, of its burst, or a waiting card.

The grouping is stored before anything is drawn. The first request of a burst names the card (`card/<request>`), and its
message lists the rows; the messages of the other requests only name their card. Both are stored in one step, so every
process finds the same card, however often it draws.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import Final

from countersign.domain.batching import grows, takes, together
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.usecases.compare_and_set import Keep, Swap, update
from countersign.usecases.ports import Change, Committed, Message, Put, Seen, SeenRequest, Store

ROWS: Final = 5
"""Maximum on one card: five rows fit in 13.2 kB whatever their content. A longer burst continues on the next card."""


@dataclass(frozen=True, slots=True)
class Burst:
    """First requests of a program's newest cards, the oldest first.

    One process draws, so it alone needs to know them. `turn` serialises further requests: otherwise, of twenty at once,
    each would find either no card or a full card.
    """

    cards: dict[RequestId, None] = field(default_factory=dict)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass(frozen=True, slots=True)
class Card:
    """Card of one request, or of the rows of a burst in their order.

    `names` are all requests with a row on it, including damaged requests, which are not drawn.
    """

    name: str
    seen: tuple[SeenRequest, ...]
    names: tuple[RequestId, ...]

    @property
    def rows(self) -> tuple[Request, ...]:
        """Return the requests on it."""
        return tuple(row.value for row in self.seen)

    @property
    def pending(self) -> bool:
        """Tell whether a request on it waits for people."""
        return any(row.status is Status.PENDING for row in self.rows)

    def of(self, run: RunId) -> "Card":
        """Return the card reduced to the rows of one run, for that run's thread."""
        mine = tuple(row for row in self.seen if row.value.run == run)
        return (
            self
            if len(mine) == len(self.seen)
            else Card(name_of(mine[0].value.id), mine, tuple(row.value.id for row in mine))
        )


def number_of(request: Request, rows: Sequence[Request]) -> int:
    """Return the number of the request among these rows; 0 if it is the only one."""
    return [row.id for row in rows].index(request.id) + 1 if len(rows) > 1 else 0


def name_of(request: RequestId) -> str:
    """Return the name of the card that begins with this request."""
    return f"card/{request}"


async def give_rows(store: Store, run: Run, new: Iterable[RequestId]) -> None:
    """Give each pending request without a card a row on its burst's card.

    Requests without a burst are skipped.
    """
    if not (changed := frozenset(new)):
        return
    names = list(changed | {*run.open.values()})
    if len(names) == 1:
        return
    seen = [one for one in await asyncio.gather(*(store.intact(name) for name in names)) if one is not None]
    pending = sorted((one.value for one in seen if one.value.status is Status.PENDING), key=_order)
    without_row = [request for request in pending if request.id in changed]
    for at, request in enumerate(without_row):
        later = {one.id for one in without_row[at:]}
        burst = [other for other in pending if other.id not in later and together(other, request)]
        await update(store, partial(_proposal, store, request, burst))


async def join_burst(store: Store, new: SeenRequest, burst: Burst) -> None:
    """Give a program's request a row on its newest card, or start a new card."""
    async with burst.turn:
        if not await join_card(store, new, burst.cards):
            burst.cards[new.value.id] = None


async def join_card(store: Store, new: SeenRequest, cards: dict[RequestId, None]) -> bool:
    """Give a request without a card a row on one of these; False if all are full.

    `cards`: their first requests, the oldest first; full cards are removed.
    """
    if await store.message(name_of(new.value.id)) is not None:
        return True
    for name in list(cards):
        if name == new.value.id:
            return False
        while (plan := await _with_room(store, cards, name, new.value)) is not None:
            rows = (*(plan.value.rows or (name,)), new.value.id)
            change = _joined(new.value, plan, rows)
            if await store.commit(change) is Committed.DONE:
                return True
    return False


async def _with_room(store: Store, cards: dict[RequestId, None], name: RequestId, new: Request) -> Put[Message] | None:
    """Read or plan the card that begins with this request; None if the row cannot join."""
    first, card = await store.intact(name), await store.message(name_of(name))
    if first is None:
        return None
    if card is None:
        channel, key = first.value.rules.approvals_channel, name_of(name)
        plan, posted = Put(Message(first.value.workspace, channel, key, request=name), 0), None
    else:
        plan, posted = Put(card.value, card.version), card.value.posting_since
    message = plan.value
    settled, unclear = first.value.status is not Status.PENDING, bool(message.ts) and posted is None
    if settled or unclear or message.on or len(message.rows) >= ROWS or not grows(posted, first.now):
        cards.pop(name, None)
        return None
    return plan if takes(first.value, new, posted, first.now) else None


async def message_of(store: Store, shown: SeenRequest) -> Put[Message] | None:
    """Find the message of the card that shows this request, if there is one."""
    card = shown.card
    if card is None or not card.value.on:
        return card
    seen = await store.message(card.value.on)
    return None if seen is None else Put(seen.value, seen.version)


async def card_of(store: Store, shown: SeenRequest) -> Card:
    """Read the card that shows this request, with the current state of all its rows.

    Damaged rows are left out.
    """
    card = await message_of(store, shown)
    if card is None or shown.value.id not in card.value.rows:
        return Card(name_of(shown.value.id), (shown,), (shown.value.id,))
    rows = await asyncio.gather(*(store.intact(row) for row in card.value.rows))
    return Card(card.value.name, tuple(row for row in rows if row is not None), card.value.rows)


async def _proposal(store: Store, request: Request, burst: Sequence[Request]) -> Keep[None] | Swap[None]:
    """Return the change that stores the row found by `_row`."""
    change = await _row(store, request, burst)
    return Keep(None) if change is None else Swap(change, None)


async def _row(store: Store, request: Request, burst: Sequence[Request]) -> Change | None:
    """Find a row for the request; None if it has a row or needs its own card.

    `burst` has the other calls in order. The request joins the card of the nearest call before it, else of the next
    call after it, so the rows keep the order of the calls whichever request is stored first.
    """
    if not burst or await store.message(name_of(request.id)) is not None:
        return None
    before = [other for other in burst if _order(other) < _order(request)][::-1]
    without_card: list[Request] = []
    for other in before:
        if (card := await stored_message(store, other.id)) is None:
            without_card.append(other)
            continue
        if rows := await _with_row(store, request, card, other):
            return _joined(request, card, rows)
        break
    for other in burst[len(before) :][:1]:
        card = await stored_message(store, other.id)
        if card is not None and (rows := await _with_row(store, request, card, other)):
            return _joined(request, card, rows)
    if not without_card:
        return None
    first = without_card[-1]
    channel = request.rules.approvals_channel
    card_of_first = Message(request.workspace, channel, name_of(first.id), request=first.id)
    return _joined(request, Put(card_of_first, 0), (first.id, request.id))


async def stored_message(store: Store, request: RequestId) -> Seen[Message] | None:
    """Read the message of the card on which this request has a row, if there is one."""
    card = await store.message(name_of(request))
    return await store.message(card.value.on) if card is not None and card.value.on else card


async def _with_row(store: Store, request: Request, card: Seen[Message], other: Request) -> tuple[RequestId, ...]:
    """Add the request to the rows of the card of `other`; None if that card is full."""
    rows = card.value.rows or (other.id,)
    if len(rows) >= ROWS or not grows(card.value.posting_since, card.now):
        return ()
    there = [row for row in (await store.readable(rows)).values() if row is not None]
    if len(there) < len(rows) or not together(there[0], request):
        return ()
    one_run = all(row.run == request.run for row in there)
    at = next((at for at, row in enumerate(there) if one_run and _order(row) > _order(request)), len(rows))
    return (*rows[:at], request.id, *rows[at:])


def _joined(request: Request, card: Seen[Message] | Put[Message], rows: tuple[RequestId, ...]) -> Change:
    """Give the card these rows, which include the request."""
    grown = Put(replace(card.value, rows=rows), card.version)
    name, channel = name_of(request.id), card.value.channel
    row = Message(request.workspace, channel, name, request=request.id, on=card.value.name)
    return Change(messages=(grown, Put(row, 0)))


def _order(request: Request) -> tuple[int, datetime, str]:
    """Return the sort key: the order of the model's calls."""
    return request.question.asked, request.created_at, request.id
