"""What is changed in sealed pages is found and named as in the stream, and ends nobody who reads."""

import asyncio
import random
from collections.abc import Callable

import pytest

from bot.core.chain import START, Damaged, Head, Kept, Problem, Verifier, hash_of, seal
from bot.core.errors import UnknownSchema
from bot.store.ledger import Ledger
from bot.store.page import Numbered, read_page, write_page
from bot.store.store import Store
from tests.audit.sealed import PAGE, everything, happen, problems, seal_all, sealed
from tests.patience import PATIENCE

pytestmark = pytest.mark.usefixtures("small_pages")


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
    store: Store, recorded: list[Numbered], kind: str
) -> None:
    """R25: with the same sentences and numbers as where it is changed in the stream."""
    changed = TAMPERED[kind](recorded[:PAGE])
    assert changed != recorded[:PAGE]
    stream = await store.client.xrange(store.keys.audit)
    await store.client.delete(store.keys.audit)
    for n, kept in [*changed, *recorded[PAGE:]]:
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


async def test_a_page_that_is_gone_is_missed(store: Store, recorded: list[Numbered]) -> None:
    await seal_all(store)
    await store.client.zremrangebyscore(store.keys.audit_pages, PAGE, PAGE)
    assert await problems(store) == [Problem(1, f"is missing, with all up to entry {PAGE}.")]
    await store.client.delete(store.keys.audit_pages)
    assert await problems(store) == [Problem(1, f"is missing, with all up to entry {2 * PAGE}.")]


async def test_pages_that_are_exchanged_are_named(store: Store, recorded: list[Numbered]) -> None:
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
    store: Store, recorded: list[Numbered], kind: str
) -> None:
    """R25: and nothing of it is dropped, or copied as if it were whole; R4: web goes on."""
    await seal_all(store)
    ((page, _),) = await store.client.zrange(store.keys.audit_pages, 0, 0, withscores=True)
    await store.client.zrem(store.keys.audit_pages, page)
    await store.client.zadd(store.keys.audit_pages, {BROKEN[kind](page): PAGE})
    first, *rest = await everything(store)
    assert rest == recorded[PAGE:]
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
async def test_a_page_in_a_place_that_is_none_ends_no_reader(
    store: Store, recorded: list[Numbered], score: str
) -> None:
    """R4: who can write to Redis may write whatever they like."""
    await seal_all(store)
    page = write_page(recorded[:5])
    assert page is not None
    await store.client.zadd(store.keys.audit_pages, {page: float(score)})
    async with asyncio.timeout(PATIENCE):
        found = await everything(store)
        await problems(store)
        await Ledger(store).trim(PAGE + 7)
        await happen(store, PAGE)
        await seal_all(store)
    assert [n for n, _ in found] == sorted({n for n, _ in found})
