"""Record a run's progress under its worker's lease, and park it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from countersign.domain import requests, runs
from countersign.domain.actions import Action
from countersign.domain.activity import Delay, Progress, Writing
from countersign.domain.errors import InvalidInput, NewerSchema, UnknownSchema
from countersign.domain.events import EventType, shortened, without_secrets
from countersign.domain.ids import RequestId, digest_of
from countersign.domain.run_calls import Judge, Ruling
from countersign.domain.runs import Run
from countersign.usecases.compare_and_set import Keep, Swap, advance, if_live, live, update
from countersign.usecases.effective_settings import judge
from countersign.usecases.ports import Change, Lease, Put, Store


async def note_progress(store: Store, lease: Lease, agent: str, words: str, at: datetime | None = None) -> Run:
    """Add a line of progress, for the requester's thread.

    `at` is the line's time, so that a repeat after a lost reply adds nothing.
    """

    def rule(run: Run, now: datetime) -> runs.Step:
        noted = at is not None and Progress(at, agent, words) in run.progress
        return runs.Step(run) if noted else runs.note_progress(run, agent, words, at or now)

    return await advance(store, lease, rule)


async def note_writing(store: Store, lease: Lease, text: Writing) -> Run:
    """Show the text that an agent is writing in the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_writing(run, text, now))


async def note_delay(store: Store, lease: Lease, delay: Delay) -> Run:
    """Show in the requester's thread why an agent waits."""
    return await advance(store, lease, lambda run, now: runs.note_delay(run, delay, now))


async def note_plan(store: Store, lease: Lease, number: int, titles: Sequence[str]) -> Run:
    """Show the coming steps in the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_plan(run, number, titles, now))


async def note_step_done(store: Store, lease: Lease, number: int, place: int) -> Run:
    """Mark a step of the plan as done in the requester's thread."""
    return await advance(store, lease, lambda run, now: runs.note_step(run, number, place, now))


async def judge_call(store: Store, lease: Lease, call: Judge) -> Ruling:
    """Judge a call by the policy; record it once if nobody is asked about it.

    LeaseLost if the run is no longer ours. InvalidInput if the team says anything but pass, ask or refuse.
    """
    if call.team_says not in (None, *Action):
        raise InvalidInput("A team says pass, ask or refuse. The call was not judged.")
    says = None if call.team_says is None else Action(call.team_says)

    async def propose() -> Keep[Ruling] | Swap[Ruling]:
        seen = await live(store, lease)
        run = seen.value
        judged = await judge(store, run, call.agent, call.call, says)
        why = call.team_why if says is judged.then else ""
        if judged.clause and judged.then is not Action.ASK:  # the card of a question already names the rule
            why = f"The workspace's policy, rule “{judged.clause}”. {judged.why}".strip()
        ruling = Ruling(judged.then, judged.clause, why, judged.version)
        passes = judged.then is Action.ALLOW
        if judged.then is Action.ASK or (passes and call.edited):
            return Keep(ruling)
        kind = EventType.CALL_PASSED if passes else EventType.CALL_REFUSED
        event = replace(runs.event(kind, run, seen.now), data=_recorded(run, call, ruling))
        counted = runs.note_passed(run, call.call.tool, why) if passes else run
        return Swap(Change(runs=(Put(counted, seen.version),), events=(event,), once=call.once), ruling)

    return (await update(store, propose)).value


def _recorded(run: Run, call: Judge, ruling: Ruling) -> dict[str, str]:
    """Collect the audit log's data of a call that nobody was asked about."""
    tool, arguments = call.call.tool, call.call.arguments
    return {
        "agent": call.agent,
        "tool": tool,
        "arguments": shortened(without_secrets(arguments, call.call.hidden)),
        "digest": digest_of(run.salt, digest_of(call.kind, tool, arguments)),
        "why": ruling.why,
        "clause": ruling.clause,
        "policy": str(ruling.version),
        "team_says": call.team_says or "nothing",
        "team": run.team,
        "channel": run.channel,
    }


async def note_delivery(store: Store, lease: Lease, request: RequestId, not_done: str = "") -> Run:
    """Record that the agent has received the decision, or why it is not acted on.

    The run continues if no other question is open. InvalidInput if nobody has decided yet, or the request is another
    run's.
    """
    asked = (await store.readable([request])).get(request)
    if asked is not None and asked.run != lease.run:
        raise InvalidInput(f"Run {lease.run} has no request {request}. Nothing was changed.")

    def rule(run: Run, now: datetime) -> runs.Step:
        if request in run.open.values() and asked is not None and asked.status is requests.Status.PENDING:
            raise InvalidInput(f"Request {request} is still pending, so there is nothing to deliver.")
        step = runs.deliver(run, request, now)
        if not not_done:
            return step
        told = runs.report_not_done(step.run, request, not_done, now)
        return runs.Step(told.run, (*step.events, *told.events))

    return await advance(store, lease, rule, delivered=(request,))


async def park(store: Store, lease: Lease, asked: frozenset[RequestId]) -> bool:
    """Park the run, so that it may leave memory, and close its fence, in one step.

    False if the run has something to do. `asked` are the requests that it waits for; all of them must still be
    undecided in that step, so no decision gets lost in between (R5). Other decisions do not matter: a run with changed
    code has not reached their questions again, and finds the decisions when it does.
    """

    async def propose() -> Keep[bool] | Swap[bool]:
        before = await store.run(lease.run)
        if before is not None and before.value.fence == lease.fence + 1 and before.value.status is runs.Status.PARKED:
            return Keep(True)  # the answer to the first copy was lost
        seen = if_live(before, lease)  # it is not read again, because the first copy may still be under way
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

    It does not rest if one of them is damaged: the worker that advances it then ends it. NewerSchema if a newer version
    wrote one of them.
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
