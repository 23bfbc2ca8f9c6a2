"""What comes from the other side is bounded, fails fast, and is not read twice (R29)."""

import json
import tracemalloc
import zlib
from typing import Any

import pytest
from pydantic import ValidationError
from tests.store.two_users import Sides, start

from countersign import usecases
from countersign.domain.calls import LONGEST_CONTENT
from countersign.domain.errors import GivenUp, InvalidInput, UnknownSchema
from countersign.domain.events import Event, EventType
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request
from countersign.store import codec
from countersign.store.codec import Codec, compress, decompress
from countersign.store.record_codecs import EVENTS, REQUESTS, RUNS, SETTINGS, TEAMS, read_event
from countersign.store.records import REMEMBERED, Tolerant
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, TeamInfo
from tests.sample_requests import question, request
from tests.store.test_unreadable import asked

MOST = 2**24
"""Bytes of memory that reading a record of a few kB may take."""


def plain(asked: Request) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(decompress(REQUESTS.dump(asked)))
    return found


def squeezed(record: object) -> bytes:
    """A record as an attacker packs it: nothing is left out."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -13, 9)
    return b"1 2\n\x01" + packer.compress(json.dumps(record).encode()) + packer.flush()


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many errors there were each time that a record was looked through and refused."""
    errors: list[int] = []
    first = codec._first

    def one(wrong: ValidationError) -> str:
        errors.append(wrong.error_count())
        return first(wrong)

    monkeypatch.setattr(codec, "_first", one)
    return errors


