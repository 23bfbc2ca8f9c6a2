"""Packed records: smaller, and readable for ever."""

import json
import tracemalloc
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.errors import NewerSchema, UnknownSchema
from bot.store import dictionaries, packing
from bot.store.packing import ENTRY, RECORD, pack, unpack
from bot.store.records import EVENTS
from bot.store.sides import REQUESTS
from tests.making import request

PACKED = Path(__file__).parents[1] / "data" / "packed.json"
"""What was packed once, by number of its dictionary: hex, and the JSON that it must give."""


@pytest.mark.parametrize("stored", json.loads(PACKED.read_text()), ids=lambda stored: stored["what"])
def test_what_was_packed_once_is_read_for_ever(stored: dict[str, str]) -> None:
    """A change of the dictionary without a new number would lose every record."""
    assert unpack(bytes.fromhex(stored["packed"])).decode() == stored["plain"]


@pytest.mark.parametrize("number", [RECORD, ENTRY])
@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_any_json_comes_out_as_it_went_in_and_never_takes_more_bytes(number: bytes, value: object) -> None:
    plain = json.dumps(value).encode()
    assert unpack(pack(plain, number)) == plain
    assert len(pack(plain, number)) <= len(plain)


def test_a_request_takes_less_than_half_of_its_bytes_beyond_what_is_asked() -> None:
    asked = request()
    stored, content = REQUESTS.write(asked, 1), len(asked.question.content)
    assert len(stored) - content < (len(unpack(stored.partition(b"\n")[2])) - content) / 2
    assert REQUESTS.read(stored) == (asked, 1)


def test_a_record_of_an_earlier_version_is_read_as_it_is() -> None:
    asked = request()
    assert REQUESTS.read(b"7 1\n" + unpack(REQUESTS.dump(asked))) == (asked, 7)


@pytest.mark.parametrize("stored", [b"\x05abc", b"\x04abc", b"\x03abc", b"\x02abc", b"\x01abc", b"", b"\x01", b"\x04"])
def test_what_cannot_be_unpacked_is_refused_by_name(stored: bytes) -> None:
    with pytest.raises(UnknownSchema) as refused:
        EVENTS.load(stored)
    assert isinstance(refused.value, NewerSchema) is (stored[:1] == b"\x05")


@pytest.mark.parametrize("number", [b"\x01", b"\x02", RECORD, ENTRY])
def test_a_few_bytes_do_not_fill_the_memory(number: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: 64 kB that a worker writes would be gigabytes here."""
    monkeypatch.setattr(packing, "LARGEST", 1000)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -13)
    packed = number + b"".join(bomb.compress(b" " * 2**20) for _ in range(16)) + bomb.flush()
    tracemalloc.start()
    try:
        with pytest.raises(UnknownSchema, match="more than 1,000 bytes"):
            unpack(packed)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_what_is_larger_than_is_ever_unpacked_is_stored_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """So nothing that was stored once is lost to the limit."""
    monkeypatch.setattr(packing, "LARGEST", 1000)
    for size in (998, 999, 1000):
        plain = b'"' + b"a" * size + b'"'
        assert unpack(pack(plain)) == plain
        assert (len(pack(plain)) < 100) is (len(plain) <= 1000)


def test_a_record_whose_end_is_missing_is_refused_by_name() -> None:
    with pytest.raises(UnknownSchema, match="its end is missing"):
        unpack(pack(b'{"schema": 2, "state": "done", "value": "something that somebody said"}')[:-5])


@pytest.mark.parametrize("words", [dictionaries.RECORDS_3, dictionaries.ENTRIES_4])
def test_all_of_a_dictionary_is_found_again(words: bytes) -> None:
    """What does not fit into the window stands there for nothing."""
    number = RECORD if words is dictionaries.RECORDS_3 else ENTRY
    assert len(pack(words[:200], number)) < 10
    assert len(pack(words[-200:], number)) < 10
