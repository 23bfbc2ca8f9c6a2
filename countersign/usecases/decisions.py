"""Decide, expire, withdraw a request, and wake the run that waits for it."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime

from countersign.domain import (
    decision_attempts,
    eligibility,
    filled_sentences,
    request_endings,
    requests,
    runs,
    schedule,
    standing_permissions,
)
from countersign.domain.actions import Action
from countersign.domain.attempt_refusals import Refusal
from countersign.domain.calls import is_canonical
from countersign.domain.decision_attempts import Attempt
from countersign.domain.errors import CountersignError, NotFound, Refused, StoreUnavailable
from countersign.domain.ids import RequestId
from countersign.domain.people import Actor
from countersign.domain.question_salts import asker
from countersign.domain.requests import Decision, Request
from countersign.policy import evaluation
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, Update, update
from countersign.usecases.effective_settings import judge, rules_of, silence_approves
from countersign.usecases.ports import Change, Committed, Message, Put, Queue, SeenRequest, Store

Voters = Callable[[Request], Awaitable[tuple[Actor, ...]]]
"""Looks up the voters of a request, as Slack describes them now."""
CardUpdates = Callable[[SeenRequest, bool], Awaitable[tuple[Put[Message], ...]]]
"""Returns the messages to store with an attempt, whether it counts or is refused."""
CardCheck = Callable[[Message], Awaitable[bool | None]]
"""Tells whether a card is visible at this moment; None if Slack does not say."""
_StepFor = Callable[[SeenRequest], Awaitable[requests.Step]]
_ENTERED_IN_A_WINDOW = frozenset(
    {None, Refusal.NO_WORDS, Refusal.NO_REASON, Refusal.NOT_ARGUMENTS, Refusal.NOT_A_TEXT, Refusal.NO_CHOICE}
    | {Refusal.NOT_OPENED}
)
"""Refusals of attempts that lack only an input in a window, or opening it."""
_log = logging.getLogger(__name__)


async def decide(
    store: Store,
    queue: Queue,
    request: RequestId,
    attempt: Attempt,
    seen: SeenRequest | None = None,
    voters: Voters | None = None,
    card_updates: CardUpdates | None = None,
) -> Request:
    """Count the attempt, and wake a parked run.

    Returns the request as it is then: decided, or with one more vote. `seen` is the request as the caller read it a
    moment ago, which saves a read; the commit finds out if it is old. `voters` looks up the earlier voters; without it,
    their votes do not count towards a quorum. `card_updates` gives the messages to store in the same step (R47).

    Refused, with nothing changed but an event for the audit, if the attempt does not count. A late click settles a
    request whose deadline passed unnoticed. NotFound if the request does not exist.
    """

    async def propose() -> Keep[Request] | Swap[Request] | Refuse:
        nonlocal seen
        read_already, seen = seen, None  # a later try reads the request itself
        current = read_already or await store.request(request)
        if current is None:
            return Refuse(NotFound(Refusal.UNKNOWN.value))
        judged = attempt
        if voters is not None and current.value.votes:
            judged = replace(attempt, voters=await voters(current.value))
        run = await store.run(current.value.run) if attempt.permission is not None else None
        outgrown = await _outgrown(store, current, judged)
        step = decision_attempts.decide(current.value, judged, current.now, outgrown)
        if not step.changes:
            return Keep(step.request, confirm=current)
        cards = await _cards(card_updates, current, attempt, counts=step.refusal is None)
        if step.refusal is not None:
            error = Refused(step.refusal, filled_sentences.sentence(step.refusal, step.request))
            return Refuse(error, record=Change(messages=cards, events=step.events, once=attempt.id))
        put, events, deadline = Put(step.request, current.version), step.events, current.value.deadline
        permission = None if run is None else standing_permissions.given_with(step.request, run.value.known_as)
        given = () if permission is None else (Put(permission, 0),)
        if permission is not None:
            events = (*events, standing_permissions.given(permission))
        change = Change(requests=(put,), messages=cards, permissions=given, events=events, before=deadline)
        return Swap(change, step.request)

    try:
        outcome = await update(store, propose)
    except Refused as refused:
        raise await _settled_late(store, queue, request, refused) from None
    return await wake_parked(store, queue, outcome)


async def _cards(
    card_updates: CardUpdates | None, seen: SeenRequest, attempt: Attempt, *, counts: bool
) -> tuple[Put[Message], ...]:
    """Return the messages to store with an attempt, if it was about this content."""
    if card_updates is None or attempt.digest != seen.value.digest:
        return ()
    return await card_updates(seen, counts)


async def why_no_window(
    store: Store, queue: Queue, seen: SeenRequest, attempt: Attempt, card_updates: CardUpdates | None = None
) -> Refused | None:
    """Refuse an attempt that could not count, whatever the person enters.

    Returns None if the window may open. The attempt is judged by the request as `seen`, and a refusal is recorded
    (R25): a click that opens a window never decides, even if its person has become a reviewer since.
    """
    if decision_attempts.why_refused(seen.value, attempt, seen.now) in _ENTERED_IN_A_WINDOW:
        return None
    step = decision_attempts.decide(seen.value, attempt, seen.now)
    if step.refusal is None:
        return None
    refused = Refused(step.refusal, filled_sentences.sentence(step.refusal, step.request))

    async def record() -> Swap[None]:
        newest = await store.request(seen.value.id) if card_updates is not None else None  # others may draw its card
        cards = await _cards(card_updates, newest or seen, attempt, counts=False)
        return Swap(Change(messages=cards, events=step.events, once=attempt.id), None)

    await update(store, record)
    return await _settled_late(store, queue, seen.value.id, refused)


async def _settled_late(store: Store, queue: Queue, request: RequestId, refused: Refused) -> Refused:
    """Settle a request whose deadline passed unnoticed; the refusal says so."""
    settled = await catch_up(store, queue, request) if refused.refusal is Refusal.TIME_RAN_OUT else None
    if settled is None:
        return refused
    return Refused(refused.refusal, filled_sentences.sentence(refused.refusal, settled))


async def _outgrown(store: Store, seen: SeenRequest, attempt: Attempt) -> bool:
    """Tell whether the policy has a stricter rule for the changed call (R9, R19).

    The policy may refuse the changed call, or have a rule under which its editor could not approve it alone or would
    need a stronger proof.
    """
    request, call = seen.value, seen.value.question.call
    if attempt.verb is not requests.Verb.EDIT or call is None or not is_canonical(attempt.arguments):
        return False
    run = await store.run(request.run)
    if run is None:
        return True
    changed = replace(call, arguments=attempt.arguments)
    judgement = await judge(store, run.value, asker(request.question), changed, Action.ASK)
    rules = evaluation.apply(judgement, await rules_of(store, run.value.channel))
    proved_less = judgement.terms.proof is not None and not request.rules.proof.reaches(rules.proof)
    if judgement.then is Action.DENY or proved_less:
        return True
    if judgement.clause == request.rules.clause:
        return (judgement.terms.quorum or 1) > request.rules.quorum
    alone = eligibility.why_not_person(replace(request, rules=rules), attempt.actor, seen.now) is None
    return rules.quorum > 1 or not alone


async def catch_up(
    store: Store, queue: Queue, request: RequestId, card_check: CardCheck | None = None
) -> Request | None:
    """Settle a request whose deadline has passed, escalate or remind, as is due.

    Returns the resulting request, None if it does not exist. Silence approves only if the channel's settings and the
    workspace's policy still allow it (R23), never a high-risk request, and only if the card was visible in its channel
    all the time and, by `card_check`, still is (R32). Without an answer from Slack, such a request stays as it is.
    """

    async def step_for(seen: SeenRequest) -> requests.Step:
        over = seen.value.deadline is not None and seen.now >= seen.value.deadline
        if over:
            return await _expired(store, seen, card_check)
        return schedule.due(seen.value, seen.now)

    return await _settle(store, queue, request, step_for)


async def note_card_shown(store: Store, request: RequestId, since: datetime) -> None:
    """Note when the card became visible: silent approval counts its time from then."""

    async def propose() -> Keep[None] | Swap[None]:
        seen = await store.request(request)
        if seen is None or (step := request_endings.stands(seen.value, since, seen.now)).request == seen.value:
            return Keep(None)
        return Swap(Change(requests=(Put(step.request, seen.version),), before=seen.value.deadline), None)

    await update(store, propose)


async def _expired(store: Store, seen: SeenRequest, card_check: CardCheck | None) -> requests.Step:
    request, unchanged = seen.value, requests.Step(seen.value)
    step = request_endings.expire(request, seen.now)
    if not step.changes or step.request.status is not requests.Status.APPROVED:
        return step
    if not await silence_approves(store, request):
        return request_endings.expire(request, seen.now, unless="")
    unseen = request_endings.expire(request, seen.now, unless=request_endings.UNSEEN)
    since = seen.card.value.stands_since if seen.card is not None and seen.card.value.ts else None
    if seen.card is None or not request_endings.seen_long_enough(request, since, seen.now):
        return unseen
    there = None if card_check is None else await card_check(seen.card.value)
    if there is None:
        return unchanged
    return step if there else unseen


async def turn_down(store: Store, queue: Queue, request: RequestId, why: str) -> Request | None:
    """Reject a request that nobody could decide on, before anybody is asked (R10).

    `why` is a sentence.
    """

    async def step_for(seen: SeenRequest) -> requests.Step:
        if seen.value.status is not requests.Status.PENDING or seen.value.votes:
            return requests.Step(seen.value)
        words = Refusal.NOBODY_COULD.value.format(what=why)
        decision = Decision(requests.Status.REJECTED, requests.How.POLICY, seen.now, words=words)
        return request_endings.settle(seen.value, decision)

    return await _settle(store, queue, request, step_for)


async def _settle(store: Store, queue: Queue, request: RequestId, step_for: _StepFor) -> Request | None:
    async def propose() -> Keep[Request | None] | Swap[Request | None]:
        seen = await store.request(request)
        if seen is None:
            return Keep(None)
        after = (step := await step_for(seen)).request
        if after == seen.value:
            return Keep(after)
        # A silent approval was checked against the current card, and is stored only if the card is unchanged.
        silent = after.status is requests.Status.APPROVED
        change = Change(
            requests=(Put(after, seen.version),),
            events=step.events,
            before=seen.value.deadline if after.status is requests.Status.PENDING else None,
            shown=(seen.card,) if silent and seen.card is not None else (),
        )
        return Swap(change, after)

    outcome = await update(store, propose)
    return None if outcome.value is None else await wake_parked(store, queue, Update(outcome.value, outcome.answer))


async def wake_parked(store: Store, queue: Queue, outcome: Update[Request]) -> Request:
    """Queue the run of a settled request, if it is parked.

    A run in memory waits for the request itself, and a run about to park finds its request settled and does not
    (`park`). After a repeat the run is queued again, because the process that settled the request may have died before
    it did so.
    """
    request = outcome.value
    if outcome.answer is Committed.DONE_BUT_PARKED:
        await _wake(queue, request)
    if outcome.answer is None and request.status is not requests.Status.PENDING:
        try:
            run = await store.run(request.run)
        except StoreUnavailable:  # the decision still counts
            return request
        if run is not None and run.value.status is runs.Status.PARKED:
            await _wake(queue, request)
    return request


async def _wake(queue: Queue, request: Request) -> None:
    if request.run.of_script:  # the run's own program waits for it
        return
    try:
        await queue.advance(request.run, signal=request.id)
    except CountersignError as away:  # the decision still counts
        _log.warning("Run %s could not be queued; the workers will find request %s. %s", request.run, request.id, away)
