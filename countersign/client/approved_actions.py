"""Approved actions, done once and reported, without I/O.

The clients do an action when they get to `Act`.
"""

from typing import Any

from countersign.client import attempts, exchange
from countersign.client.exchange import Act, Decision, Exchange, failure


def perform(decision: Decision, act: Act[Any]) -> Exchange[None]:
    """Begin what was approved, do it, and tell what came of it.

    NotApproved and AlreadyRan as for `attempts.begin`; nothing is done then.
    """
    attempt = yield from attempts.begin(decision, act.body, alone=act.key is not None and not act.idempotent)
    yield act
    if isinstance(act.error, act.unfinished):
        yield from attempts.did_nothing(decision, attempt)
        return
    succeeded, words = act.outcome(act.result) if act.error is None else (False, failure(act.error))
    yield from exchange.tell(decision.request, succeeded=succeeded, words=words)
