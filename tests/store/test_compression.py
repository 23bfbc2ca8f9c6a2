"""What is stored is compressed where that saves bytes, comes out as it went in, and fills no memory."""

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from countersign.domain.errors import NewerSchema, UnknownSchema
from countersign.store.codec import compress, decompress
from countersign.store.record_codecs import EVENTS, REQUESTS
from tests.sample_requests import request


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_compressed_json_round_trips_and_never_grows(value: object) -> None:
    """Any JSON value."""
    plain = json.dumps(value).encode()
    assert decompress(compress(plain)) == plain
    assert len(compress(plain)) <= len(plain)


def test_stored_request_is_smaller_and_plain_deflate() -> None:
    """Any zlib can read it."""
    asked = request()
    stored = REQUESTS.write(asked, 1)
    body = stored.partition(b"\n")[2]
    plain = zlib.decompress(body[1:], -15)
    assert json.loads(plain)["id"] == asked.id
    assert len(body) < len(plain)
    assert REQUESTS.read(stored) == (asked, 1)


@pytest.mark.parametrize("schema", [0, 1, 3, 99])
def test_record_of_another_schema_is_refused_by_name(schema: int) -> None:
    """R4: a newer one is left for the program that wrote it."""
    stored = b"7 %d\n%s" % (schema, decompress(REQUESTS.dump(request())))
    with pytest.raises(
        UnknownSchema, match=rf"A stored Request has schema {schema}, this program reads 2\."
    ) as refused:
        REQUESTS.read(stored)
    assert isinstance(refused.value, NewerSchema) is (schema > 2)


@pytest.mark.parametrize("stored", [b"\x05abc", b"\x01abc", b"", b"\x01", compress(b'{"a": "aaaaaaaaaaaa"}' * 9)[:-5]])
def test_undecompressable_record_is_refused_by_name(stored: bytes) -> None:
    with pytest.raises(UnknownSchema):
        EVENTS.load(stored)
