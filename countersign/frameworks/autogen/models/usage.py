"""The calls and tokens of one run's models, and the limit of their number."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from countersign.domain.activity import Usage
from countersign.domain.errors import GivenUp
from countersign.frameworks.autogen.models.wrapper import Answer
from countersign.runs.run_journal import RunJournal

MODEL: Final = "model"
"""The kind of the journal's entries that hold answers of models."""


class Budget:
    """The number of model calls that the agents of one run may make together.

    Recorded answers count too, once each.
    """

    def __init__(self, journal: RunJournal, most: int) -> None:
        self._journal = journal
        self._most = most
        self._asking: set[str] = set()

    @contextmanager
    def call(self, key: str) -> Iterator[None]:
        """Enclose one live call. GivenUp if it would be one too many."""
        if len(self._journal.of_kind(MODEL).keys() | self._asking) >= self._most:
            raise GivenUp(
                f"The agents have asked their models {self._most:,} times, which is as often as one run may "
                "(MODEL_CALLS), so the run has ended. What was done before stays done. Please look at what the agents "
                "said before you start the task again."
            )
        self._asking.add(key)
        try:
            yield
        finally:
            self._asking.discard(key)


def add_up(journal: RunJournal) -> Usage | None:
    """Add up the calls and tokens of the run's answers; None if no model was asked.

    Each answer counts once, however often the run was rebuilt. Answers from the cache were paid for by another run and
    do not count. Providers that count no tokens give 0.
    """
    recorded = [entry for entry in journal.of_kind(MODEL).values() if entry.state == "done"]
    answers = [Answer.model_validate_json(entry.value) for entry in recorded]
    if not answers:
        return None
    paid = [answer for answer in answers if not answer.cached]
    return Usage(
        prompt_tokens=sum(answer.usage.prompt_tokens for answer in paid),
        completion_tokens=sum(answer.usage.completion_tokens for answer in paid),
        calls=len(answers),
        cached=len(answers) - len(paid),
        models=tuple(Counter(answer.by for answer in answers if answer.by).items()),
        fallbacks=tuple(Counter(why for answer in paid for why in answer.instead_of).items()),
    )
