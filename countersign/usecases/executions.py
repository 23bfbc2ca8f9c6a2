"""Grant executions of what was approved, each once, to workers and to programs."""

from dataclasses import replace

from countersign.domain import executions, runs
from countersign.domain.api_keys import ApiKey
from countersign.domain.errors import Conflict, InvalidInput, NotFound
from countersign.domain.executions import Grant
from countersign.domain.requests import Status
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Change, Put, Store
from countersign.usecases.program_requests import ProgramRequest, find


async def begin_by_program(
    store: Store, key: ApiKey, request: str, execution: str, replaces: str = ""
) -> ProgramRequest:
    """Grant the execution, unless another one was granted or an outcome is known.

    Only the execution that the returned run names may act. To begin the same one again changes nothing, so it may be
    repeated when the reply was lost. `replaces` names an earlier one that did nothing; with an empty `execution` in its
    place, nothing has begun.

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
        if execution:
            grants, _ = executions.grant(run.grants, execution, Grant(found.request.id), replaces=replaces)
        else:
            grants = executions.take_back(run.grants, replaces)
        if run.told_outcome or grants == run.grants:
            return Keep(ProgramRequest(run, found.request))
        begun = replace(run, grants=dict(grants))
        return Swap(Change(runs=(Put(begun, seen.version),)), ProgramRequest(begun, found.request))

    return (await update(store, propose)).value
