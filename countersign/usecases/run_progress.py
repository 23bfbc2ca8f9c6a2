"""Note on a run how it advances, under the lease of its worker; park it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from countersign.domain import requests, runs
from countersign.domain.activity import Delay, Progress, Writing
from countersign.domain.errors import InvalidInput, NewerSchema, UnknownSchema
from countersign.domain.events import Event, EventType
from countersign.domain.ids import RequestId
from countersign.domain.run_calls import NoteVerdict, Report
from countersign.domain.runs import Run
from countersign.usecases.compare_and_set import Keep, Swap, advance, if_live, live, update
from countersign.usecases.ports import Change, Lease, Put, Store


async def note_progress(store: Store, lease: Lease, agent: str, words: str, at: datetime | None = None) -> Run:
    """Add a line of progress, for the requester's thread.

    `at` is its moment, so that a repeat after a lost reply adds nothing.
    """

    def rule(run: Run, now: datetime) -> runs.Step:
        noted = at is not None and Progress(at, agent, words) in run.progress
        return runs.Step(run) if noted else runs.note_progress(run, agent, words, at or now)

    return await advance(store, lease, rule)


async def note_writing(store: Store, lease: Lease, text: Writing) -> Run:
    """Note the text that an agent is writing, for the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_writing(run, text, now))


async def note_delay(store: Store, lease: Lease, delay: Delay) -> Run:
    """Note why an agent waits, for the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_delay(run, delay, now))


async def note_plan(store: Store, lease: Lease, number: int, titles: Sequence[str]) -> Run:
    """Note the steps to come, for the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_plan(run, number, titles, now))


async def note_step_done(store: Store, lease: Lease, number: int, place: int) -> Run:
    """Note that a step of the plan was done, for the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_step(run, number, place, now))


async def note_verdict(store: Store, lease: Lease, verdict: NoteVerdict) -> None:
    """Record the verdict, once. LeaseLost if the run is no longer ours."""

    async def propose() -> Swap[None]:
        seen = await live(store, lease)
        event = Event(
            EventType.CALL_PASSED if verdict.passed else EventType.CALL_REFUSED,
            seen.now,
            run=lease.run,
            workspace=seen.value.workspace,
            data={
                "agent": verdict.agent,
                "tool": verdict.tool,
                "arguments": verdict.arguments,
                "digest": verdict.digest,
                "why": verdict.why,
                "clause": verdict.clause,
                "policy": str(verdict.version),
                "team_says": verdict.team_says,
                "team": seen.value.team,
                "channel": seen.value.channel,
            },
        )
        run = seen.value
        counted = runs.note_passed(run, verdict.tool, verdict.why) if verdict.passed else run
        return Swap(Change(runs=(Put(counted, seen.version),), events=(event,), once=verdict.once), None)

    await update(store, propose)


async def note_delivery(store: Store, lease: Lease, request: RequestId) -> Run:
    """Note that the agent has the decision.

    The run continues if nothing else is asked. InvalidInput if nobody has decided yet.
    """
    asked = (await store.readable([request])).get(request)

    def rule(run: Run, now: datetime) -> runs.Step:
        if request not in run.open.values():
            return runs.Step(run)
        if asked is not None and asked.status is requests.Status.PENDING:
            raise InvalidInput(f"Request {request} is still pending, so there is nothing to deliver.")
        freed = replace(run, open={slot: name for slot, name in run.open.items() if name != request}, acted=True)
        if not freed.open:
            freed = runs.move(freed, runs.Verb.GO_ON, now) or freed
        delivered = Event(EventType.DECISION_DELIVERED, now, run=run.id, request=request, workspace=run.workspace)
        return runs.Step(freed, (delivered,))

    return await advance(store, lease, rule, delivered=(request,))


async def report(store: Store, lease: Lease, call: Report) -> Run:
    """Note once the outcome of an action that people approved, for its card.

    InvalidInput if the request is another run's.
    """
    asked = (await store.readable([call.request])).get(call.request)
    if asked is not None and asked.run != lease.run:
        raise InvalidInput(f"Run {lease.run} has no request {call.request}. Nothing was reported.")

    def rule(run: Run, now: datetime) -> runs.Step:
        return runs.report(run, call.request, call.words, now, failed=call.failed, done=call.done)

    return await advance(store, lease, rule)


async def check_ours(store: Store, lease: Lease) -> None:
    """Check, right before an effect outside, that the run is ours; note the first.

    LeaseLost if it is not.
    """

    async def propose() -> Swap[None]:
        seen = await live(store, lease)
        if seen.value.acted:
            return Swap(Change(held=Put(seen.value, seen.version)), None)
        return Swap(Change(runs=(Put(replace(seen.value, acted=True), seen.version),)), None)

    await update(store, propose)


async def park(store: Store, lease: Lease, asked: frozenset[RequestId]) -> bool:
    """Park the run, so that it may leave memory, and close its fence, in one step.

    False if it has something to do. `asked` are the requests that it waits for; all of them must still be undecided in
    that step, so no decision falls between (R5). Nobody waits for other decisions: a run with changed code did not get
    there again, and finds them when it does.
    """

    async def propose() -> Keep[bool] | Swap[bool]:
        before = await store.run(lease.run)
        if before is not None and before.value.fence == lease.fence + 1 and before.value.status is runs.Status.PARKED:
            return Keep(True)  # the answer to the first copy was lost
        seen = if_live(before, lease)  # not read again: that copy may be under way
        open_requests = {slot: await store.request(name) for slot, name in seen.value.open.items()}
        still = {slot: r for slot, r in open_requests.items() if r and r.value.status is requests.Status.PENDING}
        parked = runs.move(seen.value, runs.Verb.PARK, seen.now)
        if parked is None or not asked or not asked <= {r.value.id for r in still.values()}:
            return Keep(False)
        waiting = {slot: r.value.id for slot, r in still.items()}
        change = Change(
            runs=(Put(replace(parked, open=waiting, fence=lease.fence + 1), seen.version),),
            unchanged=tuple(Put(r.value, r.version) for r in still.values()),
            delivered=tuple(name for slot, name in seen.value.open.items() if slot not in still),
        )
        return Swap(change, True)

    return (await update(store, propose)).value


async def rests(store: Store, run: Run) -> bool:
    """Tell whether the run is parked and still waits for all of its requests.

    It does not rest if one of them is damaged: whoever advances it then ends it. NewerSchema if a newer version wrote
    one.
    """
    if run.status is not runs.Status.PARKED:
        return False
    try:
        open_requests = await store.requests(list(run.open.values()))
    except NewerSchema:
        raise
    except UnknownSchema:
        return False
    return all(request is not None and request.status is requests.Status.PENDING for request in open_requests)
