"""Idempotency keys of calls in a task of Celery, which may be delivered again."""

import sys
from collections.abc import Mapping
from typing import Any

from countersign.client.question_keys import QuestionKeys


def in_task(function: str, arguments: Mapping[str, Any]) -> str | None:
    """Make the key of a call in the task that runs here.

    None outside of a task that may be delivered again, which are those with `acks_late`. A retry is another call:
    Celery makes one after a failure, which was reported.
    """
    task = getattr(sys.modules.get("celery"), "current_task", None)
    if not task or not task.acks_late or not task.request.id:
        return None
    request = task.request
    keys = request.__dict__.setdefault("countersign_keys", QuestionKeys(f"celery {request.id} {request.retries}"))
    key: str | None = keys.next(function, dict(arguments))
    return key
