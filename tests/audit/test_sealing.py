"""The record is the same whether its older entries are sealed or not: nothing is lost, twice, or changed unseen."""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis.exceptions

from bot.audit.auditor import Auditor, Keep
from bot.core.chain import START, Damaged, Head, Kept, Problem, Verifier, hash_of, seal
from bot.core.errors import StoreUnavailable, UnknownSchema
from bot.core.events import Event, EventType
from bot.core.ports import Change
from bot.store import pages
from bot.store.connecting import connect
from bot.store.ledger import Ledger
from bot.store.page import Numbered, read_page, write_page
from bot.store.store import Store
from tests.forking import forked
from tests.longer import times
from tests.making import HERE

PAGE = 32
"""Entries of a page here; pages are as large as ever where it says so."""
THREE = 3 * PAGE + 5
"""So many entries give two pages."""


async def tell(store: Store, count: int) -> None:
    """So many events."""
    now = await store.now()
    events = tuple(
        Event(EventType.CALL_PASSED, now, workspace=HERE, data={"tool": f"tool {n % 7}", "why": "rule “reads”"})
        for n in range(count)
    )
    await store.commit(Change(events=events))


async def happen(store: Store, count: int) -> None:
    """So many events, all recorded."""
    await tell(store, count)
    await Auditor(store, "web").catch_up()


async def everything(store: Store) -> list[Numbered]:
    return [entry async for entry in Ledger(store).all()]


async def problems(store: Store) -> list[Problem]:
    position = await Ledger(store).position()
    verifier = Verifier(position.checkpoint, [position.head])
    for n, kept in await everything(store):
        verifier.take(kept, n)
    return verifier.end()


async def sealed(store: Store) -> list[int]:
    """The numbers with which the pages end."""
    return [round(last) for _, last in await store.client.zrange(store.keys.audit_pages, 0, -1, withscores=True)]


async def seal_all(store: Store) -> None:
    ledger = Ledger(store)
    while await ledger.seal():
        pass


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE", PAGE)


@pytest.fixture
async def before(store: Store) -> list[Numbered]:
    """A record of which two pages can be sealed."""
    await happen(store, THREE)
    return await everything(store)


async def test_sealing_keeps_every_byte(store: Store, before: list[Numbered]) -> None:
    """R25: the last entries stay where they can be added to."""
    await seal_all(store)
    assert await sealed(store) == [PAGE, 2 * PAGE]
    assert await store.client.xlen(store.keys.audit) == THREE - 2 * PAGE
    assert await everything(store) == before
    assert await problems(store) == []
    await happen(store, 5)
    assert await problems(store) == []
    assert (await everything(store))[: len(before)] == before


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
    async with asyncio.timeout(20):
        while len(await sealed(store)) < 2:  # noqa: ASYNC110 -- a fact of another task, and only Redis knows it
            await asyncio.sleep(0)
    auditor.cancel()
    await asyncio.gather(auditor, return_exceptions=True)
    assert await problems(store) == []


async def test_a_record_of_a_version_before_is_sealed_too(store: Store, before: list[Numbered]) -> None:
    """R25: its hashes are hex digits, its oldest entries are not even packed."""
    stream = await store.client.xrange(store.keys.audit)
    await store.client.delete(store.keys.audit)
    for (entry, fields), (n, kept) in zip(stream, before, strict=True):
        packed = kept.entry if n < 20 else fields[b"entry"]
        old = fields if n > THREE - 5 else {"entry": packed, "hash": kept.hash}
        await store.client.xadd(store.keys.audit, old, id=entry)
    assert await everything(store) == before
    await seal_all(store)
    await happen(store, 1)
    assert (await everything(store))[:-1] == before
    assert await problems(store) == []


async def test_entries_that_are_long_make_a_shorter_page(
    store: Store, before: list[Numbered], monkeypatch: pytest.MonkeyPatch
) -> None:
    """R6: however long they are, a page takes no more memory than it may."""
    monkeypatch.setattr(pages, "ROOM", 3 * len(before[0][1].entry))
    assert await Ledger(store).seal()
    assert await sealed(store) == [3]
    monkeypatch.setattr(pages, "ROOM", 1)
    assert await Ledger(store).seal()
    assert await sealed(store) == [3, 4]
    monkeypatch.setattr("bot.store.page.MOST", 1)
    assert not await Ledger(store).seal()
    monkeypatch.undo()
    assert await everything(store) == before


