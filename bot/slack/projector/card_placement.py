"""Choose the card of a request: its own, or that of its burst, on which it is a row.

This is stored before anything is drawn. The first request of a burst names the card (`card/<request>`), and its
message lists the rows; the messages of the others only say on which card they are. Both are stored in one step, so
whoever draws, and however often, finds the same card.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from countersign import usecases
from countersign.domain.batching import grows, together
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request, Status
from countersign.domain.runs import Run
from countersign.usecases.ports import Change, Committed, Message, Put, Store

ROWS: Final = 5
"""On one card: so many have room in 13.2 kB whatever they say. A burst goes on with a further card."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """A card and what it shows: one request, or the rows of a burst in the order in which they came."""

    name: str
    rows: tuple[Request, ...]

    @property
    def pending(self) -> bool:
        """Return whether anything on it waits for people."""
        return any(row.status is Status.PENDING for row in self.rows)


def number_of(request: Request, rows: Sequence[Request]) -> int:
    """The number under which a card with these rows shows the request; 0 if it shows nothing else."""
    return [row.id for row in rows].index(request.id) + 1 if len(rows) > 1 else 0


def name_of(request: RequestId) -> str:
    """The name of the card that begins with this request."""
    return f"card/{request}"


async def seat(store: Store, run: Run, new: Iterable[RequestId]) -> None:
    """Give each pending request that stands nowhere yet a row beside those of its burst; if there are none, nothing."""
    if not (wanted := frozenset(new)):
        return
    asked = list(wanted | {*run.open.values()})
    if len(asked) == 1:
        return
    seen = [one for one in await asyncio.gather(*(usecases.admitted(store, name) for name in asked)) if one is not None]
    waiting = sorted((one.value for one in seen if one.value.status is Status.PENDING), key=_order)
    claims = {one.value.id: one.claim for one in seen}
    coming = [request for request in waiting if request.id in wanted]
    for at, request in enumerate(coming):
        later = {one.id for one in coming[at:]}
        beside = [r for r in waiting if r.id not in later and _order(r) <= _order(request) and together(r, request)]
        while not await _seated(store, request, beside[::-1], claims):
            pass


async def sheet_of(store: Store, request: Request) -> Sheet:
    """The card that shows this request, with all of its rows as they are now."""
    name = name_of(request.id)
    seen = await store.message(name)
    if seen is not None and seen.value.on:
        name, seen = seen.value.on, await store.message(seen.value.on)
    if seen is None or request.id not in seen.value.rows:
        return Sheet(name_of(request.id), (request,))
    rows = await asyncio.gather(*(usecases.admitted(store, row) for row in seen.value.rows))
    return Sheet(name, tuple(row.value for row in rows if row is not None))


async def _seated(store: Store, request: Request, beside: Sequence[Request], claims: Mapping[RequestId, str]) -> bool:
    """Give the request a row; False if somebody was faster.

    `beside` is its burst, the newest first; their cards vouch for the `claims`.
    """
    if not beside or await store.message(name_of(request.id)) is not None:
        return True
    new: list[Request] = []
    for other in beside:
        card = await store.message(name_of(other.id))
        if card is not None and card.value.on:
            card = await store.message(card.value.on)
        if card is None:
            new.append(other)
            continue
        rows = card.value.rows or (other.id,)
        first = (await store.requests([rows[0]]))[0]
        fits = len(rows) < ROWS and grows(card.value.posting_since, card.now)
        if fits and first is not None and together(first, request):
            return await _join(store, request, Put(card.value, card.version), rows, claims)
        break
    if not new:
        return True
    first = new[-1]
    channel, claim = request.rules.approvals_channel, claims[first.id]
    card_of_first = Message(request.workspace, channel, name_of(first.id), request=first.id, vouches=claim)
    return await _join(store, request, Put(card_of_first, 0), (first.id,), claims)


async def _join(
    store: Store, request: Request, card: Put[Message], rows: tuple[RequestId, ...], claims: Mapping[RequestId, str]
) -> bool:
    grown = Put(replace(card.value, rows=(*rows, request.id)), card.version)
    name, channel, claim = name_of(request.id), card.value.channel, claims[request.id]
    row = Message(request.workspace, channel, name, request=request.id, on=card.value.name, vouches=claim)
    return await store.commit(Change(messages=(grown, Put(row, 0)))) is Committed.DONE


def _order(request: Request) -> tuple[int, datetime, str]:
    """The order in which the gate numbered them: the model's own, whichever was stored first."""
    return request.question.asked, request.created_at, request.id
