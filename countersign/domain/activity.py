"""The activity of a run: steps, texts, delays, models, calls and outcomes."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from countersign.domain.ids import RequestId

LINE: Final = 200
"""Characters of a line of progress, and of the end of a text that is being written."""
KEPT_STEPS: Final = 20
"""Steps of a plan that are shown."""
LONGEST_STEP: Final = 80
"""Characters of one of them."""

NOT_DONE: Final = "not done"
"""Of an approved action that a rule or its tool refused, so nothing was tried."""
UNKNOWN: Final = "unknown"
"""Of an approved action that began and whose outcome nobody had reported when its run ended."""


@dataclass(frozen=True, slots=True)
class Progress:
    """One thing an agent did, in a line for the requester's thread."""

    at: datetime
    agent: str
    words: str


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a plan: when it was made known, its title, when it was done."""

    at: datetime
    title: str
    done_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Writing:
    """A text that an agent's model is writing, or has just written (`done`).

    Its length so far, and its end.
    """

    agent: str
    characters: int
    words: str
    done: bool = False


@dataclass(frozen=True, slots=True)
class Delay:
    """A wait of an agent, not for people: why, in a sentence, and until when."""

    why: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Usage:
    """The calls of a run's models and what they took.

    Tokens are those of answers that models gave, not of the `cached` ones among `calls`. `models` are the names of
    those that answered, `fallbacks` sentences about those that did not, each with how often.
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

    `tool` is empty for all that have no room.
    """

    tool: str
    why: str
    times: int


@dataclass(frozen=True, slots=True)
class ActionReport:
    """The outcome of an action that people approved; `words` may be empty.

    `done` is the team's word for it, like `sent`. `late`: it was reported when the run was over, or another worker's.
    """

    request: RequestId
    failed: bool
    words: str
    done: str = ""
    late: bool = False


def step_title(words: str) -> str:
    """Write the title of a step as a plan has it: on one line, and cut."""
    line = " ".join(words.split())
    return line if len(line) <= LONGEST_STEP else f"{line[: LONGEST_STEP - 1]}…"