def losing(script: Callable[..., Awaitable[Any]], *, after: bool) -> Callable[..., Awaitable[Any]]:
    """Its connection goes before the script came to Redis, or after it ran."""

    async def call(**words: Any) -> Any:
        if after:
            await script(**words)
        raise redis.exceptions.ConnectionError("Connection lost")

    return call


@pytest.mark.parametrize("after", [False, True])
async def test_a_seal_whose_end_nobody_knows_is_done_once(store: Store, before: list[Numbered], after: bool) -> None:
    """R4: killed or cut off at either side of the script."""
    dying = Ledger(store)
    dying._pages._seal = losing(dying._pages._seal, after=after)
    with pytest.raises(StoreUnavailable):
        await dying.seal()
    assert await sealed(store) == ([PAGE] if after else [])
    assert await everything(store) == before
    await seal_all(store)
    assert await sealed(store) == [PAGE, 2 * PAGE]
    assert await everything(store) == before


async def test_the_same_seal_again_changes_nothing(store: Store, before: list[Numbered]) -> None:
    """R4: redis-py repeats a script whose reply was lost."""
    ledger = Ledger(store)
    script = ledger._pages._seal

    async def twice(**words: Any) -> Any:
        assert await script(**words) == 1
        assert await script(**words) == 0
        return 1

    ledger._pages._seal = twice
    assert await ledger.seal()
    assert await sealed(store) == [PAGE]
    assert await everything(store) == before


@pytest.mark.parametrize("change", ["changed", "removed", "trimmed", "sealed"])
async def test_what_is_no_more_as_it_was_read_is_not_sealed(store: Store, before: list[Numbered], change: str) -> None:
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
    ledger._pages._seal = later
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


async def test_a_process_that_is_killed_while_it_seals_leaves_one_record(
    store: Store, redis_url: str, namespace: str
) -> None:
    """R4: kill -9 as soon as a page more is there, while entries come; 20 times with LONG=1. Two are at it."""
    env = {**os.environ, "REDIS_URL": redis_url, "NAMESPACE": namespace}
    written, kills = 0, times(4, 20)
    for _ in range(kills):
        there = len(await sealed(store))
        written += 200
        await tell(store, 200)
        both = [await forked("tests.audit.auditor_process", env=env) for _ in range(2)]
        async with asyncio.timeout(20):
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
    store: Store, before: list[Numbered], at: int
) -> None:
    """R25: before whichever call to Redis it happens."""
    ledger = Ledger(store)
    client: Any = Meanwhile(store.client, at, lambda: seal_all(store))
    ledger._client = ledger._pages._client = client
    found: list[Numbered] = []
    while page := await ledger.read(found[-1][0] if found else 0, 50):
        found += page
    assert found == before


@pytest.mark.parametrize("upto", [1, 20, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, 2 * PAGE + 1, THREE - 1, THREE, 999])
async def test_a_sealed_record_is_trimmed_to_the_entry(store: Store, before: list[Numbered], upto: int) -> None:
    """R25: KEEP_AUDIT holds for each entry; the last one stays."""
    await seal_all(store)
    upto_last = min(upto, THREE - 1)
    assert await Ledger(store).trim(upto) in (upto_last, upto_last - 2 * PAGE)
    assert await everything(store) == before[upto_last:]
    assert str((await Ledger(store).position()).checkpoint) == f"{upto_last}:{before[upto_last - 1][1].hash}"
    assert await problems(store) == []
    assert await sealed(store) == [last for last in (PAGE, 2 * PAGE) if last > upto]
    await Ledger(store).trim(upto_last)
    assert await everything(store) == before[upto_last:]
    await happen(store, 2 * PAGE)
    await seal_all(store)
    assert await problems(store) == []


