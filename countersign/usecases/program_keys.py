"""Keys of programs: create, rotate and revoke, each with its entry in the record.

`operator` is the account of the person who ran the command.
"""

from datetime import datetime, timedelta

from countersign.domain import api_keys
from countersign.domain.api_keys import ApiKey, Issued
from countersign.domain.errors import Conflict, NotFound
from countersign.domain.events import Event, EventType
from countersign.domain.ids import ApiKeyId
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, update
from countersign.usecases.ports import Change, Put, Store


async def create(store: Store, issued: Issued, operator: str) -> None:
    """Store a new key. Conflict if the program has a key already, even a revoked one."""
    key = issued.key
    limits = {name: str(getattr(key, name)) for name in ("most_open", "per_minute", "most_waiting")}

    async def propose() -> Swap[None] | Refuse:
        if await store.api_key(key.id) is not None:
            has_one = f"The program {key.name} has a key already. Nothing was changed."
            rotate = f"`countersign keys rotate {key.name}` makes a new secret for it, and keeps its requests."
            return Refuse(Conflict(f"{has_one} {rotate} For another program, use another name."))
        data = {"channels": " ".join(key.channels), **limits}
        event = await _event(store, EventType.KEY_CREATED, key, key.created_at, operator, data)
        return Swap(Change(keys=(Put(key, 0),), events=(event,)), None)

    await update(store, propose)


async def rotate(store: Store, name: ApiKeyId, overlap: timedelta, operator: str) -> Issued:
    """Give the key a new secret; earlier secrets end after the overlap (R48).

    NotFound if there is no such key. InvalidInput if the overlap is too long.
    """

    async def propose() -> Swap[Issued] | Refuse:
        seen = await store.api_key(name)
        if seen is None:
            return Refuse(_gone(name))
        issued = api_keys.rotate(seen.value, seen.now, overlap)
        data = {"overlap": str(int(overlap.total_seconds()))}
        if seen.value.revoked_at is not None:
            data["was"] = "revoked"
        event = await _event(store, EventType.KEY_ROTATED, issued.key, seen.now, operator, data)
        return Swap(Change(keys=(Put(issued.key, seen.version),), events=(event,)), issued)

    return (await update(store, propose)).value


async def revoke(store: Store, name: ApiKeyId, operator: str) -> ApiKey:
    """Revoke the key; an already revoked key stays unchanged.

    NotFound if there is no such key.
    """

    async def propose() -> Keep[ApiKey] | Swap[ApiKey] | Refuse:
        seen = await store.api_key(name)
        if seen is None:
            return Refuse(_gone(name))
        if seen.value.revoked_at is not None:
            return Keep(seen.value)
        key = api_keys.revoke(seen.value, seen.now)
        event = await _event(store, EventType.KEY_REVOKED, key, seen.now, operator, {})
        return Swap(Change(keys=(Put(key, seen.version),), events=(event,)), key)

    return (await update(store, propose)).value


def _gone(name: ApiKeyId) -> NotFound:
    return NotFound(f"There is no key {name}. Nothing was changed.")


async def _event(
    store: Store, kind: EventType, key: ApiKey, at: datetime, operator: str, data: dict[str, str]
) -> Event:
    about = {"key": key.id, "name": key.name, "operator": operator}
    return Event(kind, at, workspace=await store.workspace(), data={**about, **data})
