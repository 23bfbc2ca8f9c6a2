"""A run whose lease this process holds, as the parts around its team share it."""

import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Concatenate, Final, ParamSpec, TypeVar

from autogen_core import CancellationToken

from countersign.domain.errors import ActionFailed, CountersignError, LeaseLost, NotFound
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request, request_id
from countersign.domain.runs import Run
from countersign.process_settings import WorkerSettings
from countersign.replay.run_journal import RunJournal
from countersign.usecases.ports import Lease, Queue, Store, Wakeups
from countersign.usecases.store_outages import patiently

P = ParamSpec("P")
T = TypeVar("T")
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds_here() -> float:
    """Return this machine's time, which counts while it sleeps too."""
    return time.clock_gettime(_CLOCK)


class HeldRun:
    """A run with its lease, its journal, and what it is stored in.

    `token` is cancelled when the run leaves this process; `error` is why it cannot go on here, if so.
    """

    def __init__(
        self,
        run: Run,
        lease: Lease,
        store: Store,
        queue: Queue,
        wakeups: Wakeups,
        journal: RunJournal,
        settings: WorkerSettings,
    ) -> None:
        self.run: Final = run
        self.lease: Final = lease
        self.store: Final = store
        self.queue: Final = queue
        self.wakeups: Final = wakeups
        self.journal: Final = journal
        self.settings: Final = settings
        self.token: Final = CancellationToken()
        self.error: Exception | None = None
        self.lease_since = seconds_here()
        """When the lease was claimed or renewed last: a moment before the store was asked to."""
        journal.now, journal.is_leaving = partial(patiently, store.now), self.token.is_cancelled
        journal.late_writes.give_up = self.abort
        self.token.add_callback(journal.order.close)

    @property
    def lease_runs(self) -> bool:
        """Say whether no other worker can have claimed the run by now."""
        return seconds_here() < self.lease_since + self.settings.lease.total_seconds()

    async def renew_lease(self) -> None:
        """Renew the lease.

        LeaseLost, which ends the run in this process, if another worker has claimed it.
        """
        asked = seconds_here()
        if not await patiently(lambda: self.store.leases.renew(self.lease, self.settings.lease)):
            lost = LeaseLost("another worker has claimed it.")
            self.abort(lost)
            raise lost
        self.lease_since = asked

    def abort(self, error: Exception) -> None:
        """End the run in this process with this error; the first error counts.

        AutoGen turns exceptions into text, so what makes going on impossible is told here too.
        """
        self.error = self.error or error
        self.token.cancel()

    async def write(
        self, verb: Callable[Concatenate[Store, Lease, P], Awaitable[T]], *arguments: P.args, **more: P.kwargs
    ) -> T:
        """Write to the run; a store that is away is waited for.

        LeaseLost if the run is no longer ours.
        """
        return await patiently(lambda: verb(self.store, self.lease, *arguments, **more))

    def write_behind(
        self, verb: Callable[Concatenate[Store, Lease, P], Awaitable[object]], *arguments: P.args, **more: P.kwargs
    ) -> None:
        """Write to the run while its agents go on."""

        async def write() -> None:
            await self.write(verb, *arguments, **more)

        self.journal.late_writes.write(write)

    async def or_abort(self, work: Awaitable[T]) -> T:
        """Wait for work without which the run cannot go on."""
        try:
            with self.journal.activity.working():
                return await work
        except CountersignError as error:
            self.abort(error)
            raise

    async def request(self, request: RequestId) -> Request:
        """Return a request of this run; NotFound, or ActionFailed if it was changed (R13)."""
        seen = await patiently(lambda: self.store.request(request))
        if seen is None or seen.value.run != self.run.id:
            raise NotFound(f"Run {self.run.id} has no request {request}.")
        if request_id(self.run.id, seen.value.question) != request:
            raise ActionFailed("What was approved is not what is stored, so nothing was done.")
        return seen.value
