"""Compare-and-set for all use cases: read, let a rule judge, commit.

If somebody was faster, all of that is repeated after a pause. The function passed to `update` reads and judges, writes
nothing, and may run more than once. It returns `Keep` to store nothing, `Swap` to store a change, or `Refuse` to record
an error and raise it. So two people, a person and the clock, or one person twice never decide the same request twice.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, NamedTuple, TypeVar

from countersign.domain import runs
from countersign.domain.errors import CountersignError, LeaseLost, NotFound, StoreUnavailable
from countersign.domain.ids import RequestId
from countersign.domain.pauses import doubling
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.ports import Change, Committed, Lease, Put, Seen, Store

R = TypeVar("R")
TRIES: Final = 100
_FIRST_PAUSE: Final = 0.004
_LONGEST_PAUSE: Final = 0.05
"""Seconds. Pauses double up to the longest, each multiplied by a random number below 1 to spread out collisions."""


@dataclass(frozen=True, slots=True)
class Keep(Generic[R]):
    """Store nothing; the caller gets `value`.

    `confirm`: a request that must be unchanged since it was read, on the replicas too. Otherwise everything is read
    again.
    """

    value: R
    confirm: Seen[Request] | None = None


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refuse the attempt: `record` is stored, if given, and `error` raised."""

    error: CountersignError
    record: Change | None = None


@dataclass(frozen=True, slots=True)
class Swap(Generic[R]):
    """Store the change; return `value` to the caller.

    If the same attempt (`Change.once`) was stored before, `repeated` decides the result; without it the caller gets
    `value`.
    """

    change: Change
    value: R
    repeated: Keep[R] | Refuse | None = None


class Update(NamedTuple, Generic[R]):
    """The value for the caller, and the store's answer; None if nothing was stored."""

    value: R
    answer: Committed | None = None


async def update(store: Store, propose: Callable[[], Awaitable[Keep[R] | Swap[R] | Refuse]]) -> Update[R]:
    """Propose and commit, until no other writer was faster.

    Raises the error of a `Refuse`; StoreUnavailable, with nothing changed, if others were faster `TRIES` times.
    """
    pauses = doubling(_FIRST_PAUSE, _LONGEST_PAUSE)
    for attempt in range(TRIES):
        if attempt:
            await asyncio.sleep(next(pauses) * random.random())
        proposal = await propose()
        match proposal:
            case Keep():
                if proposal.confirm is None or await store.confirm(proposal.confirm):
                    return Update(proposal.value)
            case Refuse():
                record = proposal.record
                if record is None or await store.commit(record) is not Committed.STALE:
                    raise proposal.error
            case Swap():
                answer = await store.commit(proposal.change)
                if answer is Committed.REPEATED:
                    if isinstance(proposal.repeated, Refuse):
                        raise proposal.repeated.error
                    return Update((proposal.repeated or proposal).value, answer)
                if answer in (Committed.DONE, Committed.DONE_BUT_PARKED):
                    return Update(proposal.value, answer)
    raise StoreUnavailable("Others changed this at the same time. Nothing was changed; try again.")


async def advance(
    store: Store,
    lease: Lease,
    change: Callable[[Run, datetime], runs.Step],
    delivered: tuple[RequestId, ...] = (),
) -> Run:
    """Change a run under its lease. LeaseLost if it is no longer ours or has ended."""

    async def propose() -> Keep[Run] | Swap[Run]:
        current = await live(store, lease)
        step = change(current.value, current.now)
        if step.run == current.value and not step.events:
            return Keep(step.run)
        put = Put(step.run, current.version)
        return Swap(Change(runs=(put,), events=step.events, delivered=delivered), step.run)

    return (await update(store, propose)).value


async def live(store: Store, lease: Lease) -> Seen[Run]:
    """Read the lease's run.

    LeaseLost if it has ended or another worker has claimed it, NotFound if there is none. Changes based on this read
    name the run, so that a claim in between makes them fail.
    """
    return if_live(await store.run(lease.run), lease)


def if_live(seen: Seen[Run] | None, lease: Lease) -> Seen[Run]:
    """Return the lease's run as it was read, or raise as `live` does."""
    if seen is None:
        raise NotFound(f"There is no run {lease.run}.")
    if seen.value.over:
        raise LeaseLost(f"Run {lease.run} has ended: {seen.value.status}.")
    if seen.value.fence != lease.fence:
        raise LeaseLost(f"Another worker advances run {lease.run}.")
    return seen
