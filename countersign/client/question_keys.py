"""Idempotency keys of the questions of a run that starts again from its beginning."""

import hashlib
import json
from collections import Counter
from typing import Any


class QuestionKeys:
    """Idempotency keys of a run's questions; none if the run has no name."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._times: Counter[str] = Counter()

    def next(self, *asked: Any) -> str | None:
        """The key of this question, by what is asked and how often it was asked before."""
        if not self._run:
            return None
        digest = hashlib.sha256(json.dumps([self._run, *asked], sort_keys=True).encode()).hexdigest()
        self._times[digest] += 1
        return f"{digest}-{self._times[digest]}"
