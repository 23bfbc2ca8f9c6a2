"""Decide, expire, withdraw a request, and wake the run that waits for it."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from countersign.domain import (
    decision_rules,
    eligibility,
    permissions,
    refusal_messages,
    request_endings,
    requests,
    runs,
    schedule,
)
from countersign.domain.calls import is_canonical
from countersign.domain.decision_rules import Attempt
from countersign.domain.errors import CountersignError, NotFound, Refused, StoreUnavailable
from countersign.domain.ids import RequestId
from countersign.domain.people import Actor
from countersign.domain.question_salts import asker
from countersign.domain.refusal_reasons import Refusal
from countersign.domain.requests import Decision, Request
from countersign.domain.runs import Run
from countersign.policy import evaluation
from countersign.policy.evaluation import Effect
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, Update, update
from countersign.usecases.effective_settings import judge, rules_of, silence_approves
from countersign.usecases.ports import Admitted, Change, Committed, Message, Put, Queue, Store
from countersign.usecases.worker_requests import admitted

Voters = Callable[[Request], Awaitable[tuple[Actor, ...]]]
"""Looks up those who voted on a request, as Slack describes them now."""
Held = Callable[[Admitted], Awaitable[tuple[Put[Message], ...]]]
"""Returns the messages that are stored with an attempt that counts."""
StillThere = Callable[[Message], Awaitable[bool | None]]
"""Tells whether people can see a card at this moment; None if Slack does not say."""
_ENTERED_IN_A_WINDOW = frozenset(
    {None, Refusal.NO_WORDS, Refusal.NO_REASON, Refusal.NOT_ARGUMENTS, Refusal.NOT_A_TEXT, Refusal.NO_CHOICE}
    | {Refusal.NOT_OPENED}
)
"""Refusals of attempts that lack only what a person enters, or opens, in a window."""
_log = logging.getLogger(__name__)


class Ruling(NamedTuple):
    """The step for a request, and the card without which it may not be taken."""

    step: requests.Step
    card: Put[Message] | None = None


async def decide(
    store: Store,
    queue: Queue,
    request: RequestId,
    attempt: Attempt,
    seen: Admitted | None = None,
    voters: Voters | None = None,
    held: Held | None = None,
) -> Request:
    """Count the attempt, and wake a parked run.

    Returns the request as it is then: decided, or with one more vote. `seen` is the request as the caller read it a
    moment ago, which saves a read; the commit finds out if it is old. `voters` looks up who voted before; without it no
    vote of somebody else completes a quorum. `held` gives what is stored of its card in the same step.

    Refused, with nothing changed but an event for the audit, if the attempt does not count. A late click settles a
    request whose time ran out unnoticed. NotFound if there is no such request.
    """

    async def read() -> _Attempted | None:
        nonlocal seen
        known, seen = seen, None  # a later try reads the request itself
        asked = await admitted(store, request) if known is None else known
        if asked is None:
            return None
        counted = attempt
        if voters is not None and asked.value.votes:
            counted = replace(attempt, voters=await voters(asked.value))
        run = await store.run(asked.value.run) if attempt.wish is not None else None
        cards = () if held is None else await held(asked)
        return _Attempted(asked, counted, await _outgrown(store, asked, counted), run.value if run else None, cards)

    try:
        outcome = await update(store, read, _counted)
    except Refused as refused:
        raise await _settled_late(store, queue, request, refused) from None
    return await wake_parked(store, queue, outcome)


async def why_no_window(store: Store, queue: Queue, seen: Admitted, attempt: Attempt) -> Refused | None:
    """Refuse an attempt that could not count, whatever is entered in its window.

    Returns None if the window may open. The attempt is judged by the request as `seen`, and a refusal put on record
    (R25): a click that is to open a window never decides, though its person may have been named since.
    """
    if decision_rules.why_refused(seen.value, attempt, seen.now) in _ENTERED_IN_A_WINDOW:
        return None
    step = decision_rules.decide(seen.value, attempt, seen.now)
    if step.refusal is None:
        return None
    await store.commit(Change(events=step.events, once=attempt.id))
    refused = Refused(step.refusal, refusal_messages.sentence(step.refusal, step.request))
    return await _settled_late(store, queue, seen.value.id, refused)


async def _settled_late(store: Store, queue: Queue, request: RequestId, refused: Refused) -> Refused:
    """Settle a request whose time ran out unnoticed, and say so in the refusal."""
    settled = await expire(store, queue, request) if refused.refusal is Refusal.TIME_RAN_OUT else None
    if settled is None:
        return refused
    return Refused(refused.refusal, refusal_messages.sentence(refused.refusal, settled))


class _Attempted(NamedTuple):
    """Facts by which an attempt is judged; `run` only if a permission is wished for."""

    seen: Admitted
    attempt: Attempt
    outgrown: bool
    run: Run | None
    cards: tuple[Put[Message], ...]


def _counted(read: _Attempted | None) -> Keep[Request] | Swap[Request] | Refuse:
    if read is None:
        return Refuse(NotFound(Refusal.UNKNOWN.value))
    seen, attempt = read.seen, read.attempt
    step = decision_rules.decide(seen.value, attempt, seen.now, read.outgrown)
    if not step.changes:
        return Keep(step.request, confirm=seen)
    if (refusal := step.refusal) is not None:
        error = Refused(refusal, refusal_messages.sentence(refusal, step.request))
        return Refuse(error, record=Change(events=step.events, once=attempt.id))
    put = Put(step.request, seen.version)
    change = Change(requests=(put,), messages=read.cards, events=step.events, before=seen.value.deadline)
    permission = None if read.run is None else permissions.given_with(step.request, read.run.known_as)
    if permission is not None:
        change = replace(
            change, permissions=(Put(permission, 0),), events=(*change.events, permissions.given(permission))
        )
    return Swap(change, step.request)


async def _outgrown(store: Store, seen: Admitted, attempt: Attempt) -> bool:
    """Tell whether the policy has a stricter rule for the changed call (R9, R19).

    It may refuse the call, or have a rule under which its editor could not approve it alone.
    """
    request, call = seen.value, seen.value.question.call
    if attempt.verb is not requests.Verb.EDIT or call is None or not is_canonical(attempt.arguments):
        return False
    run = await store.run(request.run)
    if run is None:
        return True
    changed = replace(call, arguments=attempt.arguments)
    judgement = await judge(store, run.value, asker(request.question), changed, Effect.ASK)
    if judgement.effect is Effect.REFUSE or judgement.clause == request.rules.clause:
        return judgement.effect is Effect.REFUSE or (judgement.terms.quorum or 1) > request.rules.quorum
    rules = evaluation.apply(judgement, await rules_of(store, run.value.channel))
    alone = eligibility.why_not_person(replace(request, rules=rules), attempt.actor, seen.now) is None
    return rules.quorum > 1 or not alone


async def expire(
    store: Store, queue: Queue, request: RequestId, still_there: StillThere | None = None
) -> Request | None:
    """Settle a request whose deadline has passed.

    Returns the request as it is then, None if there is none. Silence approves only where the channel's settings and
    the workspace's policy, which no worker can write, say so now too (R23), never a request of high risk, and only one
    whose card stood in its channel all the time and is `still_there` (R32). Only web may write that and can look: a
    worker, or web without an answer from Slack, gets such a request back as it is.
    """
    return await _settle(store, queue, request, lambda seen: _expired(store, seen, still_there))


async def due(store: Store, queue: Queue, request: RequestId, still_there: StillThere | None = None) -> Request | None:
    """Settle a request, escalate it or remind, if that is due.

    Returns the request as it is then. A worker only settles; web alone may write the rest.
    """

    async def ruling(seen: Admitted) -> Ruling:
        over = seen.value.deadline is not None and seen.now >= seen.value.deadline
        if over or not store.decides:
            return await _expired(store, seen, still_there)
        return Ruling(schedule.due(seen.value, seen.now))

    return await _settle(store, queue, request, ruling)


async def stands(store: Store, request: RequestId, since: datetime) -> None:
    """Note since when the card stands: silent approval counts its time from then."""

    def rule(seen: Admitted | None) -> Keep[None] | Swap[None]:
        if seen is None or (step := request_endings.stands(seen.value, since, seen.now)).request == seen.value:
            return Keep(None)
        return Swap(Change(requests=(Put(step.request, seen.version),), before=seen.value.deadline), None)

    await update(store, lambda: admitted(store, request), rule)


async def _expired(store: Store, seen: Admitted, still_there: StillThere | None) -> Ruling:
    if seen.value.run.of_program and not store.decides:  # web alone writes those
        return Ruling(requests.Step(seen.value))
    step = request_endings.expire(seen.value, seen.now)
    if not step.changes or step.request.status is not requests.Status.APPROVED:
        return Ruling(step)
    if not store.decides:
        return Ruling(requests.Step(seen.value))
    if not await silence_approves(store, seen.value):
        return Ruling(request_endings.expire(seen.value, seen.now, unless=""))
    since = seen.card.value.stands_since if seen.card is not None and seen.card.value.ts else None
    if seen.card is None or not request_endings.seen_long_enough(seen.value, since, seen.now):
        return Ruling(request_endings.expire(seen.value, seen.now, unless=request_endings.UNSEEN))
    there = None if still_there is None else await still_there(seen.card.value)
    if there is None:
        return Ruling(requests.Step(seen.value))
    if not there:
        return Ruling(request_endings.expire(seen.value, seen.now, unless=request_endings.UNSEEN))
    return Ruling(step, seen.card)


async def turn_down(store: Store, queue: Queue, request: RequestId, why: str) -> Request | None:
    """Reject a request that nobody could decide on, before anybody is asked (R10).

    `why` is a sentence.
    """

    async def ruling(seen: Admitted) -> Ruling:
        if seen.value.status is not requests.Status.PENDING or seen.value.votes:
            return Ruling(requests.Step(seen.value))
        words = Refusal.NOBODY_COULD.value.format(what=why)
        decision = Decision(requests.Status.REJECTED, requests.How.POLICY, seen.now, words=words)
        return Ruling(request_endings.settle(seen.value, decision))

    return await _settle(store, queue, request, ruling)


async def _settle(
    store: Store, queue: Queue, request: RequestId, ruling: Callable[[Admitted], Awaitable[Ruling]]
) -> Request | None:
    async def read() -> tuple[Admitted, Ruling] | None:
        seen = await admitted(store, request)
        return None if seen is None else (seen, await ruling(seen))

    outcome = await update(store, read, _ruled)
    return None if outcome.value is None else await wake_parked(store, queue, Update(outcome.value, outcome.answer))


def _ruled(read: tuple[Admitted, Ruling] | None) -> Keep[Request | None] | Swap[Request | None]:
    if read is None:
        return Keep(None)
    seen, (step, card) = read
    if step.request == seen.value:
        return Keep(step.request)
    waits = step.request.status is requests.Status.PENDING
    change = Change(
        requests=(Put(step.request, seen.version),),
        events=step.events,
        before=seen.value.deadline if waits else None,
        shown=() if card is None else (card,),
    )
    return Swap(change, step.request)


async def wake_parked(store: Store, queue: Queue, outcome: Update[Request]) -> Request:
    """Ask for the run of a settled request, if it is parked.

    One in memory waits for the request itself, and one that parks at this moment finds its request settled and does
    not (`park`). After a repeat the run is asked for again: the process that settled the request may have died before
    it asked.
    """
    request = outcome.value
    if outcome.answer is Committed.DONE_BUT_PARKED:
        await _wake(queue, request)
    if outcome.answer is None and request.status is not requests.Status.PENDING:
        try:
            run = await store.run(request.run)
        except StoreUnavailable:  # the decision counts all the same
            return request
        if run is not None and run.value.status is runs.Status.PARKED:
            await _wake(queue, request)
    return request


async def _wake(queue: Queue, request: Request) -> None:
    if request.run.of_script:  # its own program waits for it
        return
    try:
        await queue.advance(request.run, signal=request.id)
    except CountersignError as away:  # the decision counts all the same
        _log.warning("Run %s was not asked for; the workers find request %s. %s", request.run, request.id, away)
