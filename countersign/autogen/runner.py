"""Advance runs: claim each, drive its team, and write its end or let it go.

Correctness is the store's: every write of a run is fenced by its lease, so a job that comes twice, a worker that slept,
or one that is killed at any moment changes nothing twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, TypeVar

from autogen_core.models import ChatCompletionClient

from countersign import metrics, usecases
from countersign.autogen.held_run import HeldRun, seconds_here
from countersign.autogen.models.usage import add_up
from countersign.autogen.people.run_outcomes import Conclusion
from countersign.autogen.progress import Pace
from countersign.autogen.run_context import RunContext
from countersign.autogen.team import Teams
from countersign.autogen.team_execution import Driver
from countersign.domain.activity import Usage
from countersign.domain.errors import CountersignError, LeaseLost, NewerSchema, QuestionLost, StoreUnavailable
from countersign.domain.ids import RunId
from countersign.domain.made_files import MadeFile, clean
from countersign.domain.runs import MOVES, Run, Status, Verb
from countersign.metrics import Repair
from countersign.process_settings import WorkerSettings
from countersign.replay.run_journal import RunJournal
from countersign.usecases.ports import Journal, Lease, Queue, Seen, Store, Wakeups
from countersign.usecases.requeued_runs import ask_again, ask_for_forgotten
from countersign.usecases.store_outages import patiently

log = logging.getLogger(__name__)
T = TypeVar("T")

HANDOVER_DELAY: Final = timedelta(milliseconds=100)
OTHER_WORKER_DELAY: Final = timedelta(seconds=2)
LOST_AFTER: Final = timedelta(seconds=5)
"""The time without a worker, or from the decision on a parked run's question, after which a run has lost its job."""
_SEARCH_EVERY: Final = timedelta(hours=1)
"""Between the first looks for lost questions of parked runs; each further page of them comes with the next repair."""
_AT_REST: Final = frozenset({Status.PARKED, *(status for status, moves in MOVES.items() if not moves)})


