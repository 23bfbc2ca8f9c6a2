"""Drive the team of one run in this process, until the run ends or leaves it.

The run leaves a process without an end when it parks, when it ended elsewhere, when another worker has claimed it, and
when the process stops. The team is then cut off: what it says from there on is no reason for anything.
"""

import asyncio
import logging
from collections.abc import Coroutine
from datetime import timedelta
from functools import partial
from typing import Any, Final

from autogen_agentchat.base import TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseChatMessage, ModelClientStreamingChunkEvent

from countersign.domain.activity import LINE
from countersign.domain.errors import CountersignError, LeaseLost, NewerSchema, QuestionLost, StoreUnavailable
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request
from countersign.domain.run_calls import Park
from countersign.domain.runs import Verb
from countersign.frameworks.autogen.bypass_check import look_through
from countersign.frameworks.autogen.models.wrapper import DELAYED
from countersign.frameworks.autogen.people.conversation import for_people
from countersign.frameworks.autogen.people.run_outcomes import Conclusion
from countersign.frameworks.autogen.progress import Pace, ProgressLines, show_delay
from countersign.frameworks.autogen.run_context import Build, Conclude, Run
from countersign.frameworks.autogen.running_team import Ended, RunningTeam, Saved, Tell, keep_state, saved_state
from countersign.frameworks.autogen.team_parts import wrap_turns
from countersign.runs.entries import Asked
from countersign.usecases.store_outages import ended

log = logging.getLogger(__name__)

GRACE: Final = timedelta(seconds=5)
"""How long a cancelled team may take to end before it is left behind."""
Ending = tuple[Verb, Conclusion]


