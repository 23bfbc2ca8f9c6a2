"""Find a request: for its run, or for its program."""

from dataclasses import dataclass

from countersign.domain.api_keys import ApiKey
from countersign.domain.errors import NotFound
from countersign.domain.ids import RequestId, RunId
from countersign.domain.requests import Request
from countersign.domain.runs import Run
from countersign.usecases.ports import Store


async def find(store: Store, run: RunId, request: RequestId | None) -> Request | None:
    """Read a request of the run; None if it does not exist."""
    seen = None if request is None else await store.request(request)
    return None if seen is None or seen.value.run != run else seen.value


@dataclass(frozen=True, slots=True)
class ProgramRequest:
    """One request of a program, and the run that holds it."""

    run: Run
    request: Request


async def program_request(store: Store, key: ApiKey, request: str) -> ProgramRequest:
    """Read a request of a program. NotFound if it does not belong to this key."""
    name = RequestId.named(request)
    seen = None if name is None else await store.request(name)
    run = None if seen is None else await store.run(seen.value.run)
    if seen is None or run is None or run.value.program != key.id:
        raise NotFound(f"This key has no request “{request[:40]}”.")
    return ProgramRequest(run.value, seen.value)
