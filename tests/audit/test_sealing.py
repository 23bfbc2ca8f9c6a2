"""The record is the same whether its older entries are sealed or not, whoever seals, reads or is killed meanwhile."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bot.audit.auditor import Auditor
from bot.core.errors import StoreUnavailable
from bot.store import pages
from bot.store.connecting import connect
from bot.store.ledger import Ledger
from bot.store.page import Numbered
from bot.store.store import Store
from tests.audit.sealed import PAGE, THREE, everything, happen, losing, problems, seal_all, sealed, tell
from tests.forking import forked
from tests.patience import PATIENCE

pytestmark = pytest.mark.usefixtures("small_pages")


async def test_sealing_keeps_every_byte(store: Store, recorded: list[Numbered]) -> None:
    """R25: the last entries stay where they can be added to."""
    await seal_all(store)
    assert await sealed(store) == [PAGE, 2 * PAGE]
    assert await store.client.xlen(store.keys.audit) == THREE - 2 * PAGE
    assert await everything(store) == recorded
    assert await problems(store) == []
    await happen(store, 5)
    assert await problems(store) == []
    assert (await everything(store))[: len(recorded)] == recorded


async def test_a_sealed_entry_takes_a_third_of_the_bytes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pages as large as they are."""
    monkeypatch.undo()
    await happen(store, 4 * pages.PAGE)
    plain = await store.client.memory_usage(store.keys.audit, samples=0) / 4
    await seal_all(store)
    assert await store.client.memory_usage(store.keys.audit_pages, samples=0) / 3 < plain / 3


async def test_no_more_is_sealed_than_leaves_a_page_of_entries_in_the_stream(store: Store) -> None:
    await happen(store, 2 * PAGE - 1)
    assert not await Ledger(store).seal()
    await happen(store, 1)
    assert await Ledger(store).seal()
    assert not await Ledger(store).seal()
    assert await store.client.xlen(store.keys.audit) == PAGE


async def test_an_auditor_seals_as_it_goes(store: Store) -> None:
    """R25: also what was recorded before it came, page after page."""
    await happen(store, THREE)
    auditor = asyncio.create_task(Auditor(store, "web").run())
    async with asyncio.timeout(PATIENCE):
        while len(await sealed(store)) < 2:  # noqa: ASYNC110 -- a fact of another task, and only Redis knows it
            await asyncio.sleep(0)
    auditor.cancel()
    await asyncio.gather(auditor, return_exceptions=True)
    assert await problems(store) == []


async def test_a_record_of_a_version_before_is_sealed_too(store: Store, recorded: list[Numbered]) -> None:
    """R25: its hashes are hex digits, its oldest entries are not even packed."""
    stream = await store.client.xrange(store.keys.audit)
    await store.client.delete(store.keys.audit)
    for (entry, fields), (n, kept) in zip(stream, recorded, strict=True):
        packed = kept.entry if n < 20 else fields[b"entry"]
        old = fields if n > THREE - 5 else {"entry": packed, "hash": kept.hash}
        await store.client.xadd(store.keys.audit, old, id=entry)
    assert await everything(store) == recorded
    await seal_all(store)
    await happen(store, 1)
    assert (await everything(store))[:-1] == recorded
    assert await problems(store) == []


