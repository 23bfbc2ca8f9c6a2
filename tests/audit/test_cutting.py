"""A sealed record is dropped from its beginning to the entry, and nothing that was dropped comes back."""

import asyncio
import random
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.audit.auditor import Auditor, Keep
from bot.core.errors import StoreUnavailable
from bot.store.ledger import Ledger
from bot.store.page import Numbered
from bot.store.store import Store
from tests.audit.sealed import PAGE, THREE, everything, happen, losing, problems, seal_all, sealed

pytestmark = pytest.mark.usefixtures("small_pages")


@pytest.mark.parametrize("upto", [1, 20, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 1, THREE - 1, THREE, 999])
async def test_a_sealed_record_is_trimmed_to_the_entry(store: Store, recorded: list[Numbered], upto: int) -> None:
    """R25: KEEP_AUDIT holds for each entry; the last one stays."""
    await seal_all(store)
    upto_last = min(upto, THREE - 1)
    assert await Ledger(store).trim(upto) == upto_last
    assert await everything(store) == recorded[upto_last:]
    assert str((await Ledger(store).position()).checkpoint) == f"{upto_last}:{recorded[upto_last - 1][1].hash}"
    assert await problems(store) == []
    assert await sealed(store) == [last for last in (PAGE, 2 * PAGE) if last > upto]
    await Ledger(store).trim(upto_last)
    assert await everything(store) == recorded[upto_last:]
    await happen(store, 2 * PAGE)
    await seal_all(store)
    assert await problems(store) == []


@pytest.mark.parametrize("after", [False, True])
async def test_a_cut_whose_end_nobody_knows_is_done_once(store: Store, recorded: list[Numbered], after: bool) -> None:
    await seal_all(store)
    dying = Ledger(store)
    dying._pages._cut = losing(dying._pages._cut, after=after)  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable):
        await dying.trim(10)
    assert await everything(store) == (recorded[10:] if after else recorded)
    assert await problems(store) == []
    assert await Ledger(store).trim(10) == (0 if after else 10)
    assert await everything(store) == recorded[10:]


async def test_of_two_that_cut_the_same_page_the_slower_changes_nothing(store: Store, recorded: list[Numbered]) -> None:
    """R3: nothing that was dropped comes back."""
    await seal_all(store)
    slow = Ledger(store)
    script = slow._pages._cut

    async def later(**words: Any) -> Any:
        assert await Ledger(store).trim(12) == 12
        return await script(**words)

    slow._pages._cut = later  # type: ignore[assignment]
    assert await slow.trim(10) == 0
    assert await everything(store) == recorded[12:]
    assert await problems(store) == []


async def test_sealed_entries_are_dropped_when_they_are_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """R25: KEEP_AUDIT goes by the moment of each event, within a page too."""
    await happen(store, 20)
    first = await store.now()
    while await store.now() - first < timedelta(milliseconds=2):  # noqa: ASYNC110 -- the server's clock wakes nobody
        await asyncio.sleep(0)
    await happen(store, THREE - 20)
    await seal_all(store)
    entries = await everything(store)
    moment = first + timedelta(milliseconds=1)
    assert await Ledger(store).before(moment) == 20

    async def a_day_later() -> datetime:
        return moment + timedelta(days=1)

    monkeypatch.setattr(store, "now", a_day_later)
    await Auditor(store, "web", keep=Keep(entries=timedelta(days=1))).trim()
    assert await everything(store) == entries[20:]
    assert await problems(store) == []


async def test_whatever_happens_in_whatever_order_the_record_is_one(store: Store) -> None:
    """R25: entries come, are sealed and dropped, by chance."""
    chance = random.Random(11)
    model: list[Numbered] = []
    dropped = most = 0
    for _ in range(60):
        match chance.randrange(4):
            case 0 | 1:
                await happen(store, chance.randrange(1, 40))
                model += [entry async for entry in Ledger(store).all(model[-1][0] if model else 0)]
            case 2:
                await Ledger(store).seal()
                most = max(most, len(await sealed(store)))
            case 3 if model:
                upto = dropped + chance.randrange(20)
                await Ledger(store).trim(upto)
                dropped = max(dropped, min(upto, model[-1][0] - 1))
        assert await everything(store) == model[dropped:]
        after = chance.randrange(dropped, len(model) + 1) if model else 0
        limit = chance.randrange(1, 90)
        found = await Ledger(store).read(after, limit)
        assert found == model[after : after + len(found)]
        assert (0 if after == len(model) else 1) <= len(found) <= limit
    assert await problems(store) == []
    assert most > 2
