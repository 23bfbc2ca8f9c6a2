"""Advance a run under the lease of its worker."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

from countersign.domain import requests, runs
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId, Digest, RequestId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.compare_and_set import Keep, Swap, committed, live, update
from countersign.usecases.ports import Change, Claimed, Lease, Put, Seen, Store


async def begin(store: Store, lease: Lease) -> Run:
    """The run starts, or goes on in this process after another one let it go, or after it was parked."""

    def rule(run: Run, now: datetime) -> runs.Step:
        if run.status is runs.Status.PARKED:
            woken = runs.move(run, runs.Verb.GO_ON, now) or run
            return runs.Step((runs.move(woken, runs.Verb.WAIT, now) or woken) if run.open else woken)
        started = runs.move(run, runs.Verb.START, now)
        if started is None:
            return runs.Step(run)
        return runs.Step(started, (runs.event(EventType.RUN_STARTED, started, now, owner=lease.owner),))

    return await advance(store, lease, rule)


async def progressed(store: Store, lease: Lease, agent: str, words: str, at: datetime | None = None) -> Run:
    """One more line of progress for the requester's thread; of the moment `at`, so that a repeat, after a reply that
    was lost, tells nothing twice."""

    def rule(run: Run, now: datetime) -> runs.Step:
        told = at is not None and runs.Progress(at, agent, words) in run.progress
        return runs.Step(run) if told else runs.note_progress(run, agent, words, at or now)

    return await advance(store, lease, rule)


async def writing(store: Store, lease: Lease, what: runs.Writing) -> Run:
    """What an agent is just writing, for the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_writing(run, what, now))


async def judged(
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
    """Record, once, that a policy let a call pass, or refused it, without asking people; a run counts what passed.

    `arguments` are as people may see them, `digest` is that of the true ones; `clause` is the rule of the workspace's
    policy that counted, `version` that policy's, `team_says` what the team's own code wanted. LeaseLost if the run is
    no longer ours.
    """

    def rule(seen: Seen[Run]) -> Swap[None]:
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

    await update(store, lambda: live(store, lease), rule)


async def answered(store: Store, lease: Lease, request: Request) -> Run:
    """The agent has the decision: its place is free again, and the run goes on if nothing else is asked."""

    def rule(run: Run, now: datetime) -> runs.Step:
        if run.open.get(request.slot) != request.id:
            return runs.Step(run)
        freed = replace(run, open={k: v for k, v in run.open.items() if k != request.slot})
        if not freed.open:
            freed = runs.move(freed, runs.Verb.GO_ON, now) or freed
        delivered = Event(EventType.DECISION_DELIVERED, now, run=run.id, request=request.id, workspace=run.workspace)
        return runs.Step(freed, (delivered,))

    return await advance(store, lease, rule, delivered=(request.id,))


async def still_ours(store: Store, lease: Lease) -> None:
    """LeaseLost if the run has ended or another worker has claimed it: asked right before anything is done outside."""
    await live(store, lease)
    await committed(store, Change(lease=lease))


async def park(store: Store, lease: Lease, asked: frozenset[RequestId]) -> bool:
    """The run may leave memory: in one step it is parked and its lease ends. False if it has something to do.

    `asked` is what it waits for; all of that must still be undecided in that step, so no decision falls between (R5).
    Other decisions have nobody who waits for them: a run with changed code did not get there again, and finds them
    when it does.
    """

    async def read() -> tuple[Seen[Run], dict[str, Claimed | None]]:
        seen = await live(store, lease)
        return seen, {slot: await store.request(name) for slot, name in seen.value.open.items()}

    def rule(read: tuple[Seen[Run], dict[str, Claimed | None]]) -> Keep[bool] | Swap[bool]:
        seen, known = read
        still = {slot: r for slot, r in known.items() if r and r.value.status is requests.Status.PENDING}
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

    return (await update(store, read, rule)).value


async def rests(store: Store, run: Run) -> bool:
    """Whether there is nothing to do for the run: it is parked, and nothing that it asks was settled."""
    if run.status is not runs.Status.PARKED:
        return False
    found = await store.requests(list(run.open.values()))
    return all(request is not None and request.status is requests.Status.PENDING for request in found)


async def advance(
    store: Store,
    lease: Lease,
    change: Callable[[Run, datetime], runs.Step],
    delivered: tuple[RequestId, ...] = (),
) -> Run:
    """Change a run under its lease. LeaseLost if it is no longer ours or has ended."""

    def rule(seen: Seen[Run]) -> Keep[Run] | Swap[Run]:
        step = change(seen.value, seen.now)
        if step.run == seen.value and not step.events:
            return Keep(step.run)
        put = Put(step.run, seen.version)
        return Swap(Change(runs=(put,), events=step.events, lease=lease, delivered=delivered), step.run)

    return (await update(store, lambda: live(store, lease), rule)).value