@pytest.mark.parametrize(
    ("name", "item", "compressed"), [("votes", 0, True), ("votes", "", False), ("junk", {}, False), ("junk", 0, True)]
)
def test_a_record_of_eight_hundred_thousand_items_is_refused_at_once(
    name: str, item: object, compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R29: 2 kB took ten seconds and more than a gigabyte, for an error was kept for each item."""
    record = {**plain(request()), name: [item] * 800_000}
    stored = squeezed(record) if compressed else b"1 2\n" + json.dumps(record).encode()
    assert (len(stored) < 8000) is compressed
    errors = counted(monkeypatch)
    tracemalloc.start()
    try:
        with pytest.raises(UnknownSchema):
            Codec(Request).read(stored)
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert sum(errors) < 10


@pytest.mark.parametrize("name", ["votes", "raised", "looking"])
def test_a_sequence_of_a_record_stops_at_its_first_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R29: as many as a sequence may have are no thousand errors either."""
    errors = counted(monkeypatch)
    with pytest.raises(UnknownSchema):
        Codec(Request).load(json.dumps({**plain(request()), name: [0] * codec.ITEMS}).encode())
    assert errors == [1]


def test_texts_full_of_signs_are_no_crowd_and_a_text_without_end_is_looked_at_once() -> None:
    """R29, R14: a long call is a text, whatever stands in it."""
    long = '[{"a": 1}, ' * 100_000
    record = {**plain(request()), "question": {**plain(request())["question"], "content": long}}
    assert REQUESTS.load(json.dumps(record).encode()).question.content == long
    assert not codec.crowded(b'"' + b'\\",' * 2_000_000)


def with_options(count: int) -> dict[str, Any]:
    record = plain(request())
    return {**record, "question": {**record["question"], "options": ["x"] * count}}


def test_each_sequence_text_number_and_time_of_a_record_has_a_bound() -> None:
    """R29: whatever the field is, now and when others are added."""
    for kind in (REQUESTS, RUNS, SETTINGS, TEAMS):
        found = codec.within(kind.adapter.core_schema)
        for schema in _all(found):
            wanted = codec.BOUNDS.get(schema["type"], {})
            assert {name: schema.get(name) for name in wanted if name not in schema} == {}
    REQUESTS.load(json.dumps(with_options(codec.ITEMS)).encode())
    for record in (
        with_options(codec.ITEMS + 1),
        {**plain(request()), "run": "r" * (codec.TEXT + 1)},
        {**plain(request()), "reminded": 10**30},
        {**plain(request()), "created_at": "2026-03-06T17:00:00"},
        {**plain(request()), "created_at": "9999-12-31T23:59:59Z"},
        {**plain(request()), "rules": {**plain(request())["rules"], "timeout": "P900000000D"}},
    ):
        with pytest.raises(UnknownSchema):
            REQUESTS.load(json.dumps(record).encode())


def _all(schema: object) -> list[dict[str, Any]]:
    if isinstance(schema, dict):
        own = [schema] if isinstance(schema.get("type"), str) else []
        return own + [found for part in schema.values() for found in _all(part)]
    return [found for part in schema for found in _all(part)] if isinstance(schema, list | tuple) else []


def test_what_cannot_be_read_is_not_tried_again_and_not_all_of_it_is_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R29: it costs what its digest costs, and the memory of it is small; what changed is read."""
    kind = Codec(Request)
    tried: list[bytes] = []

    def trying(stored: bytes) -> bytes:
        tried.append(stored)
        return decompress(stored)

    monkeypatch.setattr(codec, "decompress", trying)
    for _ in range(3):
        with pytest.raises(UnknownSchema, match="id: Field required"):
            kind.load(b'{"junk": 1}')
    assert len(tried) == 1
    assert kind.load(compress(decompress(REQUESTS.dump(request())))) == request()
    for number in range(2 * codec.REMEMBERED):
        with pytest.raises(UnknownSchema):
            kind.load(b"%d" % number)
    assert len(kind.unreadable) <= codec.REMEMBERED


def test_what_no_program_reads_is_not_written() -> None:
    """R21: who asks for too much is told, and nothing waits for ever."""
    with pytest.raises(InvalidInput, match="nothing was stored"):
        TEAMS.write([TeamInfo("x", "y" * (codec.LARGEST + 1))], 1)


async def test_what_is_large_or_no_text_in_redis_is_not_taken_for_a_store_that_is_away(sides: Sides) -> None:
    """R29, R4: a worker may put anything under its keys; the next one is read all the same."""
    await start(sides)
    odd, large, good = [await asked(sides, number) for number in range(3)]
    keys, client = sides.agents.keys, sides.agents.client
    await client.delete(keys.asked(odd.id))
    await client.lpush(keys.asked(odd.id), "x")
    await client.set(keys.asked(large.id), b"1 2\n" + b" " * (codec.LARGEST + 100), keepttl=True)
    await client.delete(keys.team("worker"))
    await client.lpush(keys.team("worker"), "x")
    await client.expire(keys.team("worker"), 60)
    for name in (odd.id, large.id):
        with pytest.raises(UnknownSchema):
            await sides.web.request(name)
    found = await sides.web.readable([odd.id, large.id, good.id, RequestId("qnone")])
    assert found == {good.id: good, RequestId("qnone"): None}
    assert await sides.web.indexes.waiting(9) == [good]
    assert await sides.web.workers.teams() == []


async def test_a_question_that_nobody_could_be_shown_ends_its_run_with_a_sentence(store: Store, lease: Lease) -> None:
    """R14, R21: it is not written where web could not read it."""
    with pytest.raises(GivenUp, match="Nobody was asked"):
        await usecases.ask(store, lease, question("x" * (LONGEST_CONTENT + 1)))
    asked = await usecases.ask(store, lease, question("\x00" * 10 + "x" * (LONGEST_CONTENT - 10)))
    assert await store.requests([asked.id]) == [asked]


async def test_a_report_larger_than_any_is_recorded_as_one_that_cannot_be_read(sides: Sides) -> None:
    """R29, R25: it is taken over, and what came after it too."""
    for report in (b"x" * (2**20 + 1), EVENTS.dump(Event(EventType.RUN_STARTED, await sides.web.now()))):
        await sides.agents.client.rpush(sides.agents.keys.reports, report)
    await sides.web.commit(Change())
    entries = await sides.web.client.xrange(sides.web.keys.events)
    assert sum(len(fields[b"event"]) for _, fields in entries) < 1000
    told = [read_event(fields, entry).type for entry, fields in entries]
    assert told == [EventType.REPORT_REFUSED, EventType.RUN_STARTED]


def test_a_list_names_what_it_leaves_out_once_and_not_all_of_very_much(caplog: pytest.LogCaptureFixture) -> None:
    """R29: the log of a process is bounded too, and nobody writes lines of their own into it."""

    def broken() -> None:
        raise UnknownSchema("It was left as it is.")

    tolerant = Tolerant()
    for _ in range(2):
        tolerant.each("Request", {f"q\n{number}" + "x" * 1000: broken for number in range(2 * REMEMBERED)})
    assert len(caplog.messages) == REMEMBERED + 1
    assert "others" in caplog.messages[-1]
    assert not any("\n" in line or len(line) > 300 for line in caplog.messages)
