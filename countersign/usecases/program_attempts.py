"""Attempts at what a program got approved: one begins, and no other acts.

A program begins before it acts, and reports afterwards. Of an attempt that began and reported nothing, only people can
know whether it acted: whoever asks next is told that it began, asks them, and replaces it if they say that it did not.
"""

from dataclasses import replace

from countersign.domain import runs
from countersign.domain.api_keys import ApiKey
from countersign.domain.errors import Conflict, InvalidInput, NotFound
from countersign.domain.requests import Status
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Change, Put, Store
from countersign.usecases.program_requests import ProgramRequest, find


async def begin(store: Store, key: ApiKey, request: str, attempt: str, replaces: str = "") -> ProgramRequest:
    """Begin what was approved, if nobody did and nothing was reported.

    Only the attempt that the returned run names may act. To begin the same attempt again changes nothing, so it may be
    repeated when the reply was lost. `replaces` names an earlier attempt that did nothing; with an empty `attempt` in
    its place, nothing has begun.

    NotFound as for `find`. InvalidInput if nobody decided yet. Conflict if it was not approved, or people stopped it.
    """
    found = await find(store, key, request)
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
        if run.told_outcome or run.attempt != replaces:
            return Keep(ProgramRequest(run, found.request))
        begun = replace(run, attempt=attempt)
        return Swap(Change(runs=(Put(begun, seen.version),)), ProgramRequest(begun, found.request))

    return (await update(store, propose)).value
