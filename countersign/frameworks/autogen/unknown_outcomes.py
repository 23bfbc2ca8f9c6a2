"""Effects of a run, each at most once, and questions about unknown outcomes.

Such a question is a request like any other, to the same reviewers, and the run waits and parks for it; but no timeout
approves it, whatever the channel says.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Final

from countersign.domain.calls import in_words
from countersign.domain.errors import GivenUp, LeaseLost, OutcomeUnknown
from countersign.domain.request_endings import decided
from countersign.domain.requests import Kind, Question, Request, Status, Verb
from countersign.domain.run_calls import Begin, Say
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.frameworks.autogen.people.input_func import RunQuestions
from countersign.runs.entries import Entry
from countersign.runs.run_journal import attempt_key, first_attempt
from countersign.runs.side_effects import effect

log = logging.getLogger(__name__)
_CANCELLED_AT_MOST: Final = 3
"""The first one only reaches a team's stream, which then waits for its own agents."""
Act = Callable[[str], Awaitable[str]]
"""Acts outside, once; it gets the key of its first attempt, the same for all of its repeats."""


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

    async def once(self, name: str, shown: str, key: str, act: Act, *, idempotent: bool) -> str:
        """Act at most once under the key; return the result, recorded or new.

        One that was cut off is done again, under the same key, if it is `idempotent`; else people are asked.
        """
        return await self.settled(name, shown, key, lambda attempt: self._uncut(attempt, name, act, idempotent))

    async def still_ours(self) -> None:
        """Renew the lease if it ran out meanwhile; called last before the action.

        A process that slept after the store had said that the run is its own would act beside another worker.
        LeaseLost if another worker has the run.
        """
        while not self._held.lease_runs:
            await self._held.renew_lease()

    async def settled(self, name: str, shown: str, key: str, attempt: Act) -> str:
        """Return the attempt's result; after OutcomeUnknown, the one that people give.

        They may also have it run again, which is an attempt under a key of its own, or end the run: GivenUp. `shown` is
        what was to be done, for people.
        """
        tries = 0
        while True:
            now = attempt_key(key, tries)
            try:
                return await attempt(now)
            except OutcomeUnknown as doubt:
                request = await self._people_on(doubt, name, shown, now, tries)
                if request.status is Status.ANSWERED:
                    ran = Entry("done", decided(request).words)
                    return (await self._journal.record_result(now, ran, replace=True)).value
                if request.status is not Status.APPROVED:
                    raise stopped(self._held, str(doubt), request) from doubt
            tries += 1

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

    async def _uncut(self, key: str, name: str, act: Act, idempotent: bool) -> str:
        """Perform the effect; it outlives its cancelled caller unless it is idempotent."""
        if self._held.token.is_cancelled():
            raise asyncio.CancelledError

        async def check() -> None:
            await self._held.call(Begin())
            await self.still_ours()

        async def uncut(doing: Coroutine[Any, Any, str]) -> str:
            task = asyncio.create_task(doing, name=f"step {name}")
            if idempotent:
                self._held.token.link_future(task)
            self.under_way[task] = first_attempt(key)
            task.add_done_callback(self._done)
            return await asyncio.shield(task)

        try:
            return await effect(
                self._journal, key, name, lambda: act(first_attempt(key)), check, idempotent=idempotent, uncut=uncut
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
            f"Did “{words}” happen?",
            f"{doubt}\n\nAttempt {tries + 1}{since}.\n\nWhat was to be done:\n\n{action}",
            (Verb.RESPOND, Verb.APPROVE, Verb.REJECT),
            notes=_which_action(key),
        )


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


def _which_action(key: str) -> tuple[str, ...]:
    """Number one of several that read the same: people answer for each by itself."""
    digest, number = first_attempt(key).split("/")[-2:]
    return (f"This is about action {digest[:6]}-{int(number) + 1} of the run; the same words may stand for another.",)
