"""Questions to people when the code of a team has changed under its run.

A rebuilt run then asks for something else than was recorded, and would do again in another way what it did. Such a
question is a request like any other, but no timeout approves it, whatever the channel says.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from countersign.domain.durations import say_duration
from countersign.domain.errors import CountersignError
from countersign.domain.question_salts import asking_agent
from countersign.domain.requests import Kind, Question, Status, Verb
from countersign.frameworks.autogen.held_run import HeldRun
from countersign.frameworks.autogen.people.run_questions import RunQuestions
from countersign.frameworks.autogen.unknown_outcomes import stopped
from countersign.runs.entries import Aside, Entry
from countersign.runs.replay_order import LAST_RESORT
from countersign.usecases.store_outages import ended

_EFFECTS: Final = {"model": "a new answer of its model", "tool": "another call of a tool", "step": "another action"}
"""Kinds of entries that must not be repeated silently, and what asking for a new one is."""

_KEY: Final = re.compile(r"([^/]+)/(.*)/[0-9a-f]{24}/\d+(?:/again\d+)?(?:/changed)?")
"""A key of the journal: kind, agent, digest and count."""


@dataclass(frozen=True, slots=True)
class _Divergence:
    """A difference between what a rebuilt run does and what is recorded.

    `who` is the kind of an entry and its agent, or the path of an agent whose turn is missing; `agent` is its name
    alone. `why` describes the difference to people. `solved`
    says whether it is gone meanwhile. `missing` is the recorded key, or agent's turn, that did not come again, if only
    one is known.
    """

    who: str
    agent: str
    solved: Callable[[], bool]
    why: Callable[[], str]
    missing: str = ""


class ChangedCode:
    """The questions of one run about its changed code, one at a time."""

    def __init__(self, held: HeldRun, questions: RunQuestions) -> None:
        self._held = held
        self._journal = held.journal
        self._questions = questions
        self._asking: asyncio.Task[None] | None = None
        self._times: Counter[str] = Counter()
        """How often the run diverged at an agent and went on."""

    def attach(self) -> None:
        """Have the journal call this where a run diverges; repeat what people allowed.

        Without it a run with changed code would do again, unasked, what it had done. The journal keeps the object.
        """
        self._journal.before_execution, self._journal.order.stuck = self.before_execution, self._stuck
        for key in self._journal.of_kind(Aside.KIND):
            if (entry := self._journal.lookup(key)) is not None:
                self._go_on(key, entry)

    async def before_execution(self, key: str) -> None:
        """Wait until an effect that no record answers may happen now.

        That is when all that is recorded has reached the team. Cancelled if people end the run. The run has diverged
        when effects of the same kind and agent were recorded, and the agent asks for this one instead: its code has
        changed, and would do what they did again in another way.
        """
        who, _ = _who(key)
        await self._journal.order.wait_until(
            lambda: not self._journal.order.replaying and not self._unused(who),
            on_wake=lambda: self._look(key),
            missing=lambda: next(iter(self._unused(who)), ""),
        )

    def _unused(self, who: str) -> list[str]:
        return [key for key in self._journal.order.unused() if key.startswith(f"{who}/")]

    def _look(self, key: str) -> None:
        # What the agent does at once may be asked for in another order, and later where something is slow.
        (who, name), kind = _who(key), key.partition("/")[0]
        known = self._journal.is_recorded(key) or self._journal.order.wait(key).expected
        if not known and self._unused(who) and not self._journal.pending_calls.has(name):
            self._ask(
                _Divergence(
                    who,
                    name,
                    lambda: not self._unused(who) or self._journal.pending_calls.has(name),
                    lambda: f"“{name}” now asks for {_EFFECTS[kind]}, and {_fit_no_more(len(self._unused(who)))}",
                )
            )

    def _stuck(self, missing: str) -> None:
        who, name = _who(missing)
        why = f"nothing has moved for {say_duration(LAST_RESORT)}, because “{name}” does not do again what it did"
        solved = partial(self._is_found, missing)
        self._ask(_Divergence(who, name, solved, lambda: why, missing))

    def _is_found(self, missing: str) -> bool:
        return missing not in (self._journal.order.first_missing(), *self._journal.order.unused())

    def _ask(self, divergence: _Divergence) -> None:
        """Ask people, one question at a time."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._asked(divergence), name="question about the code")

    async def _asked(self, divergence: _Divergence) -> None:
        await self._journal.now()  # whatever else begins at once has begun by then
        if divergence.solved():
            return
        who, team = divergence.who, self._held.run.team
        sentence = f"The code of the team “{team}” has changed while this run was under way: {divergence.why()}."
        question = Question(
            divergence.agent,
            self._times[who],
            Kind.DIVERGED,
            "Continue with the changed code?",
            f"{sentence}\n\nContinue from here: recorded steps that still fit are used, the others are done again. "
            "What was already done outside stays done, and may be done again in another way.\n"
            "Stop: the run ends here, and nothing more is done.",
            (Verb.APPROVE, Verb.REJECT),
        )
        putting = asyncio.ensure_future(self._questions.put(question))
        solving = asyncio.ensure_future(self._journal.order.wait_until(divergence.solved, busy=False))
        try:
            with self._journal.activity.asking_how_to_go_on():
                await asyncio.wait({putting, solving}, return_when=asyncio.FIRST_COMPLETED)
            if not putting.done():
                return
            request = putting.result()
        except (CountersignError, asyncio.CancelledError):
            return  # the run was given up with the reason, and ends
        finally:
            await ended(putting, solving)
        if request.status is not Status.APPROVED:
            stopped(self._held, sentence, request)
            return
        # What came later may come from it: people are asked once for a change, not again for each agent behind it.
        keys, turns = self._journal.order.missing_from({*self._unused(who), divergence.missing})
        aside = Aside(tuple(keys), tuple(turns))
        key = f"{Aside.KIND}/{who}/{self._times[who]}"
        self._go_on(key, await self._journal.record(key, Entry("done", aside.dump())))

    def _go_on(self, key: str, entry: Entry) -> None:
        aside = Aside.load(entry.value)
        self._times[key.removeprefix(f"{Aside.KIND}/").rpartition("/")[0]] += 1
        self._journal.order.set_aside(aside.keys, aside.turns)


def _who(missing: str) -> tuple[str, str]:
    """Return the kind and agent of a key, or the path of an agent whose turn this is; and the agent's name."""
    if key := _KEY.fullmatch(missing):
        return f"{key[1]}/{key[2]}", asking_agent(key[2])
    return missing, missing.rpartition("/")[2]


def _fit_no_more(count: int) -> str:
    return f"{count} recorded before the change fit{'s' if count == 1 else ''} no more"