class Driver:
    """The execution of one run in this process; once `stop` is set, the run is let go.

    `build` and `conclude` are the team's.
    """

    def __init__(self, build: Build, conclude: Conclude, context: Run, pace: Pace, stop: asyncio.Event) -> None:
        self._build = build
        self._conclude = conclude
        self._context = context
        self._held = context.held
        self._journal = context.held.journal
        self._stop = stop
        self._speaking: list[asyncio.Task[Any] | None] = []
        """The tasks in which agents speak."""
        self._lines = ProgressLines(context.held, pace)
        self.parked_for: frozenset[RequestId] = frozenset()
        """The requests with which the run was parked here."""
        self.ended_elsewhere = False
        """Whether people stopped the run while it was here."""

    async def drive(self) -> Ending | None:
        """Drive the team; return the run's end, or None if it left this process before.

        Raises what keeps this process from going on.
        """
        team = self._task("team", self._run_to_its_end())
        given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._held.token.link_future(given_up)
        ended_elsewhere = self._task("end", self._held.service.ended(self._held.run.id))
        leaving: list[asyncio.Future[Any]] = [
            ended_elsewhere,
            self._task("stop", self._stop.wait()),
            given_up,
            self._task("parking", self._park()),
        ]
        telling = self._task("progress", self._lines.work())
        renewing = self._task("heartbeat", self._renew_lease())
        try:
            await asyncio.wait([team, *leaving], return_when=asyncio.FIRST_COMPLETED)
            cut, self.ended_elsewhere = not team.done(), ended_elsewhere.done()
            if cut:
                await self._cut_off(team)
            return await self._ending(self._outcome(team, cut))
        finally:
            self._held.token.cancel()  # first: what is cut off from here on was not left by the team
            team.cancel()
            await ended(*leaving, telling)
            await self._journal.late_writes.close()
            try:
                await self._context.close()
            finally:
                await ended(renewing)

    def _task(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.create_task(work, name=f"{name} of run {self._held.run.id}")

    async def _run_to_its_end(self) -> Conclusion:
        try:
            result = await self._run_team()
            end = await self._conclude(self._context, result)
        except SystemExit as error:  # would end the worker, with all of its runs, and then the next one that takes this
            raise RuntimeError(f"its code ended with SystemExit: {error}") from error
        return self._context.outcomes.conclusion(end)

    async def _run_team(self) -> TaskResult:
        self._context.enter()
        DELAYED.set(partial(show_delay, self._held))
        team = self._build(self._context)
        if not isinstance(team, RunningTeam):
            team = ReplayedTeam(team, self._context, self._lines, self._speaking)
        steps = self._context.coming_steps
        saved = await saved_state(self._journal, steps, self._ask)
        while not isinstance(stop := await team.advance(saved, self._lines.tell), Ended):
            saved = await keep_state(self._journal, steps, self._ask, stop)
        return stop.result

    async def _ask(self, question: Asked) -> Request:
        tool = self._context.ask_human(question.agent)
        return await tool.put(question.text, question.options, yes_no=question.yes_no)

    async def _park(self) -> None:
        """Park the run once it has rested for `park_after`, then return: it may leave memory."""
        activity = self._journal.activity
        while True:
            await activity.until_resting(self._held.settings.park_after)
            if self._held.error is None:
                await self._lines.done()
            if not activity.resting:
                continue
            try:
                awaited = activity.asked
                if await self._held.call(Park(awaited)):
                    self.parked_for = awaited
                    log.info("Run %s is parked until somebody decides.", self._held.run.id)
                    return
            except LeaseLost as lost:
                self._held.abort(lost)
                return

    async def _renew_lease(self) -> None:
        """Keep the lease for as long as nobody else has it."""
        span = self._held.settings.lease
        while True:
            await asyncio.sleep(span.total_seconds() / 3)
            try:
                await self._held.renew_lease()
            except LeaseLost:
                return

    async def _cut_off(self, team: asyncio.Task[Conclusion]) -> None:
        """Cancel the team by its token; by force if it does not listen.

        Effects under way are waited for (`Effects.finish`). Agents are then cancelled themselves, because AutoGen's
        AssistantAgent waits for ever for tool calls that were cancelled (microsoft/autogen#7956, in 0.7.5): a run that
        parks while a tool asks people would stay in memory.
        """
        self._held.token.cancel()
        await self._context.effects.finish(GRACE)
        for speaker in {task for task in self._speaking if task is not None}:
            speaker.cancel()
        await asyncio.wait({team}, timeout=GRACE.total_seconds())
        for _ in range(3):
            if team.done():
                return
            # The first one only reaches the team's stream, which then waits for its own agents.
            team.cancel()
            await asyncio.wait({team}, timeout=GRACE.total_seconds() / 5)

    def _outcome(self, team: asyncio.Task[Conclusion], cut: bool) -> Conclusion | BaseException | None:
        """Return the run's end, or why it cannot go on; None if it goes on elsewhere."""
        error, run = self._held.error, self._held.run.id
        if not team.done():
            log.error("Run %s: its team could not be ended and is left behind in memory.", run)
            return error
        if team.cancelled():
            log.debug("Run %s: its team was cancelled.", run)
            return error
        raised = team.exception()
        if error is not None or raised is not None:
            return error or (None if cut else raised)
        if cut and self._journal.activity.cut_off:
            log.debug("Run %s: its team ended by a call that was cut off.", run)
            return None
        return team.result()

    async def _ending(self, outcome: Conclusion | BaseException | None) -> Ending | None:
        words = self._context.outcomes.for_people
        match outcome:
            case None:
                return None
            case Conclusion():
                await self._lines.done()
                return Verb.FINISH, outcome
            case LeaseLost() | NewerSchema() | QuestionLost() | StoreUnavailable():
                raise outcome
            case CountersignError():
                await self._lines.done()
                return Verb.FAIL, Conclusion(words(str(outcome)))
        log.error("Run %s failed.", self._held.run.id, exc_info=outcome)
        return Verb.FAIL, Conclusion(_failure(outcome, words(str(outcome))))


class ReplayedTeam(RunningTeam):
    """A team of AutoGen at work; `speaking` holds the tasks in which its agents speak."""

    def __init__(
        self, team: AutoGenTeam, context: Run, lines: ProgressLines, speaking: list[asyncio.Task[Any] | None]
    ) -> None:
        self._team = team
        self._context = context
        self._lines = lines
        self._speaking = speaking

    async def advance(self, saved: Saved | None, tell: Tell) -> Ended:
        """Run to the end; people are waited for inside."""
        result: TaskResult | None = None
        context = self._context

        def say(message: BaseChatMessage) -> bool:
            if words := for_people(message, context.outcomes):
                tell(message.source, words)
            return bool(words)

        context.transcript.on_message = say
        look_through(self._team)
        wrap_turns(self._team, context.held.journal.order, self._speaking)
        async for item in self._team.run_stream(task=context.task, cancellation_token=context.token):
            if isinstance(item, TaskResult):
                result = item
            elif isinstance(item, ModelClientStreamingChunkEvent):
                self._lines.writes(item.source, item.content)
            else:
                context.transcript.record(item)
                if not isinstance(item, BaseChatMessage) or not say(item):
                    self._lines.wrote(item.source)
        assert result is not None, "AutoGen promises a result at the end of a stream that was not cancelled."
        return Ended(result)


def _failure(error: BaseException, words: str) -> str:
    """Describe the team's failure in one line.

    AutoGen puts tracebacks into its messages; those belong into the log.
    """
    lines = words.split("\nTraceback", 1)[0].strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    more = "Nothing more will be done; see the agents' log."
    return f"The team failed, and the run has ended: {first[:LINE]}. {more}"
