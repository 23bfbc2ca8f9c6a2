"""Questions about the run itself: whether an action happened, and how to go on.

Such a question is a request like any other, to the same reviewers, and the run waits and parks for it; but no timeout
approves it, whatever the channel says.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from countersign.autogen.people.human_input import RunQuestions
from countersign.domain.calls import in_words
from countersign.domain.channel_settings import say_duration
from countersign.domain.errors import CountersignError, GivenUp, OutcomeUnknown
from countersign.domain.request_endings import decided
from countersign.domain.requests import Kind, Question, Request, Status, Verb
from countersign.replay.entries import Aside, Entry
from countersign.replay.replay_order import LAST_RESORT
from countersign.replay.run_journal import RunJournal
from countersign.usecases.store_outages import ended

_EFFECTS: Final = {"model": "a new answer of its model", "tool": "another call of a tool", "step": "another action"}
"""Kinds of entries that must not be repeated silently, and what asking for a new one is."""


class UnknownOutcomes:
    """The unknown outcomes of one run.

    `give_up` is called when people end it, because AutoGen turns exceptions into text.
    """

    def __init__(
        self, questions: RunQuestions, journal: RunJournal, give_up: Callable[[Exception], None], team: str
    ) -> None:
        self._questions = questions
        self._journal = journal
        self._give_up = give_up
        self._team = team
        self._asking: asyncio.Task[None] | None = None
        self._before: Counter[str] = Counter()
        """How often the run diverged at an agent and went on."""
        journal.before_live, journal.order.stuck = self.before_live, self._stuck
        for key in journal.of_kind(Aside.KIND):
            if (entry := journal.found(key)) is not None:
                self._go_on(key, entry)

    async def once(self, name: str, shown: str, key: str, attempt: Callable[[str], Awaitable[str]]) -> str:
        """Return the attempt's result; after OutcomeUnknown, the one that people give.

        They may also have it run again, which is an attempt under a key of its own, or end the run: GivenUp. `shown` is
        what was to be done, for people.
        """
        tries = 0
        while True:
            this = f"{key}/again{tries}" if tries else key
            try:
                return await attempt(this)
            except OutcomeUnknown as doubt:
                request = await self._questions.put(self._in_doubt(name, shown, this, tries, doubt))
                if request.status is Status.ANSWERED:
                    ran = Entry("done", decided(request).words)
                    return (await self._journal.result(this, ran, replace=True)).value
                if request.status is not Status.APPROVED:
                    raise self._ended(str(doubt), request) from doubt
            tries += 1

    def _in_doubt(self, name: str, shown: str, key: str, tries: int, doubt: OutcomeUnknown) -> Question:
        entry = self._journal.found(key)
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
            notes=_which(key),
        )

    async def before_live(self, key: str) -> None:
        """Wait until an effect that no record answers may happen now.

        That is when all that is recorded has reached the team. Cancelled if people end the run. The run has diverged
        when effects of the same kind and agent were recorded, and the agent asks for this one instead: its code has
        changed, and would do what they did again in another way.
        """
        who = _who(key)
        await self._journal.order.until(
            lambda: not self._journal.order.replaying and not self._unused(who),
            look=lambda: self._look(key),
            missing=lambda: next(iter(self._unused(who)), ""),
        )

    def _unused(self, who: str) -> list[str]:
        return [key for key in self._journal.unused() if key.startswith(f"{who}/")]

    def _look(self, key: str) -> None:
        # What the agent does at once may be asked for in another order, and later where something is slow.
        who, known = _who(key), self._journal.is_recorded(key) or self._journal.order.was_asked(key)
        kind, _, name = who.partition("/")
        if not known and self._unused(who) and not self._journal.on_the_way(name):
            self._begin(
                who,
                lambda: not self._unused(who) or self._journal.on_the_way(name),
                lambda: f"“{name}” now asks for {_EFFECTS[kind]}, and {_fit_no_more(len(self._unused(who)))}",
            )

    def _stuck(self, missing: str) -> None:
        order, who = self._journal.order, _who(missing)
        name = who.partition("/")[2] or who
        self._begin(
            who,
            lambda: missing not in (order.missing(), *self._journal.unused()),
            lambda: (
                f"nothing has moved for {say_duration(LAST_RESORT)}, because “{name}” does not do again what it did"
            ),
            missing,
        )

    def _begin(self, who: str, solved: Callable[[], bool], why: Callable[[], str], missing: str = "") -> None:
        """Ask people, one question at a time, unless it is solved by itself meanwhile."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(
                self._diverged(who, solved, why, missing), name="question about the code"
            )

    async def _diverged(self, who: str, solved: Callable[[], bool], why: Callable[[], str], missing: str) -> None:
        await self._journal.now()  # whatever else begins at once has begun by then
        if solved():
            return
        sentence = f"The code of the team “{self._team}” has changed while this run was under way: {why()}."
        question = Question(
            who.partition("/")[2] or who,
            self._before[who],
            Kind.DIVERGED,
            "Continue with the changed code?",
            f"{sentence}\n\nContinue from here: recorded steps that still fit are used, the others are done again. "
            "What was already done outside stays done, and may be done again in another way.\n"
            "Stop: the run ends here, and nothing more is done.",
            (Verb.APPROVE, Verb.REJECT),
        )
        putting = asyncio.ensure_future(self._questions.put(question))
        solving = asyncio.ensure_future(self._journal.order.until(solved, held=False))
        try:
            with self._journal.activity.asking_how():
                await asyncio.wait({putting, solving}, return_when=asyncio.FIRST_COMPLETED)
            if not putting.done():
                return
            request = putting.result()
        except (CountersignError, asyncio.CancelledError):
            return  # the questions has told why, and the run ends
        finally:
            await ended(putting, solving)
        if request.status is not Status.APPROVED:
            self._ended(sentence, request)
            return
        # What came later may come from it: people are asked once for a change, not again for each agent behind it.
        keys, turns = self._journal.unused_since({*self._unused(who), missing})
        aside = Aside(tuple(keys), tuple(turns))
        key = f"{Aside.KIND}/{who}/{self._before[who]}"
        self._go_on(key, await self._journal.record(key, Entry("done", aside.dump())))

    def _go_on(self, key: str, entry: Entry) -> None:
        aside = Aside.load(entry.value)
        self._before[key.removeprefix(f"{Aside.KIND}/").rpartition("/")[0]] += 1
        self._journal.set_aside(aside.keys, aside.turns)

    def _ended(self, sentence: str, request: Request) -> GivenUp:
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
        self._give_up(error)
        return error


def _who(key: str) -> str:
    """Kind and agent of a key; or the agent alone, as it is named where its turns end."""
    return re.sub(r"/[0-9a-f]{24}/\d+(/again\d+)?$", "", key)


def _which(key: str) -> tuple[str, ...]:
    """Number one of several that read the same: people answer for each by itself."""
    digest, number = re.sub(r"/again\d+$", "", key).split("/")[-2:]
    return (f"This is about action {digest[:6]}-{int(number) + 1} of the run; the same words may stand for another.",)


def _fit_no_more(count: int) -> str:
    return f"{count} recorded before the change fit{'s' if count == 1 else ''} no more"
