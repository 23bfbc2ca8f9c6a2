"""Advance runs: claim each, drive its team, and write its end or let it go.

Correctness is the store's: every write of a run is fenced by its lease, so a job that comes twice, a worker that slept,
or one that is killed at any moment changes nothing twice.
"""

import asyncio
import logging
from datetime import timedelta
from typing import Final, TypeVar

from autogen_core.models import ChatCompletionClient

from countersign import metrics
from countersign.domain.activity import Usage
from countersign.domain.errors import (
    CountersignError,
    JournalLost,
    LeaseLost,
    NewerSchema,
    NotFound,
    QuestionLost,
    StoreUnavailable,
)
from countersign.domain.ids import RequestId, RunId, TeamName
from countersign.domain.made_files import MadeFile, clean
from countersign.domain.run_calls import Attach, Claim, Finish
from countersign.domain.runs import Verb
from countersign.frameworks.autogen.held_run import HeldRun, seconds_here
from countersign.frameworks.autogen.models.usage import add_up
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.progress import Pace
from countersign.frameworks.autogen.run_context import Run
from countersign.frameworks.autogen.team import Teams
from countersign.frameworks.autogen.team_execution import Driver
from countersign.logs import about
from countersign.metrics import Repair
from countersign.process_settings import WorkerSettings
from countersign.runs.leases import HeldLeases
from countersign.runs.run_journal import RunJournal
from countersign.runs.service import Service
from countersign.usecases.ports import Journal, Lease, Queue
from countersign.usecases.store_outages import patient, within

log = logging.getLogger(__name__)
T = TypeVar("T")

HANDOVER_DELAY: Final = timedelta(milliseconds=100)
HANDED_OVER_WITHIN: Final = timedelta(seconds=3)
"""Once the process stops. A lease that could not be released lapses."""
OTHER_WORKER_DELAY: Final = timedelta(seconds=2)
_JOURNAL_LOST: Final = (
    "The journal of this run is lost, so nobody can tell what its agents had done and which decisions they had. "
    "Nothing was repeated. Check what was done, then start the task again."
)
_NO_JOURNAL: Final = (
    "The journal of run {} is not here, and its agents had acted, so nothing was done. Continue the run where it was "
    "started: with the same DATA_DIR, or the same REDIS_URL and NAMESPACE."
)


