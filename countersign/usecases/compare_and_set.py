"""What all verbs share: whose a run is when they commit, and when they give up."""

from typing import Final

from countersign.domain.errors import LeaseLost, NotFound, StoreUnavailable
from countersign.domain.runs import Run
from countersign.usecases.ports import Change, Committed, Lease, Seen, Store

TRIES: Final = 200


async def live(store: Store, lease: Lease) -> Seen[Run]:
    """The run that the lease is for. LeaseLost if it has ended, NotFound if there is none."""
    seen = await store.run(lease.run)
    if seen is None:
        raise NotFound(f"There is no run {lease.run}.")
    if seen.value.over:
        raise LeaseLost(f"Run {lease.run} has ended: {seen.value.status}.")
    return seen


async def committed(store: Store, change: Change) -> Committed:
    """What became of the change. LeaseLost if another worker has the run."""
    answer = await store.commit(change)
    if answer is Committed.FENCED and change.lease is not None:
        raise LeaseLost(f"Another worker advances run {change.lease.run}.")
    return answer


async def fenced(store: Store, change: Change) -> bool:
    """Whether the change was stored; False if somebody was faster. LeaseLost if another worker has the run."""
    return await committed(store, change) is Committed.DONE


def too_many_tries() -> StoreUnavailable:
    """For a verb that others outran `TRIES` times."""
    return StoreUnavailable(f"Others were faster {TRIES} times in a row. Nothing was changed; please try again.")
