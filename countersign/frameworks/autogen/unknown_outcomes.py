"""Effects of a run, each at most once, and questions about unknown outcomes.

Such a question is a request like any other, to the same reviewers, and the run waits and parks for it; but no timeout
approves it, whatever the channel says.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from countersign.domain.calls import in_words
from countersign.domain.errors import ActionFailed, CountersignError, GivenUp, InvalidInput, LeaseLost, OutcomeUnknown
from countersign.domain.executions import Begun, doubt_title
from countersign.domain.ids import Digest, ExecutionId, RequestId, digest_of
from countersign.domain.redaction import hide
from countersign.domain.request_endings import decided
from countersign.domain.requests import Kind, Question, Request, Status, Verb
from countersign.domain.run_calls import Begin, Deliver, Report, Say
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.frameworks.autogen.people.run_questions import RunQuestions
from countersign.runs.entries import Entry
from countersign.runs.run_journal import attempt_key, first_attempt
from countersign.runs.side_effects import NOT_APPROVED, Performing, effect

log = logging.getLogger(__name__)
_CANCELLED_AT_MOST: Final = 3
"""The first one only reaches a team's stream, which then waits for its own agents."""
Act = Callable[[str], Awaitable[str]]
"""Acts outside, once; it gets the key of its first execution, the same for all of its repeats."""
Attempt = Callable[[str, RequestId | None], Awaitable[str]]
"""Executes under this key, because people said so in answer to that question, if there is one."""


@dataclass(frozen=True, slots=True)
class DecidedAction:
    """An action that people decided on, and the digest of what is to run.

    `step` tells apart several actions that share one decision. `outcome` reads a result for the card: a text, and
    whether the action failed.
    """

    request: Request
    digest: Digest
    step: str = ""
    outcome: Callable[[str], tuple[str, bool]] = lambda result: (result, False)