@pytest.mark.parametrize("after", [False, True])
async def test_a_cut_whose_end_nobody_knows_is_done_once(store: Store, before: list[Numbered], after: bool) -> None:
    await seal_all(store)
    dying = Ledger(store)
    dying._pages._cut = losing(dying._pages._cut, after=after)
    with pytest.raises(StoreUnavailable):
        await dying.trim(10)
    assert await everything(store) == (before[10:] if after else before)
    assert await problems(store) == []
    assert await Ledger(store).trim(10) == (0 if after else 10)
    assert await everything(store) == before[10:]


async def test_of_two_that_cut_the_same_page_the_slower_changes_nothing(store: Store, before: list[Numbered]) -> None:
    """R3: nothing that was dropped comes back."""
    await seal_all(store)
    slow = Ledger(store)
    script = slow._pages._cut

    async def later(**words: Any) -> Any:
        assert await Ledger(store).trim(12) == 12
        return await script(**words)

    slow._pages._cut = later
    assert await slow.trim(10) == 0
    assert await everything(store) == before[12:]
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


def _rewritten(kept: Kept, was: str = '"tool 3"', now: str = '"tool x"') -> Kept:
    return Kept(kept.entry.replace(was, now), kept.hash)


def _at(entries: list[Numbered], n: int, change: Callable[[Kept], Kept]) -> list[Numbered]:
    return [(number, change(kept) if number == n else kept) for number, kept in entries]


def _exchanged(entries: list[Numbered], a: int, b: int) -> list[Numbered]:
    by = dict(entries)
    return [(n, by[{a: b, b: a}.get(n, n)]) for n, _ in entries]


def _with_its_hash(kept: Kept) -> Kept:
    return Kept(kept.entry, hash_of(kept.entry))


TAMPERED: dict[str, Callable[[list[Numbered]], list[Numbered]]] = {
    "an entry changed": lambda page: _at(page, 4, _rewritten),
    "a hash changed": lambda page: _at(page, 9, lambda kept: Kept(kept.entry, "0" * 64)),
    "no hash": lambda page: _at(page, 9, lambda kept: Kept(kept.entry, "")),
    "an entry emptied": lambda page: _at(page, 9, lambda kept: Kept("", kept.hash)),
    "an entry changed with its hash": lambda page: _at(page, 4, lambda kept: _with_its_hash(_rewritten(kept))),
    "an entry dropped": lambda page: [entry for entry in page if entry[0] != 20],
    "the first dropped": lambda page: page[1:],
    "some dropped": lambda page: [*page[:5], *page[15:]],
    "an entry dropped and the others moved up": lambda page: [
        *page[:19],
        *((n - 1, kept) for n, kept in page[20:]),
        (PAGE, page[-1][1]),
    ],
    "two exchanged": lambda page: _exchanged(page, 5, 27),
    "neighbours exchanged": lambda page: _exchanged(page, 31, 32),
    "an entry twice": lambda page: _at(page, 30, lambda _: page[28][1]),
    "the page began later": lambda page: page[25:],
}


@pytest.mark.parametrize("kind", TAMPERED)
async def test_what_is_changed_within_a_page_is_found_as_it_was_before(
    store: Store, before: list[Numbered], kind: str
) -> None:
    """R25: with the same sentences and numbers as where it is changed in the stream."""
    changed = TAMPERED[kind](before[:PAGE])
    assert changed != before[:PAGE]
    stream = await store.client.xrange(store.keys.audit)
    await store.client.delete(store.keys.audit)
    for n, kept in [*changed, *before[PAGE:]]:
        await store.client.xadd(store.keys.audit, {"entry": kept.entry, "hash": kept.hash}, id=f"{n}-0")
    expected = await problems(store)
    assert expected
    await seal_all(store)
    assert await problems(store) == expected, "sealed as it was found"
    await store.client.delete(store.keys.audit, store.keys.audit_pages)
    for entry, fields in stream:
        await store.client.xadd(store.keys.audit, fields, id=entry)
    await seal_all(store)
    assert await problems(store) == []
    page = write_page(changed)
    assert page is not None
    await store.client.zremrangebyscore(store.keys.audit_pages, PAGE, PAGE)
    await store.client.zadd(store.keys.audit_pages, {page: changed[-1][0]})
    assert await problems(store) == expected


