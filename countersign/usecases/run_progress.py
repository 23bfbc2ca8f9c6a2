"""Note on a run how it advances, under the lease of its worker; park it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from countersign.domain import requests, runs
from countersign.domain.activity import Delay, Progress, Writing
from countersign.domain.errors import NewerSchema, UnknownSchema
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, Digest, RequestId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.compare_and_set import Keep, Swap, advance, commit_or_raise, live, update
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


async def note_verdict(
    store: Store,
    lease: Lease,
    agent: str,
    tool: str,
    *,
    passed: bool,
    arguments: str,
    digest: Digest,
    why: str,
    clause: str,
    version: int,
    team_says: str,
    once: AttemptId,
) -> None:
    """Record, once, a call that a policy let pass or refused without asking people.

    The run counts the calls that passed. `arguments` are as people may see them, `digest` is that of the true ones;
    `clause` is the rule of the workspace's policy that counted, `version` that policy's, `team_says` the judgement of
    the team's own code. LeaseLost if the run is no longer ours.
    """

    async def propose() -> Swap[None]:
        seen = await live(store, lease)
        event = Event(
            EventType.CALL_PASSED if passed else EventType.CALL_REFUSED,
            seen.now,
            run=lease.run,
            workspace=seen.value.workspace,
            data={
                "agent": agent,
                "tool": tool,
                "arguments": arguments,
                "digest": digest,
                "why": why,
                "clause": clause,
                "policy": str(version),
                "team_says": team_says,
                "team": seen.value.team,
                "channel": seen.value.channel,
            },
        )
        counted = (Put(runs.note_passed(seen.value, tool, why), seen.version),) if passed else ()
        return Swap(Change(runs=counted, events=(event,), lease=lease, once=once), None)

    await update(store, propose)


async def note_delivery(store: Store, lease: Lease, request: Request) -> Run:
    """Note that the agent has the decision: the run goes on if nothing else is asked."""

    def rule(run: Run, now: datetime) -> runs.Step:
        if run.open.get(request.slot) != request.id:
            return runs.Step(run)
        freed = replace(run, open={k: v for k, v in run.open.items() if k != request.slot})
        if not freed.open:
            freed = runs.move(freed, runs.Verb.GO_ON, now) or freed
        delivered = Event(EventType.DECISION_DELIVERED, now, run=run.id, request=request.id, workspace=run.workspace)
        return runs.Step(freed, (delivered,))

    return await advance(store, lease, rule, delivered=(request.id,))


async def report(store: Store, lease: Lease, request: RequestId, words: str, *, failed: bool, done: str = "") -> Run:
    """Note once what came of an action that people approved, for its card."""
    return await advance(store, lease, lambda run, now: runs.report(run, request, words, now, failed=failed, done=done))


async def check_ours(store: Store, lease: Lease) -> None:
    """Check, right before an effect outside, that the run is ours; LeaseLost if not."""
    await live(store, lease)
    await commit_or_raise(store, Change(lease=lease))


async def park(store: Store, lease: Lease, asked: frozenset[RequestId]) -> bool:
    """Park the run, so that it may leave memory, and end its lease, in one step.

    False if it has something to do. `asked` are the requests that it waits for; all of them must still be undecided in
    that step, so no decision falls between (R5). Nobody waits for other decisions: a run with changed code did not get
    there again, and finds them when it does.
    """

    async def propose() -> Keep[bool] | Swap[bool]:
        seen = await live(store, lease)
        open_requests = {slot: await store.request(name) for slot, name in seen.value.open.items()}
        still = {slot: r for slot, r in open_requests.items() if r and r.value.status is requests.Status.PENDING}
        parked = runs.move(seen.value, runs.Verb.PARK, seen.now)
        if parked is None or not asked or not asked <= {r.value.id for r in still.values()}:
            return Keep(False)
        change = Change(
            runs=(Put(replace(parked, open={slot: r.value.id for slot, r in still.items()}), seen.version),),
            unchanged=tuple(Put(r.value, r.version) for r in still.values()),
            delivered=tuple(name for slot, name in seen.value.open.items() if slot not in still),
            lease=lease,
            release=True,
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
