"""The activity of a run: steps, texts, delays, models, calls and outcomes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from countersign.domain.ids import RequestId

LINE: Final = 200
"""Most characters of a progress line, and of the shown end of a text being written."""
KEPT_STEPS: Final = 20
"""Most steps shown of a plan."""
LONGEST_STEP: Final = 80
"""Most characters of a step."""

NOT_DONE: Final = "not done"
"""Outcome of an approved action that a rule or its tool refused, so nothing was tried."""
UNKNOWN: Final = "unknown"
"""Outcome of an approved action that began but had no report when its run ended."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing an agent did, in a line for the requester's thread."""

    at: datetime
    agent: str
    words: str


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a plan: when it was announced, its title, and when it was done."""

    at: datetime
    title: str
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Writing:
    """A text that an agent's model is writing, or has just written (`done`).

    Holds its length so far and its last characters.
    """

    agent: str
    characters: int
    words: str
    done: bool = False


@dataclass(frozen=True, slots=True)
class Delay:
    """An agent's wait for something other than people: the reason and the end."""

    why: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """Model calls of a run, their tokens and their fallbacks.

    Tokens do not include the `cached` answers among `calls`. `models` names the models that answered. `fallbacks` are
    sentences about the models that did not answer, each with its count.
    """

    prompt_tokens: int
    completion_tokens: int
    calls: int
    cached: int = 0
    models: tuple[tuple[str, int], ...] = ()
    fallbacks: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Passed:
    """Calls of a tool that a policy let pass for the same reason.

    An entry with an empty `tool` counts the calls beyond the limit.
    """

    tool: str
    why: str
    times: int


@dataclass(frozen=True, slots=True)
class ActionReport:
    """Reported outcome of an approved action; its text may be empty.

    `done` is the team's verb for success, like `sent`. `late` marks a report that came after the run ended or after
    another worker had claimed it.
    """

    request: RequestId
    failed: bool
    words: str
    done: str = ""
    late: bool = False


def step_title(words: str) -> str:
    """Put the title of a plan's step on one line and cut it."""
    line = " ".join(words.split())
    return line if len(line) <= LONGEST_STEP else f"{line[: LONGEST_STEP - 1]}…"
