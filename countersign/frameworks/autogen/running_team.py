"""Protocol of a running team of any framework, and the state that it keeps.

A team's `build` returns either a team of AutoGen, which `team_execution` brings here, or a
`RunningTeam` of another framework, which goes on from a state of its own. The worker keeps that state before anything
is asked or done, and hands it back with the answers: in the same process, or in another one after a crash or a long
wait.

The state is one entry of the run's journal, replaced at each stop. With it stands how often each key of the journal was
given out by then: whoever goes on from there gives out the same keys for the same effects, and so finds what was done
since. So do the number of the team's newest plan and its open steps: whoever goes on ticks the same steps, and gives
the next plan the same number.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import TextMessage

from countersign.domain.errors import GivenUp
from countersign.domain.requests import Request
from countersign.frameworks.autogen.progress import ComingSteps
from countersign.runs.entries import Asked, Entry, TeamState
from countersign.runs.run_journal import RunJournal

LONGEST_STATE: Final = 2_000_000
"""Characters. Redis keeps it for as long as the run waits."""
_KEY: Final = f"{TeamState.KIND}/0"
Ask = Callable[[Asked], Coroutine[Any, Any, Request]]
"""Asks people, or finds the request if that was done before; returns it settled."""
Tell = Callable[[str, str], None]
"""Shows people, in the run's thread, what an agent of this name says."""


@dataclass(frozen=True, slots=True)
class Saved:
    """The team's own state where it stopped.

    `answers` are the settled requests, by the ids of its questions.
    """

    state: str
    answers: Mapping[str, Request]


@dataclass(frozen=True, slots=True)
class Suspended:
    """A stop of the team, with its whole state in JSON.

    It goes on once all questions are answered; without any, at once.
    """

    state: str
    questions: tuple[Asked, ...] = ()


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of the team, with its messages for `conclude`."""

    result: TaskResult

    @classmethod
    def of(cls, agent: str, words: str) -> "Ended":
        """Make the end from the last words of an agent."""
        return cls(TaskResult(messages=[TextMessage(content=words, source=agent)]))


class RunningTeam(ABC):
    """A team that was built for one run."""

    @abstractmethod
    async def advance(self, saved: Saved | None, tell: Tell) -> Suspended | Ended:
        """Begin, or go on from a saved state, until it stops or ends.

        The same saved state may come again, and what was done since then must not be done again: whatever acts
        outside goes through the run, whose journal knows it.
        """


async def saved_state(journal: RunJournal, steps: ComingSteps, ask: Ask) -> Saved | None:
    """Return the state at the last stop, once its questions are answered.

    None if there was none. `journal` and `steps` go on from there too.
    """
    entry = journal.lookup(_KEY)
    if entry is None:
        return None
    kept = TeamState.load(entry.value)
    journal.times = Counter(kept.times)
    steps.number, steps.open = kept.plans, dict(kept.open_steps)
    journal.order.set_aside(
        *journal.order.missing_from(())
    )  # what was done since is found by its key, in whichever order
    return await _answered(ask, kept)


async def keep_state(journal: RunJournal, steps: ComingSteps, ask: Ask, stop: Suspended) -> Saved:
    """Keep the state of this stop, and return it once its questions are answered.

    GivenUp, with nothing asked, if it is too large.
    """
    if len(stop.state) > LONGEST_STATE:
        raise GivenUp(
            f"The state of the team has {len(stop.state):,} characters, and at most {LONGEST_STATE:,} can be kept. "
            "Nothing more was asked or done, so the run has ended. Let its agents remember less."
        )
    kept = TeamState(stop.state, dict(journal.times), stop.questions, steps.number, dict(steps.open))
    with journal.activity.working():
        await journal.record(_KEY, Entry("done", kept.dump()), replace=True)
    return await _answered(ask, kept)


async def _answered(ask: Ask, kept: TeamState) -> Saved:
    async with asyncio.TaskGroup() as group:
        asking = {question.id: group.create_task(ask(question)) for question in kept.questions}
    return Saved(kept.state, {id: asked.result() for id, asked in asking.items()})