class Runner:
    """The runs that this process advances; once `stop` is set, it lets go of them."""

    def __init__(
        self,
        *,
        owner: str,
        leases: HeldLeases,
        service: Service,
        queue: Queue,
        journal: Journal,
        teams: Teams,
        model: ChatCompletionClient,
        settings: WorkerSettings,
        stop: asyncio.Event,
        script: RunId | None = None,
    ) -> None:
        """Take the parts; `script` is the run that a program advances, None in a worker."""
        self._owner = owner
        self._leases = leases
        self._service = service
        self._queue = queue
        self._journal = journal
        self._teams = teams
        self._model = model
        self._settings = settings
        self._stop = stop
        self._patient_leases = patient(leases, stop)
        self._patient_service = patient(service, stop)
        self._patient_journal = patient(journal, stop)
        self._script = script
        self._advancing: set[RunId] = set()
        self._pace = Pace()

    @property
    def advancing(self) -> tuple[RunId, ...]:
        """List the runs that this process holds, or is about to."""
        return tuple(self._advancing)

    async def advance(self, run: RunId) -> None:
        """See the run to its end or until it parks, unless another worker has it.

        StoreUnavailable only when stopping. JournalLost and NewerSchema only in a script: what a newer version wrote
        waits for a newer worker.
        """
        if run in self._advancing or self._stop.is_set():
            return
        self._advancing.add(run)
        try:
            with about(run=run):
                await self._advance_claimed(run)
        except NewerSchema as newer:
            log.warning("Run %s is left for a newer worker. %s", run, newer)
            if self._script is not None:
                raise
            await self._queue.advance(run, after=OTHER_WORKER_DELAY)
        finally:
            self._advancing.discard(run)

    async def _advance_claimed(self, run_id: RunId) -> None:
        asked = seconds_here()
        lease = await self._patient_leases.claim(run_id, self._owner, self._settings.lease)
        if lease is None:
            metrics.repaired(Repair.JOB_DOUBLED)
            log.info("Run %s is advanced by another worker.", run_id)
            return
        rebuild = False
        parked_for: frozenset[RequestId] = frozenset()
        try:
            parked_for = await self._drive(lease, asked)
        except (LeaseLost, NotFound, StoreUnavailable) as lost:
            log.info("Run %s is let go: %s", run_id, lost)
        except QuestionLost as lost:
            metrics.repaired(Repair.QUESTION_LOST)
            log.warning("Run %s: %s", run_id, lost)
            rebuild = True
        except NewerSchema:
            raise
        except JournalLost as lost:
            if self._script is not None:  # it may be in another folder
                raise
            log.error("Run %s: %s", run_id, lost)
            await self._end(lease, Verb.FAIL, Conclusion(str(lost)))
        except CountersignError as error:
            await self._end(lease, Verb.FAIL, Conclusion(str(error)))
        finally:
            await self._release(lease, rebuild, parked_for)

    async def _drive(self, lease: Lease, lease_since: float) -> frozenset[RequestId]:
        """Claim the run at `web`, and drive its team if there is something to do here.

        Returns the requests with which it was parked, if it was.
        """
        teams = tuple(TeamName(name) for name in self._teams.working)
        claim = Claim(teams, script=lease.run == self._script)
        claimed, journal = await asyncio.gather(
            self._patient_service.call(lease, claim), RunJournal.open(self._journal, lease)
        )
        run = claimed.run
        if claimed.elsewhere:
            log.info("Run %s: its team is on another worker.", lease.run)
            await self._queue.advance(lease.run, after=OTHER_WORKER_DELAY)
        if claimed.over:
            await self._patient_journal.drop(lease.run)
        if run is None:
            return frozenset()
        if run.acted and journal.empty:
            raise JournalLost(_JOURNAL_LOST if self._script is None else _NO_JOURNAL.format(run.id))
        team = self._teams.working.get(run.team)
        if team is None:
            problem = self._teams.broken.get(run.team, "it is no longer there.")
            await self._end(lease, Verb.FAIL, Conclusion(f"The team “{run.team}” can't run: {problem}"))
            return frozenset()
        log.info("Run %s of %s: %s, fence %d.", run.id, team.name, run.status, lease.fence)
        held = HeldRun(team.chosen(run), lease, self._leases, self._service, journal, self._settings)
        held.lease_since = lease_since
        context = Run(held, self._model, team.demo)
        driver = Driver(team.build, team.conclude, context, self._pace, self._stop)
        ending = await driver.drive()
        if ending is not None:
            await self._end(lease, *ending, usage=add_up(journal))
        elif driver.ended_elsewhere:
            await self._patient_journal.drop(lease.run)
        return driver.parked_for

    async def _end(self, lease: Lease, verb: Verb, conclusion: Conclusion, usage: Usage | None = None) -> None:
        files = [MadeFile(clean(name), text.encode()) for name, text in conclusion.files.items()]
        finish = Finish(verb, conclusion.result, conclusion.words, usage, conclusion.state)
        try:
            if files:
                await self._patient_service.call(lease, Attach.of(files))
            await self._patient_service.call(lease, finish)
            await self._patient_journal.drop(lease.run)
            log.info("Run %s: %s.", lease.run, "finished" if verb is Verb.FINISH else "failed")
        except LeaseLost as lost:
            log.info("Run %s: its end was not written: %s", lease.run, lost)

    async def _release(self, lease: Lease, rebuild: bool, parked_for: frozenset[RequestId]) -> None:
        """End the lease at once.

        A job is added if the run is to be rebuilt, or the process stops: whoever takes it finds out at `web` whether
        there is something to do. A job for a decision that fell after the run was parked may have met this lease, and
        gone: so `web` is asked once more.
        """
        handing_over = self._hand_over(lease, rebuild, parked_for)
        try:
            await (within(HANDED_OVER_WITHIN, handing_over) if self._stop.is_set() else handing_over)
        except (StoreUnavailable, TimeoutError) as away:
            log.warning("Run %s: its lease ends by itself: %s", lease.run, away)

    async def _hand_over(self, lease: Lease, rebuild: bool, parked_for: frozenset[RequestId]) -> None:
        await self._leases.release(lease)
        if rebuild or self._stop.is_set() or await self._service.any_settled(parked_for):
            # A job for now would be dropped as a double of the one that is just ending.
            await self._queue.advance(lease.run, after=HANDOVER_DELAY)
            log.info("Run %s was let go, for another worker to continue.", lease.run)
