"""The record is dropped from its beginning to the entry, once, and what is left is verified from the checkpoint."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bot.audit.auditor import Auditor
from countersign.domain.errors import StoreUnavailable
from countersign.domain.events import Event, EventType
from countersign.domain.hash_chain import ChainProblem, Kept, Verifier
from countersign.store.audit_log import Ledger
from countersign.store.codec import compress, decompress
from countersign.store.store import Store
from countersign.usecases.ports import Change
from tests.sample_requests import HERE

COUNT = 40


async def happen(store: Store, count: int) -> None:
    """So many events, all recorded."""
    now = await store.now()
    events = (Event(EventType.CALL_PASSED, now, workspace=HERE, data={"tool": f"tool {n % 7}"}) for n in range(count))
    await store.commit(Change(events=tuple(events)))
    await Auditor(store, "web").catch_up()


async def everything(store: Store) -> list[tuple[int, Kept]]:
    return [entry async for entry in Ledger(store).all()]


async def problems(store: Store) -> list[ChainProblem]:
    position = await Ledger(store).position()
    verifier = Verifier(position.checkpoint, [position.head])
    for n, kept in await everything(store):
        verifier.take(kept, n)
    return verifier.end()


def losing(script: Callable[..., Awaitable[Any]], *, after: bool) -> Callable[..., Awaitable[Any]]:
    """Its connection goes before the script came to Redis, or after it ran."""

    async def call(**words: Any) -> Any:
        if after:
            await script(**words)
        raise StoreUnavailable("Connection lost")

    return call


@pytest.mark.parametrize("upto", [1, 20, COUNT - 1, COUNT, 999])
@pytest.mark.parametrize("lost", ["no reply", "the reply before", "the reply after"])
async def test_audit_log_is_trimmed_to_the_entry_and_once(store: Store, upto: int, lost: str) -> None:
    """R25: KEEP_AUDIT holds for each entry, the last one stays; R4: killed or cut off at either side of the script."""
    await happen(store, COUNT)
    recorded, last = await everything(store), min(upto, COUNT - 1)
    if lost != "no reply":
        dying, after = Ledger(store), lost == "the reply after"
        dying._trim = losing(dying._trim, after=after)  # type: ignore[assignment]
        with pytest.raises(StoreUnavailable):
            await dying.trim(upto)
        assert await everything(store) == (recorded[last:] if after else recorded)
        assert await Ledger(store).trim(upto) == (0 if after else last)
    else:
        assert await Ledger(store).trim(upto) == last
    assert await everything(store) == recorded[last:]
    assert str((await Ledger(store).position()).checkpoint) == f"{last}:{recorded[last - 1][1].hash}"
    await happen(store, 3)
    assert await problems(store) == []


async def test_damaged_entry_never_becomes_the_checkpoint(store: Store) -> None:
    """R25, R4: it stays with all before it, and web goes on."""
    await happen(store, 5)
    recorded = await store.client.xrange(store.keys.audit)
    await store.client.delete(store.keys.audit)
    for id, fields in recorded:
        changed = {b"entry": compress(decompress(fields[b"entry"]).replace(b'"tool ', b'"book '))}
        await store.client.xadd(store.keys.audit, changed if id == b"3-0" else fields, id=id)
    assert await Ledger(store).trim(3) == 0
    assert (await Ledger(store).position()).checkpoint.n == 0
    assert await Ledger(store).trim(4) == 4
    assert await problems(store) == []


async def test_audit_log_stays_whole_under_random_appends_and_trims(store: Store) -> None:
    """R25: entries come and are dropped, by chance; who reads a part of it reads just that part."""
    chance = random.Random(11)
    model: list[tuple[int, Kept]] = []
    dropped = 0
    for _ in range(30):
        if chance.randrange(2):
            await happen(store, chance.randrange(1, 40))
            model += [entry async for entry in Ledger(store).all(model[-1][0] if model else 0)]
        elif model:
            upto = dropped + chance.randrange(20)
            await Ledger(store).trim(upto)
            dropped = max(dropped, min(upto, model[-1][0] - 1))
        assert await everything(store) == model[dropped:]
        after = chance.randrange(dropped, len(model) + 1) if model else 0
        limit = chance.randrange(1, 90)
        assert await Ledger(store).read(after, limit) == model[after : after + limit]
    assert await problems(store) == []
    assert dropped
