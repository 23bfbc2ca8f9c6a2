"""Drive the team of one run in this process, until the run ends or leaves it.

The run leaves a process without an end when it parks, when it ended elsewhere, when another worker has claimed it, and
when the process stops. The team is then cut off: what it says from there on is no reason for anything.

The ends of the turns of its agents are events of the run's order (`countersign.replay.event_order`): what an agent has
said reaches the others right after it has given it to AutoGen. AutoGen has no hook there, so the method that it calls
is wrapped on each agent, and on each team inside: on these objects alone, which `build` has just made for this run.
"""

import asyncio
import functools
import logging
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from datetime import timedelta
from typing import Any, Final

from autogen_agentchat.base import ChatAgent, Response, TaskResult
from autogen_agentchat.base import Team as AutoGenTeam
from autogen_agentchat.messages import BaseChatMessage, ModelClientStreamingChunkEvent
from autogen_agentchat.tools import AgentTool, TeamTool

from countersign import usecases
from countersign.autogen.action_outcomes import Conclusion
from countersign.autogen.people.conversation import for_people
from countersign.autogen.progress import LINE, Pace, ProgressLines
from countersign.autogen.run_context import Build, Conclude, RunContext
from countersign.autogen.tools.bypass_check import held, look_through
from countersign.autogen.tools.gated_tools import JournaledTools
from countersign.domain.errors import CountersignError, LeaseLost, NewerSchema, QuestionLost, StoreUnavailable
from countersign.domain.runs import Verb
from countersign.replay.event_order import Order
from countersign.replay.journal import RunJournal
from countersign.replay.store_outages import ended, patiently
from countersign.usecases.ports import Lease, Store, Wakeups

log = logging.getLogger(__name__)

GRACE: Final = timedelta(seconds=5)
"""How long a cancelled team may take to end before it is left behind."""
_INSIDE: Final = (ChatAgent, AutoGenTeam, JournaledTools, AgentTool, TeamTool)
Ending = tuple[Verb, Conclusion]


