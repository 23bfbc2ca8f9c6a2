"""Drives one run: claims it, rebuilds its team against the journal, and sees it to its end or lets it go.

Correctness is the store's: every write of a run is fenced by its lease, so a job that comes twice, a worker that
slept, or one that is killed at any moment changes nothing twice.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, Final, TypeVar

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import BaseChatMessage, ModelClientStreamingChunkEvent
from autogen_core.models import ChatCompletionClient

from agents import cut_off
from agents.context import RunContext
from agents.conversation import for_people
from agents.deliveries import lighten
from agents.doors import look_through
from agents.ending import end_team, failure
from agents.journal import RunJournal
from agents.patience import ended, patiently
from agents.repairs import ask_again, ask_for_forgotten
from agents.team import Conclusion, Team, Teams
from agents.telling import Pace, Teller
from agents.turn_ends import in_order
from agents.usage import add_up
from bot import flows, metrics
from bot.core.errors import CountersignError, LeaseLost, NewerSchema, QuestionLost, StoreUnavailable
from bot.core.ids import RunId
from bot.core.ports import Journal, Lease, Queue, Store, Wakeups
from bot.core.runs import MOVES, Run, Status, Usage, Verb
from bot.metrics import Repair
from bot.settings import WorkerSettings

log = logging.getLogger(__name__)
T = TypeVar("T")

GRACE: Final = timedelta(seconds=5)
"""How long a cancelled team may take to end before it is left behind."""
SOON: Final = timedelta(milliseconds=100)
ELSEWHERE: Final = timedelta(seconds=2)
UNHEARD: Final = timedelta(seconds=5)
"""A run that nobody held, or a parked one's decision that was not heard of, for so long has lost its job."""
_FORGOTTEN_EVERY: Final = timedelta(hours=1)
"""How often all that parked runs wait for is looked for."""
_AT_REST: Final = frozenset({Status.PARKED, *(status for status, moves in MOVES.items() if not moves)})