def test_a_change_of_any_byte_of_a_page_is_found() -> None:
    """R25: or the page says the same still, where a bit of it means nothing."""
    head, entries = START, []
    for n in range(1, 9):
        kept = seal(head, {"event": f"{n}-0", "type": "call_passed", "data": {"tool": f"tool {n % 3}"}})
        head = Head(n, kept.hash)
        entries.append((n, kept))
    page = write_page(entries)
    assert page is not None
    same = 0
    for at, byte in enumerate(page):
        for bit in range(8):
            changed = bytes([*page[:at], byte ^ 1 << bit, *page[at + 1 :]])
            verifier = Verifier(known=[head])
            try:
                found = read_page(changed, 8)
            except UnknownSchema:
                continue
            for n, kept in found:
                verifier.take(kept, n)
            assert verifier.end() or found == entries
            same += found == entries
    assert same < 8


async def test_a_page_that_is_gone_is_missed(store: Store, before: list[Numbered]) -> None:
    await seal_all(store)
    await store.client.zremrangebyscore(store.keys.audit_pages, PAGE, PAGE)
    assert await problems(store) == [Problem(1, f"is missing, with all up to entry {PAGE}.")]
    await store.client.delete(store.keys.audit_pages)
    assert await problems(store) == [Problem(1, f"is missing, with all up to entry {2 * PAGE}.")]


async def test_pages_that_are_exchanged_are_named(store: Store, before: list[Numbered]) -> None:
    await seal_all(store)
    (one, first), (other, second) = await store.client.zrange(store.keys.audit_pages, 0, -1, withscores=True)
    await store.client.zadd(store.keys.audit_pages, {one: second, other: first})
    assert [(p.n, "stands in a page that cannot be read" in p.what) for p in await problems(store)] == [
        (1, True),
        (2, False),
        (PAGE + 1, True),
        (PAGE + 2, False),
    ]


def _digits_turned(page: bytes) -> bytes:
    return page[:-40] + bytes(255 - byte for byte in page[-40:])


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda page: page[:-20],
    "nothing": lambda page: b"",
    "noise": lambda page: random.Random(3).randbytes(len(page)),
    "a later format": lambda page: b"\x09" + page[1:],
    "turned": _digits_turned,
}


@pytest.mark.parametrize("kind", BROKEN)
async def test_a_page_that_cannot_be_unpacked_is_named_and_what_follows_it_is_read(
    store: Store, before: list[Numbered], kind: str
) -> None:
    """R25: and nothing of it is dropped, or copied as if it were whole; R4: web goes on."""
    await seal_all(store)
    ((page, _),) = await store.client.zrange(store.keys.audit_pages, 0, 0, withscores=True)
    await store.client.zrem(store.keys.audit_pages, page)
    await store.client.zadd(store.keys.audit_pages, {BROKEN[kind](page): PAGE})
    first, *rest = await everything(store)
    assert rest == before[PAGE:]
    assert isinstance(first[1], Damaged)
    assert await problems(store) == [
        Problem(1, f"was changed: it stands in a page that cannot be read, with all up to entry {PAGE}."),
        Problem(2, f"is missing, with all up to entry {PAGE}."),
    ]
    assert await Ledger(store).trim(10) == 0
    await happen(store, PAGE)
    await seal_all(store)
    assert len(await sealed(store)) == 3
    assert await Ledger(store).trim(PAGE + 3) > 0
    assert await problems(store) == []


@pytest.mark.parametrize(
    "score", ["-inf", "-5", "0.5", f"{PAGE}.5", f"{2 * PAGE + 1}", "9007199254740992", "1e300", "inf"]
)
async def test_a_page_in_a_place_that_is_none_ends_no_reader(store: Store, before: list[Numbered], score: str) -> None:
    """R4: who can write to Redis may write whatever they like."""
    await seal_all(store)
    page = write_page(before[:5])
    assert page is not None
    await store.client.zadd(store.keys.audit_pages, {page: float(score)})
    async with asyncio.timeout(10):
        found = await everything(store)
        await problems(store)
        await Ledger(store).trim(PAGE + 7)
        await happen(store, PAGE)
        await seal_all(store)
    assert [n for n, _ in found] == sorted({n for n, _ in found})
