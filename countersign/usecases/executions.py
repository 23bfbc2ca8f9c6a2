"""Grant workers executions of what people decided, each once, and take reports."""

import asyncio
from dataclasses import replace

from countersign.domain import executions, runs
from countersign.domain.errors import InvalidInput
from countersign.domain.executions import Begun, Grant
from countersign.domain.ids import RequestId
from countersign.domain.request_endings import decided_digest, may_act
from countersign.domain.requests import Kind, Request, Status
from countersign.domain.run_calls import Begin, Report
from countersign.usecases.compare_and_set import Keep, Swap, live, update
from countersign.usecases.ports import Change, Lease, Put, Store


async def begin(store: Store, lease: Lease, call: Begin) -> Begun:
    """Grant the execution that is about to start; its decision counts as delivered.

    LeaseLost if the run is no longer the caller's, or has ended. InvalidInput if the request is another run's, or
    nobody decided yet.
    """
    if call.request is None:
        await _begin_undecided(store, lease)
        return Begun.GRANTED
    asked, doubt = await asyncio.gather(_of_run(store, lease, call.request), _of_run(store, lease, call.again))
    if asked is None or asked.status is Status.PENDING:
        raise InvalidInput(f"Run {lease.run} has no decided request {call.request}. Nothing was begun.")
    replaces = "" if doubt is None else doubt.question.about
    why_not = _why_not(asked, doubt, call)

    async def propose() -> Swap[Begun]:
        seen = await live(store, lease)
        run, answer, grants = seen.value, why_not or Begun.GRANTED, seen.value.grants
        if why_not is None:
            wanted = Grant(asked.id, lease.fence, call.step)
            found, answer = executions.grant(
                grants, call.execution, wanted, replaces=replaces, idempotent=call.idempotent
            )
            grants = dict(found)
        step = runs.deliver(replace(run, grants=grants, acted=True), asked.id, seen.now)
        if step.run == run:
            return Swap(Change(held=Put(run, seen.version)), answer)
        return Swap(Change(runs=(Put(step.run, seen.version),), events=step.events, delivered=(asked.id,)), answer)

    return (await update(store, propose)).value


def _why_not(asked: Request, doubt: Request | None, call: Begin) -> Begun | None:
    """Say why the execution is not what people decided; None if it is."""
    if not may_act(asked):
        return Begun.NOT_APPROVED
    if call.digest != decided_digest(asked):
        return Begun.CHANGED
    if asked.question.call is not None and call.step:
        return Begun.TAKEN
    if call.again is not None and (doubt is None or not _permits_another(doubt)):
        return Begun.TAKEN
    return None


def _permits_another(doubt: Request) -> bool:
    """Tell whether people want the action again; nobody but people approves a question in doubt."""
    question = doubt.question
    return question.kind is Kind.IN_DOUBT and doubt.status is Status.APPROVED and question.about != ""


async def _of_run(store: Store, lease: Lease, request: RequestId | None) -> Request | None:
    seen = None if request is None else await store.request(request)
    return None if seen is None or seen.value.run != lease.run else seen.value


async def _begin_undecided(store: Store, lease: Lease) -> None:
    """Check that the run is the caller's; note that its agents have acted."""

    async def propose() -> Swap[None]:
        seen = await live(store, lease)
        if seen.value.acted:
            return Swap(Change(held=Put(seen.value, seen.version)), None)
        return Swap(Change(runs=(Put(replace(seen.value, acted=True), seen.version),)), None)

    await update(store, propose)


async def report(store: Store, lease: Lease, call: Report) -> None:
    """Note the outcome of a granted execution, whoever advances the run by now.

    InvalidInput if it was never granted.
    """

    async def propose() -> Keep[None] | Swap[None]:
        seen = await store.run(lease.run)
        if seen is None or call.execution not in seen.value.grants:
            raise InvalidInput(f"Run {lease.run} has no execution {call.execution}. Nothing was reported.")
        run = seen.value
        late = run.over or run.fence != lease.fence
        step = runs.report(run, call.execution, call.words, seen.now, failed=call.failed, done=call.done, late=late)
        if not step.events and step.run == run:
            return Keep(None)
        return Swap(Change(runs=(Put(step.run, seen.version),), events=step.events), None)

    await update(store, propose)
