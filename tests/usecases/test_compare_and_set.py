"""One compare-and-set: whatever others do meanwhile, a change is computed from what stands when it is stored."""

import asyncio
from dataclasses import replace
from datetime import datetime

import pytest

from countersign import usecases
from countersign.domain import runs
from countersign.domain.channel_settings import ChannelSettings
from countersign.domain.errors import InvalidInput, LeaseLost, StoreUnavailable
from countersign.domain.events import Event, EventType
from countersign.domain.ids import AttemptId
from countersign.domain.runs import Run
from countersign.store.store import Store
from countersign.usecases import compare_and_set
from countersign.usecases.compare_and_set import Keep, Refuse, Swap, Update, update
from countersign.usecases.ports import Change, Committed, Lease, Put, Seen
from tests.sample_requests import GENERAL, NOW, question

ONCE = AttemptId("a1")


async def _one_more(store: Store) -> Swap[int]:
    seen = await store.settings(GENERAL)
    quorum = (seen.value.quorum or 0) + 1
    return Swap(Change(settings={GENERAL: Put(replace(seen.value, quorum=quorum), seen.version)}), quorum)


async def test_concurrent_updates_each_build_on_the_last(store: Store) -> None:
    """R3: nobody's change is lost, and none is stored twice."""
    outcomes = await asyncio.gather(*(update(store, lambda: _one_more(store)) for _ in range(30)))
    assert sorted(outcome.value for outcome in outcomes) == list(range(1, 31))
    assert (await store.settings(GENERAL)).value.quorum == 30


async def test_update_gives_up_after_max_attempts_and_changes_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other writers were faster each time; the error says so."""
    monkeypatch.setattr(compare_and_set, "TRIES", 3)
    tries: list[Seen[ChannelSettings]] = []

    async def always_old() -> Swap[None]:
        seen = await store.settings(GENERAL)
        tries.append(seen)
        return Swap(Change(settings={GENERAL: Put(seen.value, seen.version + 1)}), None)

    with pytest.raises(StoreUnavailable, match="Others changed this at the same time"):
        await update(store, always_old)
    assert len(tries) == 3
    assert (await store.settings(GENERAL)).version == 0


async def test_repeated_proposal_counts_once_and_returns_the_state(store: Store) -> None:
    """R8: what is proposed says what a repeat gets."""

    async def propose() -> Swap[int]:
        seen, swap = await store.settings(GENERAL), await _one_more(store)
        return replace(swap, change=replace(swap.change, once=ONCE), repeated=Keep(seen.value.quorum or 0))

    assert await update(store, propose) == Update(1, Committed.DONE)
    assert await update(store, propose) == Update(1, Committed.REPEATED)


async def test_refusal_is_logged_once_and_always_raised(store: Store) -> None:
    """R8, R25: however often it is delivered."""
    record = Change(events=(Event(EventType.SETTINGS_REFUSED, NOW),), once=ONCE)

    async def propose() -> Refuse:
        return Refuse(InvalidInput("No."), record)

    for _ in range(2):
        with pytest.raises(InvalidInput, match=r"^No\.$"):
            await update(store, propose)
    assert await store.client.xlen(store.keys.events) == 1


async def test_worker_without_the_run_stops_trying(store: Store, lease: Lease) -> None:
    """R4: another worker has it."""
    tries: list[Run] = []

    def change(run: Run, _: datetime) -> runs.Step:
        tries.append(run)
        return runs.Step(replace(run, task="another task"))

    with pytest.raises(LeaseLost, match="Another worker advances"):
        await compare_and_set.advance(store, replace(lease, fence=lease.fence - 1), change)
    assert tries == []


async def test_claim_between_read_and_write_refuses_the_write(store: Store, lease: Lease) -> None:
    """R4: whatever was judged on a run is stored only while nobody else has claimed it."""
    claimed: list[Lease] = []

    class Barging(Store):
        async def commit(self, change: Change) -> Committed:
            if not claimed:
                claimed.append(replace(lease, fence=lease.fence + 1, owner="another"))
                await usecases.begin(store, claimed[0])
            return await super().commit(change)

    with pytest.raises(LeaseLost, match="Another worker advances"):
        await usecases.ask(Barging(store.client, store.keys.namespace), lease, question())
    seen = await store.run(lease.run)
    assert seen is not None and (seen.value.fence, seen.value.open) == (lease.fence + 1, {})