class Runner:
    """Advances runs in this process. `stop` set: every run is let go, for another worker to go on with."""

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
        """`script`: of those that scripts advance by themselves, the one that is ours; a worker has none."""
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
        self._hand: set[RunId] = set()
        self._pace = Pace()
        self._forgotten_at = 0.0
        lighten()

    async def advance(self, run: RunId) -> None:
        """See the run to its end or until it parks, unless it is another's; StoreUnavailable only when stopping.

        NewerSchema only in a script: what a newer version wrote is left for a newer worker.
        """
        if run in self._hand or self._stop.is_set():
            return
        self._hand.add(run)
        cut_off.watch()
        try:
            await self._claimed(run)
        except NewerSchema as newer:
            log.warning("Run %s is left for a newer worker. %s", run, newer)
            if self._script is not None:
                raise
            await self._queue.advance(run, after=ELSEWHERE)
        finally:
            self._hand.discard(run)

    async def reconcile(self, *, starting: bool = False) -> None:
        """Ask again for runs whose jobs were lost; `starting`: for all that nobody holds now."""
        await ask_again(self._store, self._queue, self._hand, UNHEARD, starting=starting)
        loop = asyncio.get_running_loop()
        if starting or loop.time() >= self._forgotten_at:
            self._forgotten_at = loop.time() + _FORGOTTEN_EVERY.total_seconds()
            await ask_for_forgotten(self._store, self._queue)

    async def _claimed(self, run_id: RunId) -> None:
        seen = await self._patiently(lambda: self._store.run(run_id))
        if seen is None or seen.value.over or await self._patiently(lambda: flows.rests(self._store, seen.value)):
            return
        if seen.value.by_script and run_id != self._script:
            return
        name = seen.value.team
        team = self._teams.working.get(name)
        if team is None and any(t.name == name and not t.problem for t in await self._patiently(self._store.teams)):
            log.info("Run %s: the team “%s” is on another worker.", run_id, name)
            await self._queue.advance(run_id, after=ELSEWHERE)
            return
        lease = await self._patiently(lambda: self._store.claim(run_id, self._owner, self._settings.lease))
        if lease is None:
            metrics.repaired(Repair.JOB_DOUBLED)
            log.info("Run %s is advanced by another worker.", run_id)
            return
        again = False
        try:
            run = await self._patiently(lambda: flows.begin(self._store, lease))
            if team is None:
                problem = self._teams.broken.get(name, "no worker knows it any more.")
                await self._end(lease, Verb.FAIL, Conclusion(f"The team “{name}” cannot run: {problem}"))
                return
            journal = await RunJournal.open(self._journal, lease)
            await self._advance(run, lease, journal, team)
        except (LeaseLost, StoreUnavailable) as lost:
            log.info("Run %s is let go: %s", run_id, lost)
        except QuestionLost as lost:
            metrics.repaired(Repair.QUESTION_LOST)
            log.warning("Run %s: %s", run_id, lost)
            again = True
        except NewerSchema:
            raise
        except CountersignError as error:
            await self._end(lease, Verb.FAIL, Conclusion(str(error)))
        finally:
            await self._let_go(lease, again)

    async def _advance(self, run: Run, lease: Lease, journal: RunJournal, team: Team) -> None:
        log.info("Run %s of %s: %s, fence %d.", run.id, team.name, run.status, lease.fence)
        ports = (self._store, self._queue, self._wakeups)
        context = RunContext(team.chosen(run), lease, *ports, journal, self._model, self._settings, team.demo)
        teller = Teller(self._store, lease, journal, context, self._pace)
        driving = asyncio.create_task(self._drive(context, team, teller), name=f"team of run {run.id}")
        given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        context.token.link_future(given_up)
        over = asyncio.create_task(patiently(lambda: self._wakeups.ended(run.id)), name=f"end of run {run.id}")
        stopped = asyncio.create_task(self._stop.wait())
        parked = asyncio.create_task(self._parked(context, teller, lease), name=f"parking of run {run.id}")
        telling = asyncio.create_task(teller.work(), name=f"progress of run {run.id}")
        beating = asyncio.create_task(self._beat(lease, context), name=f"heartbeat of run {run.id}")
        first: list[asyncio.Future[Any]] = [driving, over, stopped, given_up, parked]
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            cut = not driving.done()
            if cut:
                await end_team(context, driving, GRACE)
            conclusion = await self._conclusion(context, driving, teller, cut)
        finally:
            context.token.cancel()  # first: what is cut off from here on was not left by the team
            driving.cancel()
            await ended(*first[1:], telling)
            await journal.behind.close()
            try:
                await context.close()
            finally:
                await ended(beating)
        if conclusion is not None:
            await self._end(lease, *conclusion, usage=add_up(journal))

    async def _parked(self, context: RunContext, teller: Teller, lease: Lease) -> None:
        """Returns when the run has waited so long that it may leave memory, and is parked."""
        while True:
            await context.activity.rests(self._settings.park_after)
            await teller.done()
            if not context.activity.resting:
                continue
            try:
                if await patiently(lambda: flows.park(self._store, lease, context.activity.asked)):
                    log.info("Run %s is parked until somebody decides.", lease.run)
                    return
            except LeaseLost as lost:
                context.give_up(lost)
                return

    async def _drive(self, context: RunContext, team: Team, teller: Teller) -> Conclusion:
        try:
            return await self._driven(context, team, teller)
        except SystemExit as error:  # would end the worker, with all of its runs, and then the next one that takes this
            raise RuntimeError(f"its code ended with SystemExit: {error}") from error

    async def _driven(self, context: RunContext, team: Team, teller: Teller) -> Conclusion:
        result: TaskResult | None = None
        context.enter()
        look_through(built := team.build(context))
        in_order(built, context.order)
        async for item in built.run_stream(task=context.task, cancellation_token=context.token):
            if isinstance(item, TaskResult):
                result = item
                continue
            if isinstance(item, ModelClientStreamingChunkEvent):
                teller.writes(item.source, item.content)
                continue
            context.transcript.heard(item)
            if isinstance(item, BaseChatMessage) and (words := for_people(item, context.outcomes)):
                teller.tell(item.source, words)
            else:
                teller.wrote(item.source)
        assert result is not None, "AutoGen promises a result at the end of a stream that was not cancelled."
        end = await team.conclude(context, result)
        return Conclusion(*context.outcomes.conclusion(end.result, end.words))

    async def _conclusion(
        self, context: RunContext, driving: asyncio.Task[Conclusion], teller: Teller, cut: bool
    ) -> tuple[Verb, Conclusion] | None:
        """How the run ended; None if it did not end here. `cut`: it was us who ended the team."""
        error: BaseException | None = context.error
        if not driving.done():
            log.error("Run %s: its team could not be ended and is left behind in memory.", context.run.id)
        elif driving.cancelled():
            log.debug("Run %s: its team was cancelled.", context.run.id)
        elif (raised := driving.exception()) is not None:
            # What a team says when it is cut off is no reason for anything.
            error = error or (None if cut else raised)
        elif error is None and cut and context.activity.cut_off:
            log.debug("Run %s: its team ended by a call that was cut off.", context.run.id)
        elif error is None:
            await teller.done()
            return (Verb.FINISH, driving.result())
        if error is None:
            return None
        if isinstance(error, LeaseLost | NewerSchema | QuestionLost | StoreUnavailable):
            raise error
        if isinstance(error, CountersignError):
            return (Verb.FAIL, Conclusion(context.outcomes.for_people(str(error))))
        log.error("Run %s failed.", context.run.id, exc_info=error)
        return (Verb.FAIL, Conclusion(failure(error, context.outcomes.for_people(str(error)))))

    async def _end(self, lease: Lease, verb: Verb, conclusion: Conclusion, usage: Usage | None = None) -> None:
        said = {"result": conclusion.result, "words": conclusion.words}
        try:
            await self._patiently(lambda: flows.finish(self._store, lease, verb, **said, usage=usage))
            log.info("Run %s: %s.", lease.run, "finished" if verb is Verb.FINISH else "failed")
        except LeaseLost as lost:
            log.info("Run %s: its end was not written: %s", lease.run, lost)

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(call, self._stop)

    async def _let_go(self, lease: Lease, again: bool) -> None:
        """The lease ends at once; a run that is let go because this process stops, or that is to be rebuilt `again`, is
        asked for."""
        try:
            await self._store.release(lease)
            seen = await self._store.run(lease.run)
            if (again or self._stop.is_set()) and seen is not None and seen.value.status not in _AT_REST:
                # A job for now would be dropped as a double of the one that is just ending.
                await self._queue.advance(lease.run, after=SOON)
                log.info("Run %s was let go, for another worker to go on with.", lease.run)
        except StoreUnavailable as away:
            log.warning("Run %s: its lease ends by itself: %s", lease.run, away)

    async def _beat(self, lease: Lease, context: RunContext) -> None:
        while True:
            await asyncio.sleep(self._settings.lease.total_seconds() / 3)
            if not await patiently(lambda: self._store.renew(lease, self._settings.lease)):
                context.give_up(LeaseLost("another worker has claimed it."))
                return
