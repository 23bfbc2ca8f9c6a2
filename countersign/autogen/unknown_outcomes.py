"""Effects of a run, each at most once, and questions about unknown outcomes.

Such a question is a request like any other, to the same reviewers, and the run waits and parks for it; but no timeout
approves it, whatever the channel says.
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from datetime import datetime

from countersign import usecases
from countersign.autogen.held_run import HeldRun
from countersign.autogen.people.input_func import RunQuestions
from countersign.domain.calls import in_words
from countersign.domain.errors import GivenUp, LeaseLost, OutcomeUnknown
from countersign.domain.request_endings import decided
from countersign.domain.requests import Kind, Question, Request, Status, Verb
from countersign.replay.entries import Entry
from countersign.replay.side_effects import effect

log = logging.getLogger(__name__)
Act = Callable[[str], Awaitable[str]]
"""Acts outside, once; it gets the key of its attempt."""


class Effects:
    """The effects of one run; `under_way` are never cut off."""

    def __init__(self, held: HeldRun, questions: RunQuestions) -> None:
        self.under_way: set[asyncio.Task[str]] = set()
        self._held = held
        self._journal = held.journal
        self._questions = questions

    async def once(self, name: str, shown: str, key: str, act: Act, *, idempotent: bool) -> str:
        """Act at most once under the key; return the result, recorded or new.

        One that was cut off is done again, under the same key, if it is `idempotent`; else people are asked.
        """
        return await self.settled(name, shown, key, lambda attempt: self._uncut(attempt, name, act, idempotent))

    async def settled(self, name: str, shown: str, key: str, attempt: Act) -> str:
        """Return the attempt's result; after OutcomeUnknown, the one that people give.

        They may also have it run again, which is an attempt under a key of its own, or end the run: GivenUp. `shown` is
        what was to be done, for people.
        """
        tries = 0
        while True:
            attempt_key = f"{key}/again{tries}" if tries else key
            try:
                return await attempt(attempt_key)
            except OutcomeUnknown as doubt:
                request = await self._questions.put(self._in_doubt(name, shown, attempt_key, tries, doubt))
                if request.status is Status.ANSWERED:
                    ran = Entry("done", decided(request).words)
                    return (await self._journal.record_result(attempt_key, ran, replace=True)).value
                if request.status is not Status.APPROVED:
                    raise stopped(self._held, str(doubt), request) from doubt
            tries += 1

    async def _uncut(self, key: str, name: str, act: Act, idempotent: bool) -> str:
        """Perform the effect; it outlives its cancelled caller unless it is idempotent."""
        if self._held.token.is_cancelled():
            raise asyncio.CancelledError

        async def check() -> None:
            await self._held.write(usecases.check_ours)

        doing = effect(self._journal, key, name, lambda: act(key), check, idempotent=idempotent)
        task = asyncio.create_task(doing, name=f"step {name}")
        if idempotent:
            self._held.token.link_future(task)
        self.under_way.add(task)
        task.add_done_callback(self._done)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._journal.abandon(key)
            raise
        except LeaseLost as error:
            self._held.abort(error)
            raise

    def _done(self, task: asyncio.Task[str]) -> None:
        self.under_way.discard(task)
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
    digest, number = re.sub(r"/again\d+$", "", key).split("/")[-2:]
    return (f"This is about action {digest[:6]}-{int(number) + 1} of the run; the same words may stand for another.",)
