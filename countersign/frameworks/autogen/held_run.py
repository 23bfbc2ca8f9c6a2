"""A run whose lease this process holds, as the parts around its team share it."""

import time
from collections.abc import Awaitable
from typing import Final, TypeVar

from autogen_core import CancellationToken

from countersign.domain.errors import ActionFailed, CountersignError, LeaseLost, NotFound
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request, request_id
from countersign.domain.run_calls import Find, R, RunCall
from countersign.domain.runs import Run
from countersign.process_settings import WorkerSettings
from countersign.runs.leases import HeldLeases
from countersign.runs.run_journal import RunJournal
from countersign.runs.service import Service
from countersign.usecases.ports import Lease
from countersign.usecases.store_outages import patient

T = TypeVar("T")
_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def seconds_here() -> float:
    """Return this machine's time, which counts while it sleeps too."""
    return time.clock_gettime(_CLOCK)


class HeldRun:
    """A run with its lease, its journal, and `web`, which stores it.

    A `web` or Redis that is away is waited for. `token` is cancelled when the run leaves this process; `error` is why
    it cannot go on here, if so.
    """

    def __init__(
        self,
        run: Run,
        lease: Lease,
        leases: HeldLeases,
        service: Service,
        journal: RunJournal,
        settings: WorkerSettings,
    ) -> None:
        self.run: Final = run
        self.lease: Final = lease
        self.service: Final = patient(service)
        self._leases = patient(leases)
        self.journal: Final = journal
        self.settings: Final = settings
        self.token: Final = CancellationToken()
        self.error: Exception | None = None
        self.lease_since = seconds_here()
        """When the lease was claimed or renewed last: a moment before that was asked for."""
        journal.is_leaving = self.token.is_cancelled
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
        if not await self._leases.renew(self.lease, self.settings.lease):
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

    async def call(self, call: RunCall[R]) -> R:
        """Call `web` about the run.

        LeaseLost if the run is no longer ours.
        """
        return await self.service.call(self.lease, call)

    def call_behind(self, call: RunCall[None]) -> None:
        """Call `web` about the run while its agents continue."""

        async def write() -> None:
            await self.call(call)

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
        found = await self.call(Find(request))
        if found is None:
            raise NotFound(f"Run {self.run.id} has no request {request}.")
        if request_id(self.run.id, found.question) != request:
            raise ActionFailed("What was approved is not what is stored, so nothing was done.")
        return found
