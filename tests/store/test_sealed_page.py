"""A sealed page gives back what was put into it, and whatever else stands there is refused by name."""

import json
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.chain import START, Head, Kept, seal
from bot.core.errors import UnknownSchema
from bot.store import page
from bot.store.dictionaries import ENTRIES_2
from bot.store.page import MOST, Numbered, read_page, write_page

SEALED = Path(__file__).parents[1] / "data" / "page.json"
"""A page as it was sealed once, in hex, and the entries that it must give."""


def chain(count: int, **more: object) -> list[Numbered]:
    head, made = START, []
    for n in range(1, count + 1):
        kept = seal(head, {"event": f"17000000{n:05}-0", "type": "call_passed", **more})
        head = Head(n, kept.hash)
        made.append((n, kept))
    return made


def written(entries: list[Numbered]) -> bytes:
    stored = write_page(entries)
    assert stored is not None
    return stored


def test_a_page_that_was_sealed_once_is_read_for_ever() -> None:
    """With one byte of the dictionary or another mark changed, the record before would be lost."""
    sealed = json.loads(SEALED.read_text())
    entries = [(n, Kept(entry, digest)) for n, entry, digest in sealed["entries"]]
    assert read_page(bytes.fromhex(sealed["page"]), entries[-1][0]) == entries


ODD = [
    "",
    '"',
    "{}",
    "\x01",
    "\x010;",
    "\x011;",
    "a\tb",
    "a\nb",
    "0" * 64,
    "0" * 65,
    "\ufffd",
    f"x{'ab' * 32}",
    "[" * 99,
]
TEXTS = st.text() | st.sampled_from(ODD) | st.from_regex(r"\A[0-9a-f]{60,70}\Z")


@given(st.lists(st.tuples(st.integers(1, 2**53), TEXTS, TEXTS), min_size=1, max_size=9))
def test_whatever_stands_in_the_record_comes_back_as_it_was(found: list[tuple[int, str, str]]) -> None:
    """R25: also what somebody changed before it was sealed; its hash goes on not to fit."""
    entries = [(n, Kept(entry, digest)) for n, entry, digest in sorted(found)]
    assert read_page(written(entries), entries[-1][0]) == entries


def test_an_entry_takes_little_more_than_its_hash_where_the_others_say_the_same() -> None:
    entries = chain(128, data={"tool": "search", "why": "rule “reads”"})
    assert len(written(entries)) / 128 < 40


def test_numbers_that_are_missing_stay_missing() -> None:
    entries = [entry for entry in chain(9) if entry[0] not in (1, 2, 5)]
    assert read_page(written(entries), 9) == entries


def _deflated(text: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, ENTRIES_2)
    return b"\x01\x00\x00\x00\x00" + packer.compress(text) + packer.flush()


BROKEN = {
    "empty": b"",
    "another format": b"\x02" + written(chain(3))[1:],
    "no count": b"\x01\x00",
    "cut within the digests": written(chain(3))[:50],
    "cut within the text": written(chain(3))[:-3],
    "something behind it": written(chain(3)) + b"x",
    "no deflated text": b"\x01\x00\x00\x00\x00" + bytes(40),
    "no line": _deflated(b""),
    "a line without a hash": _deflated(b"{}"),
    "a line with more": _deflated(b"{}\tx\t3\t4"),
    "no number": _deflated(b"{}\tx\tthree"),
    "a number of many digits": _deflated(b"{}\tx\t" + b"9" * 5000),
    "no ASCII": _deflated(b"\xff\tx\t3"),
    "no JSON": _deflated(b'"\tx\t3'),
    "a digest that it does not hold": _deflated(b"\x010;\tx\t3"),
    "a digest before the first": _deflated(b"\x011;\tx\t3"),
    "no order": _deflated(b"{}\tx\t4\n{}\tx\t3"),
    "another last one": written(chain(4)),
    "too long": _deflated(bytes(MOST + 1)),
    "too long with its digest": b"\1\0\0\0\1" + bytes(32) + _deflated(b"\x010;" + b"\x011;" * (MOST // 30))[5:],
}


@pytest.mark.parametrize("broken", BROKEN)
def test_what_is_no_page_is_refused_by_name(broken: str) -> None:
    with pytest.raises(
        UnknownSchema, match="longer than a page may be" if "too long" in broken else "page of the record"
    ):
        read_page(BROKEN[broken], 3)


def test_no_page_is_written_that_nobody_would_read(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = chain(3)
    length = len("\n".join(f"{kept.entry}\t{kept.hash}" for _, kept in entries))
    monkeypatch.setattr(page, "MOST", length)
    assert read_page(written(entries), 3) == entries
    monkeypatch.setattr(page, "MOST", length - 1)
    assert write_page(entries) is None


def test_a_page_takes_no_more_memory_than_it_may_whatever_it_would_unpack_to() -> None:
    """Deflate makes a thousand bytes of one."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15, 9, zlib.Z_DEFAULT_STRATEGY, ENTRIES_2)
    bomb = b"\x01\x00\x00\x00\x00" + b"".join(packer.compress(bytes(MOST)) for _ in range(6)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(UnknownSchema, match="longer than a page may be"):
            read_page(bomb, 3)
        assert tracemalloc.get_traced_memory()[1] < 3 * MOST
    finally:
        tracemalloc.stop()
