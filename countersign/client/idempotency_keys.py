"""Idempotency keys of questions that a restarted program asks again."""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any


def key_of(*place: str) -> str:
    """Make the key of a question from its place, such as a run and the id of a call.

    For frameworks that give a call the same id after a restart; for others see `QuestionKeys`.
    """
    return hashlib.sha256(json.dumps(place).encode()).hexdigest()


class QuestionKeys:
    """Idempotency keys of a run's questions; none if the run has no name.

    They are made from the run, the content, and the number of earlier equal questions. So a program that restarts under
    the same run and asks the same questions gets the same keys, whatever ids a framework gives its calls.

        keys = QuestionKeys("order-17")
        keys.next("refund", {"euros": 45})
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._times: Counter[str] = Counter()

    def next(self, *content: Any) -> str | None:
        """Return the key of this question: its content, and how often it was asked before."""
        if not self._run:
            return None
        digest = hashlib.sha256(json.dumps([self._run, *content], sort_keys=True).encode()).hexdigest()
        self._times[digest] += 1
        return f"{digest}-{self._times[digest]}"


def key_in_celery_task(function: str, arguments: Mapping[str, Any]) -> str | None:
    """Make the key of a call in the current Celery task.

    None outside a task with `acks_late`: only such tasks may be delivered again. A retry is another call, because
    Celery retries after a failure, which was reported.
    """
    task = getattr(sys.modules.get("celery"), "current_task", None)
    if not task or not task.acks_late or not task.request.id:
        return None
    request = task.request
    keys = request.__dict__.setdefault("countersign_keys", QuestionKeys(f"celery {request.id} {request.retries}"))
    key: str | None = keys.next(function, dict(arguments))
    return key
