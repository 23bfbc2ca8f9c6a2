"""Approved actions, done once and reported, without I/O.

The clients perform the action when they receive `Act`.
"""

from typing import Any

from countersign.client import exchange, executions
from countersign.client.exchange import Act, Decision, Exchange, failure


def perform(decision: Decision, act: Act[Any]) -> Exchange[None]:
    """Begin the approved action, perform it, and report its outcome.

    Raises NotApproved and AlreadyRan like `executions.begin`; the action is not performed then.
    """
    execution = yield from executions.begin(decision, act.body, key=act.key, idempotent=act.idempotent)
    yield act
    if isinstance(act.error, act.unfinished):
        yield from executions.did_nothing(decision, execution)
        return
    succeeded, words = act.outcome(act.result) if act.error is None else (False, failure(act.error))
    yield from exchange.tell(decision.request, succeeded=succeeded, words=words)