class Effects:
    """The effects of one run; `under_way` are never cut off."""

    def __init__(self, held: HeldRun, questions: RunQuestions) -> None:
        self.under_way: dict[asyncio.Task[str], str] = {}
        self._held = held
        self._journal = held.journal
        self._questions = questions

    async def finish(self, grace: timedelta) -> None:
        """Wait for the effects under way, once the run is let go.

        Cut off, nobody would know whether they happened. But an effect that waited inside for a model or a person,
        which is cut off, may wait forever: AutoGen's agents do. It is cancelled after `grace`, and then left behind.
        """
        cancelled: Counter[asyncio.Task[str]] = Counter()
        while waiting := {task for task in self.under_way if cancelled[task] < _CANCELLED_AT_MOST}:
            _, pending = await asyncio.wait(waiting, timeout=grace.total_seconds())
            for task in pending:
                if self.under_way[task] in self._journal.cut:
                    task.cancel()
                    cancelled[task] += 1

    async def once(
        self, name: str, shown: str, key: str, act: Act, *, idempotent: bool, decided: DecidedAction | None = None
    ) -> str:
        """Act at most once under the key; return the result, recorded or new.

        One that was cut off is done again, under the same key, if it is `idempotent`; else people are asked. What
        people `decided` is executed if `web` grants that, and its card says how it ended.
        """

        async def attempt(now: str, again: RequestId | None) -> str:
            execution = _Execution(self._held, now, decided, again, idempotent=idempotent)
            return await self._uncut(now, name, act, execution)

        return await self.settled(name, shown, key, attempt, decided)

    @asynccontextmanager
    async def nested(self, key: str, decided: DecidedAction | None) -> AsyncIterator[Callable[[str], None]]:
        """Enclose an action that consists of others, and begins again in a rebuilt run.

        It gets what takes the result.
        """
        execution, results = _Execution(self._held, key, decided, None, idempotent=True), list[str]()
        if decided is not None:
            with self._journal.activity.working():
                if await execution.begin() is not Begun.GRANTED:
                    raise ActionFailed(NOT_APPROVED)
        yield results.append
        for result in results:
            self._report_result(key, decided, result)

    def _report_result(self, key: str, decided: DecidedAction | None, result: str) -> None:
        if decided is not None:
            words, failed = decided.outcome(result)
            self._report(key, decided, words, failed=failed)

    def _report(self, key: str, decided: DecidedAction, words: str, *, failed: bool) -> None:
        """Tell people how it ended, while the agents go on."""
        request = decided.request
        report = _report(self._held, key, words, failed, self._questions.outcomes.done_word(request))

        async def write() -> None:
            try:
                await self._held.call(report)
            except InvalidInput:  # never granted, so nothing was tried
                await self._held.call(Deliver(request.id, report.words))

        self._journal.late_writes.write(write)

    async def still_ours(self) -> None:
        """Renew the lease if it ran out meanwhile; called last before the action.

        A process that slept after the store had said that the run is its own would act beside another worker.
        LeaseLost if another worker has the run.
        """
        while not self._held.lease_runs:
            await self._held.renew_lease()

    async def settled(
        self, name: str, shown: str, key: str, attempt: Attempt, decided_on: DecidedAction | None = None
    ) -> str:
        """Return the attempt's result; after OutcomeUnknown, the one that people give.

        They may also have it run again, which is an attempt under a key of its own, or end the run: GivenUp. `shown` is
        what was to be done, for people.
        """
        tries, again = 0, None
        while True:
            now = attempt_key(key, tries)
            try:
                result = await attempt(now, again)
            except ActionFailed as failure:
                if decided_on is not None:
                    self._report(now, decided_on, str(failure), failed=True)
                raise
            except OutcomeUnknown as doubt:
                request = await self._people_on(doubt, name, shown, now, tries)
                if request.status is Status.APPROVED:
                    tries, again = tries + 1, request.id
                    continue
                if request.status is not Status.ANSWERED:
                    raise stopped(self._held, str(doubt), request) from doubt
                ran = Entry("done", decided(request).words)
                result = (await self._journal.record_result(now, ran, replace=True)).value
            self._report_result(now, decided_on, result)
            return result

    async def _people_on(self, doubt: OutcomeUnknown, name: str, shown: str, key: str, tries: int) -> Request:
        """Ask people about the doubt; record it if the team goes on without their answer."""
        # The entry of the action keeps its own place in the order, so this has another one.
        asked = f"doubt/{key.partition('/')[2]}"
        try:
            await self._journal.wait_if_abandoned(asked)
            return await self._questions.put(self._in_doubt(name, shown, key, tries, doubt), left=asked)
        except asyncio.CancelledError:
            self._journal.abandon(asked)
            raise

    async def _uncut(self, key: str, name: str, act: Act, execution: "_Execution") -> str:
        """Perform the effect; it outlives its cancelled caller unless it is idempotent."""
        if self._held.token.is_cancelled():
            raise asyncio.CancelledError

        async def begin() -> Begun:
            begun = await execution.begin()
            await self.still_ours()
            return begun

        async def uncut(perform: Performing) -> str:
            task = asyncio.create_task(execution.reported_late(perform), name=f"step {name}")
            if execution.idempotent:
                self._held.token.link_future(task)
            self.under_way[task] = first_attempt(key)
            task.add_done_callback(self._done)
            return await asyncio.shield(task)

        try:
            return await effect(
                self._journal,
                key,
                name,
                lambda: execution.act(act(first_attempt(key))),
                begin,
                decided=execution.decided is not None,
                idempotent=execution.idempotent,
                uncut=uncut,
            )
        except asyncio.CancelledError:
            self._journal.abandon(key)
            self._tell_lost(key, name)
            raise
        except LeaseLost as error:
            self._held.abort(error)
            raise

    def _tell_lost(self, key: str, name: str) -> None:
        """Tell the requester of an action that its agent left, and whose worker was lost: no question asks about it."""
        words = in_words(name)
        sentence = (
            f"Nobody knows whether “{words}” happened: the team did not wait for it, and its worker was lost while it "
            "was under way. It was not repeated. Check the other system."
        )

        async def tell(started: datetime) -> None:
            await self._held.call(Say(name, sentence, started))

        self._journal.tell_lost(key, sentence, tell)

    def _done(self, task: asyncio.Task[str]) -> None:
        self.under_way.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("Run %s: %s did not succeed: %s", self._held.run.id, task.get_name(), error)

    def _in_doubt(self, name: str, shown: str, key: str, tries: int, doubt: OutcomeUnknown) -> Question:
        entry = self._journal.lookup(key)
        since = f", started {datetime.fromisoformat(entry.at):%Y-%m-%d %H:%M:%S} UTC" if entry and entry.at else ""
        words = in_words(name)
        action = f"{words}\n{shown}" if shown else words
        return Question(
            name,
            tries,
            Kind.IN_DOUBT,
            doubt_title(words),
            f"{doubt}\n\nAttempt {tries + 1}{since}.\n\nWhat was to be done:\n\n{action}",
            (Verb.RESPOND, Verb.APPROVE, Verb.REJECT),
            notes=_which_action(key),
            about=_id_of(self._held, key),
        )