class Runner:
    """The runs that this process advances; once `stop` is set, it lets go of them."""

    def __init__(
        self,
        *,
        owner: str,
        store: Store,
        queue: Queue,
        wakeups: Wakeups,
        journal: Journal,
        teams: Teams,
        model: ChatCompletionClient,
        settings: WorkerSettings,
        stop: asyncio.Event,
        script: RunId | None = None,
    ) -> None:
        """Take the parts; `script` is the run that a program advances, None in a worker."""
        self._owner = owner
        self._store = store
        self._queue = queue
        self._wakeups = wakeups
        self._journal = journal
        self._teams = teams
        self._model = model
        self._settings = settings
        self._stop = stop
        self._script = script
        self._advancing: set[RunId] = set()
        self._pace = Pace()
        self._next_search = 0.0
        self._search_from = 0

    async def advance(self, run: RunId) -> None:
        """See the run to its end or until it parks, unless another worker has it.

        StoreUnavailable only when stopping. NewerSchema only in a script: what a newer version wrote waits for a newer
        worker.
        """
        if run in self._advancing or self._stop.is_set():
            return
        self._advancing.add(run)
        try:
            await self._advance_claimed(run)
        except NewerSchema as newer:
            log.warning("Run %s is left for a newer worker. %s", run, newer)
            if self._script is not None:
                raise
            await self._queue.advance(run, after=OTHER_WORKER_DELAY)
        finally:
            self._advancing.discard(run)

    async def reconcile(self, *, starting: bool = False) -> None:
        """Ask again for runs whose jobs were lost; `starting`: for all that nobody holds."""
        await ask_again(self._store, self._queue, self._advancing, LOST_AFTER, starting=starting)
        loop = asyncio.get_running_loop()
        if starting or loop.time() >= self._next_search or self._search_from:
            if not self._search_from:
                self._next_search = loop.time() + _SEARCH_EVERY.total_seconds()
            self._search_from = await ask_for_forgotten(self._store, self._queue, self._search_from)

    async def _advance_claimed(self, run_id: RunId) -> None:
        asked = seconds_here()
        claimed = await self._claim(run_id)
        if claimed is None:
            return
        lease, seen = claimed
        rebuild = False
        try:
            await self._drive(lease, seen, asked)
        except (LeaseLost, StoreUnavailable) as lost:
            log.info("Run %s is let go: %s", run_id, lost)
        except QuestionLost as lost:
            metrics.repaired(Repair.QUESTION_LOST)
            log.warning("Run %s: %s", run_id, lost)
            rebuild = True
        except NewerSchema:
            raise
        except CountersignError as error:
            await self._end(lease, Verb.FAIL, Conclusion(str(error)))
        finally:
            await self._release(lease, rebuild)

    async def _claim(self, run_id: RunId) -> tuple[Lease, Seen[Run]] | None:
        """Return the run's lease and former state, if there is something to do here."""
        seen = await self._patiently(lambda: self._store.run(run_id))
        if seen is None or seen.value.over or await self._patiently(lambda: usecases.rests(self._store, seen.value)):
            return None
        if seen.value.by_script and run_id != self._script:
            return None
        name = seen.value.team
        known = name in self._teams.working
        teams = [] if known else await self._patiently(self._store.workers.teams)
        if any(team.name == name and not team.problem for team in teams):
            log.info("Run %s: the team “%s” is on another worker.", run_id, name)
            await self._queue.advance(run_id, after=OTHER_WORKER_DELAY)
            return None
        lease = await self._patiently(lambda: self._store.leases.claim(run_id, self._owner, self._settings.lease))
        if lease is None:
            metrics.repaired(Repair.JOB_DOUBLED)
            log.info("Run %s is advanced by another worker.", run_id)
            return None
        return lease, seen

    async def _drive(self, lease: Lease, seen: Seen[Run], lease_since: float) -> None:
        run, journal = await asyncio.gather(
            self._patiently(lambda: usecases.begin(self._store, lease, seen)), RunJournal.open(self._journal, lease)
        )
        team = self._teams.working.get(run.team)
        if team is None:
            problem = self._teams.broken.get(run.team, "it is no longer there.")
            await self._end(lease, Verb.FAIL, Conclusion(f"The team “{run.team}” can't run: {problem}"))
            return
        log.info("Run %s of %s: %s, fence %d.", run.id, team.name, run.status, lease.fence)
        ports = (self._store, self._queue, self._wakeups)
        held = HeldRun(team.chosen(run), lease, *ports, journal, self._settings)
        held.lease_since = lease_since
        context = RunContext(held, self._model, team.demo)
        ending = await Driver(team.build, team.conclude, context, self._pace, self._stop).drive()
        if ending is not None:
            await self._end(lease, *ending, usage=add_up(journal))

    async def _end(self, lease: Lease, verb: Verb, conclusion: Conclusion, usage: Usage | None = None) -> None:
        texts = {"result": conclusion.result, "words": conclusion.words, "ended_as": conclusion.state}
        files = [MadeFile(clean(name), text.encode()) for name, text in conclusion.files.items()]
        try:
            if files:
                await self._patiently(lambda: self._store.made.keep(lease.run, files))
            await self._patiently(lambda: usecases.finish(self._store, lease, verb, **texts, usage=usage))
            log.info("Run %s: %s.", lease.run, "finished" if verb is Verb.FINISH else "failed")
        except LeaseLost as lost:
            log.info("Run %s: its end was not written: %s", lease.run, lost)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(call, self._stop)

    async def _release(self, lease: Lease, rebuild: bool) -> None:
        """End the lease at once.

        A job is added if the process stops, or if the run is to be rebuilt.
        """
        try:
            await self._store.leases.release(lease)
            seen = await self._store.run(lease.run)
            if (rebuild or self._stop.is_set()) and seen is not None and seen.value.status not in _AT_REST:
                # A job for now would be dropped as a double of the one that is just ending.
                await self._queue.advance(lease.run, after=HANDOVER_DELAY)
                log.info("Run %s was let go, for another worker to go on with.", lease.run)
        except StoreUnavailable as away:
            log.warning("Run %s: its lease ends by itself: %s", lease.run, away)