async def test_entries_that_are_long_make_a_shorter_page(
    store: Store, recorded: list[Numbered], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long they are, a page takes no more memory than it may."""
    monkeypatch.setattr(pages, "ROOM", 3 * len(recorded[0][1].entry))
    assert await Ledger(store).seal()
    assert await sealed(store) == [3]
    monkeypatch.setattr(pages, "ROOM", 1)
    assert await Ledger(store).seal()
    assert await sealed(store) == [3, 4]
    monkeypatch.setattr("bot.store.page.MOST", 1)
    assert not await Ledger(store).seal()
    monkeypatch.undo()
    assert await everything(store) == recorded


@pytest.mark.parametrize("after", [False, True])
async def test_a_seal_whose_end_nobody_knows_is_done_once(store: Store, recorded: list[Numbered], after: bool) -> None:
    """R4: killed or cut off at either side of the script."""
    dying = Ledger(store)
    dying._pages._seal = losing(dying._pages._seal, after=after)  # type: ignore[assignment]
    with pytest.raises(StoreUnavailable):
        await dying.seal()
    assert await sealed(store) == ([PAGE] if after else [])
    assert await everything(store) == recorded
    await seal_all(store)
    assert await sealed(store) == [PAGE, 2 * PAGE]
    assert await everything(store) == recorded


async def test_the_same_seal_again_changes_nothing(store: Store, recorded: list[Numbered]) -> None:
    """R4: redis-py repeats a script whose reply was lost."""
    ledger = Ledger(store)
    script = ledger._pages._seal

    async def twice(**words: Any) -> Any:
        assert await script(**words) == 1
        assert await script(**words) == 0
        return 1

    ledger._pages._seal = twice  # type: ignore[assignment]
    assert await ledger.seal()
    assert await sealed(store) == [PAGE]
    assert await everything(store) == recorded


@pytest.mark.parametrize("change", ["changed", "removed", "trimmed", "sealed"])
async def test_what_is_no_more_as_it_was_read_is_not_sealed(
    store: Store, recorded: list[Numbered], change: str
) -> None:
    """R25: what stands there counts, not what somebody read a moment ago."""
    ledger = Ledger(store)
    script, key = ledger._pages._seal, store.keys.audit

    async def later(**words: Any) -> Any:
        if change == "changed":
            (entry, fields), *rest = await store.client.xrange(key)
            await store.client.delete(key)
            for id, said in [(entry, {**fields, b"hash": b"x"}), *rest]:
                await store.client.xadd(key, said, id=id)
        elif change == "removed":
            await store.client.xdel(key, "7-0")
        elif change == "trimmed":
            await Ledger(store).trim(3)
        else:
            assert await Ledger(store).seal()
        now.extend(await everything(store))
        return await script(**words)

    now: list[Numbered] = []
    ledger._pages._seal = later  # type: ignore[assignment]
    assert not await ledger.seal()
    assert await everything(store) == now
    assert len(await sealed(store)) == (change == "sealed")


async def test_two_auditors_that_seal_at_once_make_one_record(redis_url: str, store: Store) -> None:
    """R3, R25: also when both believe that they are the only one."""
    await happen(store, 8 * PAGE)
    whole = await everything(store)
    async with connect(redis_url) as one, connect(redis_url) as other:
        await asyncio.gather(*(seal_all(Store(client, store.keys.prefix[1:-2])) for client in (one, other, one)))
    assert await sealed(store) == [PAGE * n for n in range(1, 8)]
    assert await everything(store) == whole


@pytest.mark.slow
async def test_a_process_that_is_killed_while_it_seals_leaves_one_record(
    store: Store, redis_url: str, namespace: str
) -> None:
    """R4: kill -9 as soon as a page more is there, while entries come. Two are at it."""
    env = {**os.environ, "REDIS_URL": redis_url, "NAMESPACE": namespace}
    written, kills = 0, 5
    for _ in range(kills):
        there = len(await sealed(store))
        written += 200
        await tell(store, 200)
        both = [await forked("tests.audit.auditor_process", env=env) for _ in range(2)]
        async with asyncio.timeout(PATIENCE):
            while len(await sealed(store)) <= there < (written - 256) // 128:  # noqa: ASYNC110 -- a fact of Redis
                await asyncio.sleep(0)
        for process in both:
            process.kill()
            await process.wait()
    await Auditor(store, "web").catch_up()
    assert [n for n, _ in await everything(store)] == list(range(1, written + 1))
    assert await problems(store) == []
    assert len(await sealed(store)) >= kills - 1


class Meanwhile:
    """A client before whose call number `at` something else happens."""

    def __init__(self, client: Any, at: int, act: Callable[[], Awaitable[Any]]) -> None:
        self._client, self._left, self._act = client, at, act

    def __getattr__(self, name: str) -> Any:
        inner = getattr(self._client, name)

        async def call(*words: Any, **more: Any) -> Any:
            self._left -= 1
            if self._left == 0:
                await self._act()
            return await inner(*words, **more)

        return call


@pytest.mark.parametrize("at", range(1, 16))
async def test_who_reads_while_it_is_sealed_reads_each_entry_once(
    store: Store, recorded: list[Numbered], at: int
) -> None:
    """R25: before whichever call to Redis it happens."""
    ledger = Ledger(store)
    client: Any = Meanwhile(store.client, at, lambda: seal_all(store))
    ledger._client = ledger._pages._client = client
    found: list[Numbered] = []
    while page := await ledger.read(found[-1][0] if found else 0, 50):
        found += page
    assert found == recorded
