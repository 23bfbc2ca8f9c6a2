"""The protocol of a team at work, whatever its framework.

A team's `build` returns either a team of AutoGen, which `countersign.autogen.replayed_team` brings here, or a
`TeamAtWork` of another framework, which goes on from a state of its own. The worker keeps that state before anything is
asked or done, and hands it back with the answers: in the same process, or in another one after a crash or a long wait.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from autogen_agentchat.base import TaskResult
from autogen_agentchat.messages import TextMessage

from countersign.domain.requests import Request
from countersign.replay.entries import Asked

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
class Waits:
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


class TeamAtWork(ABC):
    """A team that was built for one run."""

    @abstractmethod
    async def advance(self, saved: Saved | None, tell: Tell) -> Waits | Ended:
        """Begin, or go on from a saved state, until it stops or ends.

        The same saved state may come again, and what was done since then must not be done again: whatever acts
        outside goes through the run, whose journal knows it.
        """
