"""Packed records: smaller, and readable for ever."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.errors import UnknownSchema
from bot.store.packing import ENTRY, RECORD, pack, unpack
from bot.store.sides import REQUESTS
from bot.store.store import EVENTS
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


@pytest.mark.parametrize("stored", [b"\x03abc", b"\x02abc", b"\x01abc", b"", b"\x01", b"\x02"])
def test_what_cannot_be_unpacked_is_refused_by_name(stored: bytes) -> None:
    with pytest.raises(UnknownSchema):
        EVENTS.load(stored)
