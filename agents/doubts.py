"""What a run cannot know by itself is asked of people: whether an action happened, and how to go on with other code.

Such a question is a request like any other, to the same reviewers, and the run waits and parks for it; but no timeout
approves it, whatever the channel says.
"""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from agents.activity import SETTLING
from agents.answers import decided
from agents.human import Desk
from agents.journal import Entry, RunJournal
from bot.core.errors import GivenUp, OutcomeUnknown
from bot.core.requests import Kind, Question, Request, Status, Verb

_EFFECTS: Final = {"model": "a new answer of its model", "tool": "another call of a tool", "step": "another action"}
"""Kinds of entries that must not be repeated silently, and what asking for a new one is."""
_ASIDE: Final = "aside/"
"""Begins the keys of entries that hold which others were set aside."""


class Doubts:
    """The doubts of one run. `give_up` is told when people end it, because AutoGen turns exceptions into text."""

    def __init__(self, desk: Desk, journal: RunJournal, give_up: Callable[[Exception], None], team: str) -> None:
        self._desk = desk
        self._journal = journal
        self._give_up = give_up
        self._team = team
        self._one_at_a_time: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._before: Counter[str] = Counter()
        """How often the run diverged at an agent and went on."""
        for key in journal.unused():
            if key.startswith(_ASIDE) and (entry := journal.found(key)) is not None:
                self._go_on(key, entry)

    async def once(self, name: str, shown: str, key: str, attempt: Callable[[str], Awaitable[str]]) -> str:
        """What `attempt` returns under the key; where it raises OutcomeUnknown, what people say that it returned.

        They may also say that it shall run again, which is an attempt under a key of its own, or end the run:
        GivenUp. `shown` is what was to be done, as people see it.
        """
        tries = 0
        while True:
            this = f"{key}/again{tries}" if tries else key
            try:
                return await attempt(this)
            except OutcomeUnknown as doubt:
                request = await self._desk.put(self._in_doubt(name, shown, this, tries, doubt))
                if request.status is Status.ANSWERED:
                    ran = Entry("done", decided(request).words)
                    return (await self._journal.result(this, ran, replace=True)).value
                if request.status is not Status.APPROVED:
                    raise self._ended(str(doubt), request) from doubt
            tries += 1

    def _in_doubt(self, name: str, shown: str, key: str, tries: int, doubt: OutcomeUnknown) -> Question:
        entry = self._journal.found(key)
        since = f", started {datetime.fromisoformat(entry.at):%Y-%m-%d %H:%M:%S} UTC" if entry and entry.at else ""
        what = f"{name}\n{shown}" if shown else name
        return Question(
            name,
            tries,
            Kind.IN_DOUBT,
            f"Did “{name}” happen?",
            f"{doubt}\n\nAttempt {tries + 1}{since}.\n\nWhat was to be done:\n\n{what}",
            (Verb.RESPOND, Verb.APPROVE, Verb.REJECT),
        )

    async def before_live(self, key: str) -> None:
        """Returns if the effect may happen now, though nothing recorded answers it; GivenUp if people end the run.

        It has diverged when effects of the same kind and agent were recorded and nobody asked for them: then the code
        is another one than that which made them, and what they did would be done again in another way.
        """
        kind, agent = key.split("/", 1)[0], key.rsplit("/", 2)[0]
        if kind not in _EFFECTS or not self._unused(agent):
            return
        async with self._one_at_a_time[agent]:
            # What one agent does at once may be asked for in another order, and later where the store is slow.
            looked_up = True
            while looked_up and self._unused(agent):
                looked_up = self._journal.activity.looks_up
                await asyncio.sleep(SETTLING.total_seconds())
                looked_up = looked_up or self._journal.activity.looks_up
            if unused := self._unused(agent):
                await self._diverged(agent, kind, unused)

    def _unused(self, agent: str) -> list[str]:
        return [key for key in self._journal.unused() if key.startswith(f"{agent}/")]

    async def _diverged(self, agent: str, kind: str, unused: list[str]) -> None:
        name = agent.partition("/")[2]
        sentence = (
            f"The code of the team “{self._team}” has changed while this run was under way: “{name}” now asks for "
            f"{_EFFECTS[kind]}, and {len(unused)} recorded before the change fit{'s' if len(unused) == 1 else ''} no "
            "more."
        )
        question = Question(
            name,
            self._before[agent],
            Kind.DIVERGED,
            "Go on with changed code?",
            f"{sentence}\n\nContinue from here: what is recorded and still fits is used, the rest is done anew; what "
            "was done outside before stays done, and may be done again in another way.\n"
            "Stop: the run ends here, and nothing more is done.",
            (Verb.APPROVE, Verb.REJECT),
        )
        request = await self._desk.put(question)
        if request.status is not Status.APPROVED:
            raise self._ended(sentence, request)
        # What came later may come from it: people are asked once for a change, not again for each agent behind it.
        aside = Entry("done", json.dumps(self._journal.unused_since(unused)))
        key = f"{_ASIDE}{agent}/{self._before[agent]}"
        self._go_on(key, await self._journal.record(key, aside))

    def _go_on(self, key: str, aside: Entry) -> None:
        self._journal.set_aside(json.loads(aside.value))
        self._before[key.removeprefix(_ASIDE).rpartition("/")[0]] += 1

    def _ended(self, sentence: str, request: Request) -> GivenUp:
        decision = decided(request)
        who = decision.who()
        match request.status:
            case Status.EXPIRED:
                how = "Nobody answered in time, so the run has ended."
            case Status.REJECTED:
                words = f" Their words: “{decision.words}”" if decision.words else ""
                how = f"{who[0].upper()}{who[1:]} chose to stop the run.{words}"
            case _:
                how = "The question about it was taken back, so the run has ended."
        error = GivenUp(f"{sentence} {how}")
        self._give_up(error)
        return error
