"""`web` grants each execution of what people decided once, to the worker that holds the run."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from countersign import usecases
from countersign.domain.activity import UNKNOWN
from countersign.domain.calls import canonical
from countersign.domain.errors import InvalidInput, LeaseLost
from countersign.domain.events import EventType
from countersign.domain.executions import Begun
from countersign.domain.ids import ExecutionId, RunId, digest_of
from countersign.domain.people import Actor
from countersign.domain.requests import Kind, Question, Request, Status, Verb
from countersign.domain.run_calls import Begin, Deliver, Finish, Report
from countersign.domain.runs import Run
from countersign.domain.runs import Verb as RunVerb
from countersign.store.store import Store
from countersign.usecases import executions, run_calls
from countersign.usecases.ports import Lease
from tests.sample_requests import BOB, HERE, attempt, begins, call, editable, execution_of, question, reporting
from tests.slack.socket_bot import events
from tests.store_fixtures import NoQueue, new_run

AGAIN = ExecutionId("x" + "a" * 24 + "-1")


async def decided(
    store: Store, lease: Lease, asked: Question | None = None, verb: Verb = Verb.APPROVE, **more: str
) -> Request:
    request = await usecases.ask(store, lease, asked or call())
    return await usecases.decide(store, NoQueue(), request.id, attempt(request, BOB, verb, request.id, **more))


async def run_of(store: Store, lease: Lease) -> Run:
    seen = await store.run(lease.run)
    assert seen is not None
    return seen.value


async def claimed(store: Store, lease: Lease, by: int = 1) -> Lease:
    later = replace(lease, fence=lease.fence + by, owner="another")
    await usecases.begin(store, later)
    return later


async def test_repeated_begin_of_an_execution_is_granted_once(store: Store, lease: Lease) -> None:
    """R8: the first answer may have been lost."""
    request = await decided(store, lease)
    assert [await executions.begin(store, lease, begins(request)) for _ in range(3)] == [Begun.GRANTED] * 3
    assert len((await run_of(store, lease)).grants) == 1


async def test_later_fence_hears_of_the_earlier_grant(store: Store, lease: Lease) -> None:
    """R4: the worker before may have acted, so it goes to people."""
    request = await decided(store, lease)
    await executions.begin(store, lease, begins(request))
    later = await claimed(store, lease)
    assert await executions.begin(store, later, begins(request)) is Begun.GRANTED_BEFORE
    with pytest.raises(LeaseLost):
        await executions.begin(store, lease, begins(request))


@pytest.mark.parametrize(("failed", "answer"), [(False, Begun.DONE), (True, Begun.FAILED)])
async def test_later_fence_hears_the_reported_outcome(store: Store, lease: Lease, failed: bool, answer: Begun) -> None:
    request = await decided(store, lease)
    await executions.begin(store, lease, begins(request))
    later = await claimed(store, lease)
    await executions.report(store, lease, reporting(request, failed=failed))
    assert await executions.begin(store, later, begins(request)) is answer


async def test_idempotent_execution_is_granted_again(store: Store, lease: Lease) -> None:
    request = await decided(store, lease)
    begin = begins(request, idempotent=True)
    await executions.begin(store, lease, begin)
    assert await executions.begin(store, await claimed(store, lease), begin) is Begun.GRANTED


async def test_begin_delivers_the_decision_in_one_step(store: Store, lease: Lease) -> None:
    """R5"""
    request = await decided(store, lease)
    await executions.begin(store, lease, begins(request))
    run = await run_of(store, lease)
    assert (run.open, run.acted) == ({}, True)
    kinds = [event.type for event in await events(store)]
    assert kinds.count(EventType.DECISION_DELIVERED) == 1
    assert not await store.client.zscore(store.keys.undelivered, request.id)


async def doubt_about(store: Store, lease: Lease, of: Request, kind: Kind = Kind.IN_DOUBT) -> Request:
    asked = question("Did it happen?")
    about = replace(asked, kind=kind, about=execution_of(of.id))
    return await usecases.ask(store, lease, about)


async def test_second_execution_needs_a_persons_answer(store: Store, lease: Lease) -> None:
    request = await decided(store, lease)
    await executions.begin(store, lease, begins(request))
    other = begins(request, execution=AGAIN)
    assert await executions.begin(store, lease, other) is Begun.TAKEN
    doubt = await doubt_about(store, lease, request)
    again = replace(other, again=doubt.id)
    assert await executions.begin(store, lease, again) is Begun.TAKEN
    await usecases.decide(store, NoQueue(), doubt.id, attempt(doubt, BOB, Verb.APPROVE, doubt.id))
    assert await executions.begin(store, lease, again) is Begun.GRANTED
    assert await executions.begin(store, lease, begins(request)) is Begun.TAKEN
    third = replace(again, execution=ExecutionId("x" + "a" * 24 + "-2"))
    assert await executions.begin(store, lease, third) is Begun.TAKEN, "one answer lets it run again once"


@pytest.mark.parametrize(("failed", "answer"), [(False, Begun.DONE), (True, Begun.GRANTED)])
async def test_reported_outcome_overrides_a_permitted_repeat(
    store: Store, lease: Lease, failed: bool, answer: Begun
) -> None:
    """R8: people answered the doubt, and then a worker that had only slept reported that it is done."""
    request = await decided(store, lease)
    await executions.begin(store, lease, begins(request))
    later = await claimed(store, lease)
    doubt = await doubt_about(store, later, request)
    await usecases.decide(store, NoQueue(), doubt.id, attempt(doubt, BOB, Verb.APPROVE, doubt.id))
    await executions.report(store, lease, reporting(request, failed=failed))
    again = begins(request, execution=AGAIN, again=doubt.id)
    assert await executions.begin(store, later, again) is answer


async def test_other_kinds_of_questions_allow_no_second_execution(store: Store, lease: Lease) -> None:
    """R23: silence or a policy may approve those."""
    request = await decided(store, lease)
    await executions.begin(store, lease, begins(request))
    asked = await doubt_about(store, lease, request, Kind.MESSAGE)
    await usecases.decide(store, NoQueue(), asked.id, attempt(asked, BOB, Verb.APPROVE, asked.id))
    again = begins(request, execution=AGAIN, again=asked.id)
    assert await executions.begin(store, lease, again) is Begun.TAKEN


async def test_doubt_about_another_action_allows_no_second_execution(store: Store, lease: Lease) -> None:
    request, other = await decided(store, lease), await decided(store, lease, replace(call(), asked=1))
    for one in (request, other):
        await executions.begin(store, lease, begins(one))
    doubt = await doubt_about(store, lease, other)
    await usecases.decide(store, NoQueue(), doubt.id, attempt(doubt, BOB, Verb.APPROVE, doubt.id))
    again = begins(request, execution=AGAIN, again=doubt.id)
    assert await executions.begin(store, lease, again) is Begun.TAKEN


async def test_begin_compares_the_call_with_the_decision(store: Store, lease: Lease) -> None:
    """R13, R37"""
    request = await decided(store, lease)
    changed = begins(request, digest=digest_of("something else"))
    assert await executions.begin(store, lease, changed) is Begun.CHANGED
    edited = await decided(store, lease, editable(), Verb.EDIT, arguments=canonical({"amount": 10, "order": 17}))
    assert edited.question.call is not None
    as_asked = begins(replace(edited, status=Status.APPROVED))
    assert await executions.begin(store, lease, as_asked) is Begun.CHANGED
    assert await executions.begin(store, lease, begins(edited)) is Begun.GRANTED


@pytest.mark.parametrize("verb", [Verb.REJECT, Verb.RESPOND])
async def test_rejected_call_is_not_granted(store: Store, lease: Lease, verb: Verb) -> None:
    """R12"""
    request = await decided(store, lease, verb=verb, words="Do it.")
    assert await executions.begin(store, lease, begins(request)) is Begun.NOT_APPROVED


async def test_pending_or_foreign_request_does_not_begin(store: Store, lease: Lease) -> None:
    pending = await usecases.ask(store, lease, call())
    foreign = await decided(store, await new_run(store, RunId("rother")))
    for request in (pending, foreign):
        with pytest.raises(InvalidInput, match="Nothing was begun"):
            await executions.begin(store, lease, begins(request))


async def stopped(store: Store, lease: Lease) -> None:
    await usecases.stop(store, lease.run, Actor(HERE, BOB), frozenset({BOB}))


async def finished(store: Store, lease: Lease) -> None:
    await usecases.finish(store, lease, Finish(RunVerb.FINISH, "Done."))


async def taken(store: Store, lease: Lease) -> None:
    await claimed(store, lease)


@pytest.mark.parametrize("happens", [stopped, finished, taken])
async def test_nothing_is_granted_after_a_stop_or_a_claim(
    store: Store, lease: Lease, happens: Callable[[Store, Lease], Awaitable[None]]
) -> None:
    request = await decided(store, lease)
    await happens(store, lease)
    for begin in (begins(request), Begin(AGAIN)):
        with pytest.raises(LeaseLost):
            await executions.begin(store, lease, begin)
    assert (await run_of(store, lease)).grants == {}


@pytest.mark.parametrize("happens", [stopped, finished, taken])
async def test_late_report_is_kept_as_evidence(
    store: Store, lease: Lease, happens: Callable[[Store, Lease], Awaitable[None]]
) -> None:
    """R25: the card and the audit log say that it came late, and the run stays as it was."""
    request = await decided(store, lease)
    await executions.begin(store, lease, begins(request))
    await happens(store, lease)
    before = await run_of(store, lease)
    for _ in range(2):
        await run_calls.answer(store, lease, reporting(request, "Paid."))
    after = await run_of(store, lease)
    [reported] = after.reported
    assert (reported.words, reported.late) == ("Paid.", True)
    assert replace(after, reported=before.reported, grants=before.grants) == before
    told = [event for event in await events(store) if event.data.get("late")]
    assert [(event.type, event.request) for event in told] == [(EventType.ACTION_REPORTED, request.id)]


async def test_report_of_an_ungranted_execution_is_refused(store: Store, lease: Lease) -> None:
    request = await decided(store, lease)
    with pytest.raises(InvalidInput, match="Nothing was reported"):
        await executions.report(store, lease, Report(execution_of(request.id), "Paid."))


@pytest.mark.parametrize("ends", [stopped, finished])
async def test_run_end_reports_an_unknown_outcome(
    store: Store, lease: Lease, ends: Callable[[Store, Lease], Awaitable[None]]
) -> None:
    request, other = await decided(store, lease), await decided(store, lease, replace(call(), asked=1))
    for one in (request, other):
        await executions.begin(store, lease, begins(one))
    await executions.report(store, lease, reporting(other))
    await ends(store, lease)
    reported = {one.request: one.done for one in (await run_of(store, lease)).reported}
    assert reported == {request.id: UNKNOWN, other.id: ""}


async def test_run_end_omits_outcomes_that_people_were_asked_about(store: Store, lease: Lease) -> None:
    request = await decided(store, lease)
    await executions.begin(store, lease, begins(request))
    await doubt_about(store, lease, request)
    await finished(store, lease)
    assert (await run_of(store, lease)).reported == ()


async def test_reason_for_no_execution_is_reported_once(store: Store, lease: Lease) -> None:
    """R45"""
    request = await decided(store, lease)
    for _ in range(2):
        await run_calls.answer(store, lease, Deliver(request.id, "Too much."))
    assert [one.words for one in (await run_of(store, lease)).reported] == ["Too much."]