class Driver:
    """One run in this process. `stop` set: the run is let go. `build` and `conclude` are the team's."""

    def __init__(
        self,
        build: Build,
        conclude: Conclude,
        context: RunContext,
        lease: Lease,
        store: Store,
        wakeups: Wakeups,
        journal: RunJournal,
        pace: Pace,
        stop: asyncio.Event,
    ) -> None:
        self._build = build
        self._conclude = conclude
        self._context = context
        self._lease = lease
        self._store = store
        self._wakeups = wakeups
        self._journal = journal
        self._stop = stop
        self._speaking: list[asyncio.Task[Any] | None] = []
        """The tasks in which agents speak."""
        self._lines = ProgressLines(store, lease, journal, pace, context.give_up)

    async def drive(self) -> Ending | None:
        """How the run ended; None if it left this process before. Raises what keeps this process from going on."""
        team = self._task("team", self._run_to_its_end())
        given_up: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._context.token.link_future(given_up)
        leaving: list[asyncio.Future[Any]] = [
            self._task("end", patiently(lambda: self._wakeups.ended(self._lease.run))),
            self._task("stop", self._stop.wait()),
            given_up,
            self._task("parking", self._park()),
        ]
        telling = self._task("progress", self._lines.work())
        beating = self._task("heartbeat", self._beat())
        try:
            await asyncio.wait([team, *leaving], return_when=asyncio.FIRST_COMPLETED)
            cut = not team.done()
            if cut:
                await self._cut_off(team)
            return await self._ending(self._outcome(team, cut))
        finally:
            self._context.token.cancel()  # first: what is cut off from here on was not left by the team
            team.cancel()
            await ended(*leaving, telling)
            await self._journal.behind.close()
            try:
                await self._context.close()
            finally:
                await ended(beating)

    def _task(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.create_task(work, name=f"{name} of run {self._lease.run}")

    async def _run_to_its_end(self) -> Conclusion:
        try:
            result = await self._run_team()
            end = await self._conclude(self._context, result)
        except SystemExit as error:  # would end the worker, with all of its runs, and then the next one that takes this
            raise RuntimeError(f"its code ended with SystemExit: {error}") from error
        return self._context.outcomes.conclusion(end)

    async def _run_team(self) -> TaskResult:
        result: TaskResult | None = None
        context = self._context
        context.enter()
        look_through(team := self._build(context))
        wrap_turns(team, context.order, self._speaking)
        async for item in team.run_stream(task=context.task, cancellation_token=context.token):
            if isinstance(item, TaskResult):
                result = item
            elif isinstance(item, ModelClientStreamingChunkEvent):
                self._lines.writes(item.source, item.content)
            else:
                context.transcript.heard(item)
                if isinstance(item, BaseChatMessage) and (words := for_people(item, context.outcomes)):
                    self._lines.tell(item.source, words)
                else:
                    self._lines.wrote(item.source)
        assert result is not None, "AutoGen promises a result at the end of a stream that was not cancelled."
        return result

    async def _park(self) -> None:
        """Return once the run has waited so long that it may leave memory, and is parked."""
        activity = self._context.activity
        while True:
            await activity.rests(self._context.settings.park_after)
            if self._context.error is None:
                await self._lines.done()
            if not activity.resting:
                continue
            try:
                if await patiently(lambda: usecases.park(self._store, self._lease, activity.asked)):
                    log.info("Run %s is parked until somebody decides.", self._lease.run)
                    return
            except LeaseLost as lost:
                self._context.give_up(lost)
                return

    async def _beat(self) -> None:
        """Keep the lease for as long as nobody else has it."""
        span = self._context.settings.lease
        while True:
            await asyncio.sleep(span.total_seconds() / 3)
            if not await patiently(lambda: self._store.leases.renew(self._lease, span)):
                self._context.give_up(LeaseLost("another worker has claimed it."))
                return

    async def _cut_off(self, team: asyncio.Task[Conclusion]) -> None:
        """Cancel the team by its token, which is how AutoGen ends; by force if it does not listen.

        An effect under way is waited for: cut off, nobody would know whether it happened. Agents are then cancelled
        themselves, because AutoGen's AssistantAgent waits for ever for tool calls that were cancelled
        (microsoft/autogen#7956, in 0.7.5): a run that parks while a tool asks people would stay in memory.
        """
        self._context.token.cancel()
        while self._context.acting:
            await asyncio.wait(set(self._context.acting))
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
        error, run = self._context.error, self._lease.run
        if not team.done():
            log.error("Run %s: its team could not be ended and is left behind in memory.", run)
            return error
        if team.cancelled():
            log.debug("Run %s: its team was cancelled.", run)
            return error
        raised = team.exception()
        if error is not None or raised is not None:
            return error or (None if cut else raised)
        if cut and self._context.activity.cut_off:
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
                return Verb.FAIL, Conclusion(words(str(outcome)))
        log.error("Run %s failed.", self._lease.run, exc_info=outcome)
        return Verb.FAIL, Conclusion(_failure(outcome, words(str(outcome))))


def _failure(error: BaseException, words: str) -> str:
    """Say in one line how the team failed; tracebacks, which AutoGen puts into its messages, belong into the log."""
    lines = words.split("\nTraceback", 1)[0].strip().splitlines()
    first = lines[0] if lines else type(error).__name__
    return f"The team failed, and the run has ended: {first[:LINE]}. Nothing more will be done; see the worker's log."


def wrap_turns(team: AutoGenTeam, order: Order, speaking: list[asyncio.Task[Any] | None]) -> None:
    """Make what the team's agents say wait for its turn; `speaking` holds the tasks in which they do so."""
    seen = {id(team)}
    holders: list[tuple[object, str]] = [(team, "")]
    while holders:
        holder, path = holders.pop()
        for part in held(holder):
            if isinstance(part, _INSIDE) and id(part) not in seen:
                seen.add(id(part))
                holders.append((part, _wrapped(part, path, order, speaking)))


def _wrapped(part: object, path: str, order: Order, speaking: list[asyncio.Task[Any] | None]) -> str:
    """Wrap an agent or a team; return the path by which the order calls what is inside."""
    if not isinstance(part, ChatAgent | AutoGenTeam):
        return path
    name = f"{path}/{part.name}".lstrip("/")
    method = "on_messages_stream" if isinstance(part, ChatAgent) else "run_stream"
    stream: Callable[..., AsyncGenerator[Any, None]] = getattr(part, method)

    @functools.wraps(stream)
    async def in_turn(*args: Any, **more: Any) -> AsyncGenerator[Any, None]:
        task = asyncio.current_task()
        speaking.append(task)
        try:
            with order.turn(name):
                async with aclosing(stream(*args, **more)) as items:
                    async for item in items:
                        if isinstance(item, Response | TaskResult):
                            await order.ended(name)
                        yield item
        finally:
            speaking.remove(task)

    setattr(part, method, in_turn)
    return name
