"""Runs of frameworks that outlive their program.

A run is a file: the framework's own state as of the last question, and each call that people judge. A program that is
started again with the same key of the run reads it, asks under the same keys, and so finds the same requests and their
decisions. The service knows which program began a call; the file has its result. Of a call that began and never ended
people say whether it was done, for nobody else can know.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from countersign.client import (
    AlreadyRan,
    AsyncClient,
    Call,
    Decision,
    InvalidInput,
    NotApproved,
    Question,
    failure,
)
from countersign.frameworks.run_files import LeftToPeople, SavedCall, SavedRun, UnreportedOutcome, opened

ASK_HUMAN: Final = "ask_human"
"""The tool by which a model asks people something; it does nothing else."""
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class JudgedRun:
    """A run whose calls people judge in a channel."""

    channel: str
    agent: str
    run: SavedRun
    client: AsyncClient
    leave: bool = False
    idempotent: Collection[str] = ()

    async def decide(self, call: SavedCall) -> Decision:
        """Ask people about the call, or find what they decided."""
        decision = await self.client.judge(self._question(call))
        if decision.outcome == "edited" and call.edited is None and decision.arguments is not None:
            call.edited = dict(decision.arguments)
            self.run.save()
        return decision

    async def decide_all(self, calls: list[SavedCall]) -> list[Decision]:
        """Ask people about several calls at once.

        LeftToPeople if the program is not to wait.
        """
        if self.leave:
            asked = [await self.client.submit(self._question(call)) for call in calls]
            self.run.save(waits=[request for request, decided in asked if not decided])
            if self.run.waits:
                raise LeftToPeople(self.run.path.parent)
        async with asyncio.TaskGroup() as group:
            asking = [group.create_task(self.decide(call)) for call in calls]
        return [asked.result() for asked in asking]

    async def perform(
        self,
        call: SavedCall,
        function: Callable[[Mapping[str, Any]], Awaitable[Any]],
        *,
        passing: type[Exception] | tuple[type[Exception], ...] = (),
    ) -> Any:
        """Do what people allowed, once, and return what the model is told: JSON.

        `function` gets the arguments that were approved. An exception of it is reported, and told as the result;
        those of `passing` are the framework's own and leave.
        """
        decision = await self.decide(call)
        if call.tool == ASK_HUMAN or not decision.approved or decision.arguments is None:
            return decision.text
        if not call.ended:
            try:
                again = call.tool in self.idempotent
                await self.client.begin(decision, self._question(call), idempotent=again)
            except NotApproved as stopped:
                return str(stopped)
            except AlreadyRan as before:
                call.result, call.ended = str(before), True
                self.run.save()
                return call.result
            try:
                call.result = await function(decision.arguments)
                call.unreported = UnreportedOutcome(decision.request, True, "")
            except passing:
                raise
            except Exception as error:
                words = failure(error)
                call.result = f"The call failed: {words}"
                call.unreported = UnreportedOutcome(decision.request, False, words)
            call.ended = True
            self.run.save()
            others = any(one.unreported for one in self.run.calls if one is not call)
            if not await _reported(self.client, self.run, call) and not others:
                self._warn()
        return call.result

    def _warn(self) -> None:
        _log.warning(
            "The service isn't responding, so what came of “%s” isn't reported yet. It stays in %s, and is "
            "reported when this run goes on, or by `countersign resume`.",
            *(self.run.key, self.run.path.parent),
        )

    def _question(self, call: SavedCall) -> Call | Question:
        key = self.run.key_of(call)
        if call.tool == ASK_HUMAN:
            asked = str(call.arguments.get("question", ""))
            options = [str(one) for one in call.arguments.get("options") or ()]
            return Question(self.channel, "", asked, options, agent=self.agent, key=key)
        notes = [call.note] if call.note else []
        return Call(self.channel, call.tool, call.arguments, call.schema, notes=notes, agent=self.agent, key=key)


async def catch_up(client: AsyncClient, run: SavedRun) -> bool:
    """Report what the service was away to hear; False if it still is."""
    for call in run.calls:
        if not await _reported(client, run, call):
            return False
    return True


async def _reported(client: AsyncClient, run: SavedRun, call: SavedCall) -> bool:
    """Report the outcome that stands in the file, if one does; False if the service is away."""
    if call.unreported is not None:
        if not await client.try_to_report(**asdict(call.unreported)):
            return False
        call.unreported = None
        run.save()
    return True


JUDGED_RUN: ContextVar[JudgedRun] = ContextVar("countersign_judged")
"""The run in which a tool is called."""


def judged_run() -> JudgedRun:
    """The run in which this is called. InvalidInput if it is none that people judge."""
    try:
        return JUDGED_RUN.get()
    except LookupError:
        raise InvalidInput("Nobody was asked. Start the agent with `SlackApprovals.run`.") from None


class SavedRuns:
    """Runs of agents whose calls people judge in a channel.

    `folder` keeps them: what the agents were told is in there. `leave`: the program does not wait for people, but ends
    with LeftToPeople. Of a call that began, and of which nothing was reported, people say whether it was done; those of
    tools named in `idempotent` run again.
    """

    def __init__(
        self,
        channel: str,
        *,
        folder: str | Path = ".countersign",
        leave: bool = False,
        idempotent: Collection[str] = (),
    ) -> None:
        self.channel, self.folder, self.leave, self.idempotent = channel, Path(folder), leave, idempotent

    @asynccontextmanager
    async def _judging(self, key: str, agent: str | None, task: str) -> AsyncIterator[JudgedRun]:
        """Open the run of this key, in which tools find it."""
        name = re.sub(r"[^\w.-]+", "-", agent or "agent")[:60]
        async with AsyncClient() as client:
            with opened(self.folder, key, task) as run:
                judged = JudgedRun(self.channel, name, run, client, self.leave, self.idempotent)
                await catch_up(client, run)
                token = JUDGED_RUN.set(judged)
                try:
                    yield judged
                finally:
                    JUDGED_RUN.reset(token)
