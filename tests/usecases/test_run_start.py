"""A start and its repeat, in the same moment: one run."""

import asyncio
from dataclasses import replace

import pytest

from countersign import usecases
from countersign.domain.errors import InvalidInput
from countersign.domain.ids import RunId, TeamName
from countersign.domain.run_calls import Start
from countersign.domain.runs import Run
from countersign.store.store import Store
from countersign.usecases.ports import Change, Committed
from tests.sample_requests import ALICE, GENERAL, HERE
from tests.store_fixtures import NoQueue


async def test_concurrent_starts_after_an_outage_make_one_run(store: Store) -> None:
    """R8: Slack called the first one failed while Redis was away; both go on when it is back."""
    all_there, stored = asyncio.Barrier(2), store.commit
    waited: set[object] = set()

    class Slow(Store):
        async def commit(self, change: Change) -> Committed:
            if asyncio.current_task() not in waited:
                waited.add(asyncio.current_task())
                await all_there.wait()
            return await stored(change)

    slow = Slow(store.client, store.keys.prefix[1:-2])

    async def start(name: str) -> Run:
        return await usecases.start(
            slow,
            NoQueue(),
            run=RunId(name),
            workspace=HERE,
            channel=GENERAL,
            requester=ALICE,
            team="email",
            task="once",
            unrepeated=True,
        )

    first, second = await asyncio.gather(start("rfirst"), start("rsecond"))
    assert first.id == second.id
    assert [run.id for run in await store.indexes.active_runs(9)] == [first.id]


async def test_program_start_is_refused_where_the_app_is_missing(store: Store) -> None:
    """R21: its run would be told of nowhere."""
    await store.set_workspace(HERE)
    await store.set_channels({"general": GENERAL})
    elsewhere = Start("C0NOWHERE", ALICE, TeamName("script"), "ask")
    with pytest.raises(InvalidInput, match="The app isn't in channel C0NOWHERE"):
        await usecases.start_by_script(store, RunId("sone"), elsewhere)
    assert await store.indexes.active_runs(9) == []
    started = await usecases.start_by_script(store, RunId("stwo"), replace(elsewhere, channel=GENERAL))
    assert await store.indexes.active_runs(9) == [started]


async def test_repeated_program_start_returns_the_stored_run(store: Store) -> None:
    """R8: the first reply was lost; salts and times of a second start are of no run."""
    await store.set_workspace(HERE)
    program = Start(GENERAL, ALICE, TeamName("script"), "ask")
    first, again = [await usecases.start_by_script(store, RunId("sone"), program) for _ in range(2)]
    assert first == again
    assert await store.indexes.active_runs(9) == [first]
