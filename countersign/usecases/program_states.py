"""Keeping states of programs with their requests."""

from countersign.domain.errors import Conflict, NotFound
from countersign.domain.program_states import ProgramState, follows
from countersign.domain.requests import Request
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Change, Put, Seen, Store


async def find(store: Store, request: Request) -> ProgramState:
    """Read the state that is kept with the request. NotFound if there is none."""
    seen = await store.program_state(request.id)
    if seen is None:
        raise NotFound(f"No state is kept with the request “{request.id}”.")
    return seen.value


async def replace(store: Store, request: Request, number: int, sealed: str) -> None:
    """Replace the state, or end it if nothing is sealed. Conflict as for `follows`."""
    state = ProgramState(request.id, number, sealed)

    async def read() -> Seen[ProgramState] | None:
        return await store.program_state(request.id)

    def rule(seen: Seen[ProgramState] | None) -> Keep[None] | Swap[None] | Refuse:
        try:
            newer = follows(state, None if seen is None else seen.value)
        except Conflict as older:
            return Refuse(older)
        if seen is None or not newer:
            return Keep(None)
        return Swap(Change(states=(Put(state, seen.version),)), None)

    await update(store, read, rule)
