"""Grant each execution of an approved action once, and accept reports."""

import asyncio
from dataclasses import replace
from typing import Final

from countersign.domain import executions, runs
from countersign.domain.api_keys import ApiKey
from countersign.domain.errors import Conflict, InvalidInput, NotFound
from countersign.domain.executions import Begun, Grant
from countersign.domain.request_endings import decided_digest, may_act
from countersign.domain.requests import Kind, Request, Status
from countersign.domain.run_calls import Begin, Report
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, live, update
from countersign.usecases.found_requests import ProgramRequest, find, program_request
from countersign.usecases.ports import Change, Lease, Put, Store

LONGEST_OUTCOME: Final = 2000
"""Most characters of the outcome that a program reports."""


async def begin(store: Store, lease: Lease, call: Begin) -> Begun:
    """Grant the execution that is about to start; its decision counts as delivered.

    LeaseLost if the run is no longer the caller's, or has ended. InvalidInput if the request is another run's, or
    nobody decided yet.
    """
    if call.request is None:
        await _begin_undecided(store, lease)
        return Begun.GRANTED
    asked, doubt = await asyncio.gather(find(store, lease.run, call.request), find(store, lease.run, call.again))
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
    """Return why the execution differs from the decision; None if it does not."""
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
    """Tell whether people want a repeat; only people approve a question in doubt."""
    question = doubt.question
    return question.kind is Kind.IN_DOUBT and doubt.status is Status.APPROVED and question.about != ""


async def _begin_undecided(store: Store, lease: Lease) -> None:
    """Check that the run is the caller's; note that its agents have acted."""

    async def propose() -> Swap[None]:
        seen = await live(store, lease)
        if seen.value.acted:
            return Swap(Change(held=Put(seen.value, seen.version)), None)
        return Swap(Change(runs=(Put(replace(seen.value, acted=True), seen.version),)), None)

    await update(store, propose)


async def report(store: Store, lease: Lease, call: Report) -> None:
    """Record a granted execution's outcome, even if another worker has the run now.

    InvalidInput if the execution was never granted.
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


async def begin_for_program(
    store: Store, key: ApiKey, request: str, execution: str, replaces: str = ""
) -> ProgramRequest:
    """Grant the execution, unless another one was granted or an outcome is known.

    Only the execution that the returned run names may act. Beginning the same execution again changes nothing, so the
    call may be repeated after a lost reply. `replaces` names an earlier execution that did nothing; with an empty
    `execution`, that one is only withdrawn.

    NotFound as for `program_request`. InvalidInput if nobody has decided yet. Conflict if the request was not approved,
    or people stopped it.
    """
    found = await program_request(store, key, request)
    status = found.request.status
    if status is Status.PENDING:
        raise InvalidInput("This request hasn't been decided yet. Begin after the decision.")
    if status not in (Status.APPROVED, Status.EDITED):
        raise Conflict(f"This request was not approved: it is {status.value}. Nothing may be done.")

    async def propose() -> Keep[ProgramRequest] | Swap[ProgramRequest] | Refuse:
        seen = await store.run(found.run.id)
        if seen is None:
            return Refuse(NotFound(f"The request “{found.request.id}” no longer exists."))
        run = seen.value
        if run.status is runs.Status.STOPPED:
            return Refuse(Conflict("People stopped this request, so nothing may be done."))
        if execution:
            grants, _ = executions.grant(run.grants, execution, Grant(found.request.id), replaces=replaces)
        else:
            grants = executions.take_back(run.grants, replaces)
        if run.told_outcome or grants == run.grants:
            return Keep(ProgramRequest(run, found.request))
        begun = replace(run, grants=dict(grants))
        return Swap(Change(runs=(Put(begun, seen.version),)), ProgramRequest(begun, found.request))

    return (await update(store, propose)).value


async def report_for_program(store: Store, key: ApiKey, request: str, *, succeeded: bool, words: str) -> ProgramRequest:
    """Report the outcome of the action; the card and the record show it.

    Repeating a report changes nothing. A report still counts if the request ended without one. InvalidInput if nobody
    has decided yet, or `words` are too long. Conflict if the request was not approved, or another outcome was reported
    before. A program that acts on the answer to a question may report too; an answer instead of an approval permits no
    report.
    """
    if len(words) > LONGEST_OUTCOME:
        raise InvalidInput(f"An outcome can have at most {LONGEST_OUTCOME:,} characters.")
    target = await program_request(store, key, request)
    if target.request.status is Status.PENDING:
        raise InvalidInput("This request hasn't been decided yet. Report its outcome after the decision.")
    if not may_act(target.request):
        raise Conflict(
            f"This request was not approved: it is {target.request.status.value}. Nothing was changed, and the "
            "card shows no outcome. If the action was done all the same, tell the reviewers."
        )
    verb = runs.Verb.FINISH if succeeded else runs.Verb.FAIL
    return await end(store, target, verb, words)


async def end(
    store: Store,
    target: ProgramRequest,
    verb: runs.Verb,
    words: str,
    *,
    ended_as: str = "",
) -> ProgramRequest:
    """End the request, with or without an outcome, as `ended_as` says.

    Conflict if another outcome was reported before, NotFound if the request is gone.
    """

    async def propose() -> Keep[ProgramRequest] | Swap[ProgramRequest] | Refuse:
        seen = await store.run(target.run.id)
        if seen is None:
            return Refuse(NotFound(f"The request “{target.request.id}” no longer exists."))
        run = seen.value
        if run.over and (ended_as or run.told_outcome or run.status is runs.Status.STOPPED):
            same = (run.status is runs.Status.FINISHED) == (verb is runs.Verb.FINISH)
            if ended_as or (same and run.result == words and run.told_outcome):
                return Keep(ProgramRequest(run, target.request))
            return Refuse(Conflict("Another outcome was already reported, or people stopped this request."))
        running = replace(run, status=runs.Status.RUNNING)  # including a request that ended without a report
        step = runs.end(running, verb, seen.now, result=words, ended_as=ended_as)
        events = tuple(replace(event, request=target.request.id) for event in step.events)
        change = Change(runs=(Put(step.run, seen.version),), events=events, delivered=(target.request.id,))
        return Swap(change, ProgramRequest(step.run, target.request))

    return (await update(store, propose)).value