class _Execution:
    """One execution of an effect, as `web` knows it if people decided on the effect."""

    def __init__(
        self, held: HeldRun, key: str, decided: DecidedAction | None, again: RequestId | None, *, idempotent: bool
    ) -> None:
        self.decided: Final = decided
        self.idempotent: Final = idempotent
        self._held = held
        self._key = key
        self._again = again
        self._granted = False
        self._outcome: tuple[str, bool] | None = None

    async def begin(self) -> Begun:
        """Get the right to act."""
        begin = Begin(_id_of(self._held, self._key))
        if (on := self.decided) is not None:
            begin = replace(begin, request=on.request.id, digest=on.digest, step=on.step, again=self._again)
            begin = replace(begin, idempotent=self.idempotent)
        begun = await self._held.call(begin)
        self._granted = begun is Begun.GRANTED
        return begun

    async def act(self, acting: Awaitable[str]) -> str:
        """Act, and keep the outcome."""
        try:
            result = await acting
        except ActionFailed as failure:
            self._outcome = (str(failure), True)
            raise
        if self.decided is not None:
            self._outcome = self.decided.outcome(result)
        return result

    async def reported_late(self, perform: Performing) -> str:
        """Report the outcome here if the run has left this process meanwhile: nobody else will."""
        try:
            return await perform()
        finally:
            if self.decided is not None and self._granted and self._held.token.is_cancelled() and self._outcome:
                with suppress(CountersignError):
                    await self._held.service.call(self._held.lease, _report(self._held, self._key, *self._outcome))


def _report(held: HeldRun, key: str, words: str, failed: bool, done: str = "") -> Report:
    return Report(_id_of(held, key), " ".join(hide(words)[0].split()), failed, done)


def stopped(held: HeldRun, sentence: str, request: Request) -> GivenUp:
    """Give the run up, as people or their silence decided.

    Returns the error that says so.
    """
    decision = decided(request)
    who = decision.who()
    match request.status:
        case Status.EXPIRED:
            how = "Nobody answered in time, so the run has ended."
        case Status.REJECTED:
            words = f" Reason: “{decision.words}”" if decision.words else ""
            how = f"{who[0].upper()}{who[1:]} chose to stop the run.{words}"
        case _:
            how = "The question about it was taken back, so the run has ended."
    error = GivenUp(f"{sentence} {how}")
    held.abort(error)
    return error


def _id_of(held: HeldRun, key: str) -> ExecutionId:
    _, _, repeats = key.removeprefix(first := first_attempt(key)).partition("/again")
    return ExecutionId(f"x{digest_of(held.run.id, first)[:24]}" + (f"-{repeats}" if repeats else ""))


def _which_action(key: str) -> tuple[str, ...]:
    """Number one of several that read the same: people answer for each by itself."""
    digest, number = first_attempt(key).split("/")[-2:]
    return (f"This is about action {digest[:6]}-{int(number) + 1} of the run; the same words may stand for another.",)
