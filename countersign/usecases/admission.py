"""Admit requests of workers, under the rules that web finds.

A worker writes its requests, and their copies of the rules, under its own keys. Before web draws a card or counts
anything, it finds the rules itself. Usually they are the same and nothing is written: the card's own record says what
web vouched for, so that settings may change later. Where they differ, web's are written, and count.
"""

import logging
from dataclasses import fields
from typing import TypeVar

from countersign.domain import request_endings, requests
from countersign.domain.channel_settings import Rules
from countersign.domain.errors import NewerSchema, Refused, UnknownSchema
from countersign.domain.events import EventType
from countersign.domain.ids import RequestId
from countersign.domain.requests import Decision, How, Request, Status, Step
from countersign.usecases.compare_and_set import Keep, Swap, update
from countersign.usecases.effective_settings import rules_for
from countersign.usecases.ports import Admitted, Change, Claimed, Put, Store

T = TypeVar("T", Request, Rules)
_log = logging.getLogger(__name__)


async def admitted(store: Store, request: RequestId) -> Admitted | None:
    """Read a request as web counts it, to decide, change or draw it, or None."""
    seen = await store.request(request)
    return None if seen is None else await admit(store, seen)


async def intact(store: Store, request: RequestId) -> Admitted | None:
    """Read a request as `admitted` does; None also if it is damaged, which is logged.

    NewerSchema if a newer version wrote it: it is left for that one.
    """
    try:
        return await admitted(store, request)
    except NewerSchema:
        raise
    except UnknownSchema as damaged:
        if request in await store.readable([request]):  # else its name is in the log, once
            _log.error("Request %s is left out: %s", request, damaged)
        return None


async def admit(store: Store, seen: Claimed) -> Admitted:
    """Turn a request that was read already into one as web counts it.

    A request that the policy refuses, or nobody could decide, is rejected.
    """
    if not _waits_unvouched(seen):
        return _as_it_stands(seen)
    read_already: Claimed | None = seen

    async def propose() -> Keep[Admitted] | Swap[Admitted]:
        nonlocal seen, read_already
        if read_already is None:
            seen = await store.request(seen.value.id) or seen
        read_already = None
        step = await _as_web_sees_it(store, seen) if _waits_unvouched(seen) else Step(seen.value)
        if not step.changes:
            return Keep(_as_it_stands(seen))
        change = Change(requests=(Put(step.request, seen.version),), events=step.events)
        return Swap(change, Admitted(step.request, seen.version + 1, seen.now, card=seen.card))

    outcome = await update(store, propose)
    if outcome.answer is not None and (decision := outcome.value.value.decision) is not None:
        _log.warning("Request %s was rejected without asking anybody: %s", seen.value.id, decision.words)
    elif outcome.answer is not None:
        _log.warning("Request %s was asked under other rules than web finds; those of web count.", seen.value.id)
    return outcome.value


def _waits_unvouched(seen: Claimed) -> bool:
    """Tell whether a request waits for people on a worker's word alone."""
    return bool(seen.claim) and seen.value.status is Status.PENDING


def _as_it_stands(seen: Claimed) -> Admitted:
    return Admitted(seen.value, seen.version, seen.now, seen.claim, seen.card)


async def _as_web_sees_it(store: Store, seen: Claimed) -> Step:
    claimed = seen.value
    run = await store.run(claimed.run)
    if run is None:
        return _rejected(claimed, seen, "Nobody knows the run that asks this.")
    try:
        rules = await rules_for(store, run.value, claimed.question)
    except Refused as refused:
        return _rejected(claimed, seen, str(refused))
    right = requests.ask(
        claimed.question,
        run=claimed.run,
        workspace=run.value.workspace,
        channel=run.value.channel,
        requester=run.value.requester,
        rules=rules,
        now=min(claimed.created_at, seen.now),
    ).request
    if right == claimed:
        return Step(claimed)
    data = ", ".join([*_differing(claimed, right), *_differing(claimed.rules, rules)])
    return Step(right, (requests.event(EventType.RULES_REPLACED, right, seen.now, wrong=data),))


def _rejected(claimed: Request, seen: Claimed, why: str) -> Step:
    return request_endings.settle(claimed, Decision(Status.REJECTED, How.POLICY, seen.now, words=why))


def _differing(claimed: T, right: T) -> list[str]:
    names = [field.name for field in fields(claimed) if field.name != "rules"]
    return [name for name in names if getattr(claimed, name) != getattr(right, name)]
