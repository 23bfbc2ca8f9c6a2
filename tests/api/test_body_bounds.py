"""One key cannot hold up `web` by what it sends: bounds before parsing, turns, rates (R29)."""

import asyncio
import json
import threading
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from pydantic_core import SchemaValidator

from bot.api import bodies, endpoints, json_bounds, worker_calls
from bot.api.endpoints import Interface
from countersign.domain import api_keys
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from tests.api.test_key_limits import limited
from tests.api.test_requests import REFUND, ask

MANY = 400_000
WIDE = b"{" + b",".join(b'"":1' for _ in range(MANY)) + b"}"
HOSTILE = [
    ("names", WIDE, "names and values"),
    ("values", b"[" + b"1," * MANY + b"1]", "names and values"),
    ("empty texts", b'""' * MANY, "names and values"),
    ("ends", b"]" * MANY, "names and values"),
    ("depth", b"[" * MANY, "100 deep"),
    ("a long name", b'{"' + b"x" * 1_001 + b'" : 1}', "a name"),
    ("a long number", b"1" * 1_001, "a number"),
]


@pytest.mark.parametrize(("raw", "says"), [(raw, says) for _, raw, says in HOSTILE], ids=[name for name, *_ in HOSTILE])
async def test_hostile_json_structure_is_refused_before_parsing(
    program: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, raw: bytes, says: str
) -> None:
    """R29"""

    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("this was parsed")

    monkeypatch.setattr(bodies, "read_json", never)
    headers = {"content-type": "application/json", "idempotency-key": "one"}
    answer = await program.post("/v1/requests", content=raw, headers=headers)
    assert (answer.status_code, says in answer.text) == (400, True)


@given(st.binary() | st.text(alphabet='"\\[]{},: 1a').map(str.encode))
def test_json_scan_reads_each_byte_once(raw: bytes) -> None:
    """R29: a text never makes the scan look at a place twice."""
    assert b"".join(token[0] for token in json_bounds._TOKEN.finditer(raw)) == raw


@given(
    st.recursive(
        st.none() | st.floats(allow_nan=False) | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(max_size=json_bounds.LONGEST_NAME), x),
    )
)
def test_valid_json_passes_the_bounds_check(value: Any) -> None:
    json_bounds.check(json.dumps(value).encode())
    json_bounds.check(json.dumps(value, ensure_ascii=False, indent=2).encode())


@pytest.mark.parametrize("character", ["x", "é", "😀", "\n", "\ud800"])
def test_json_name_length_is_limited_in_characters(character: str) -> None:
    longest = json_bounds.LONGEST_NAME * character
    json_bounds.check(json.dumps({longest: 1}).encode())
    json_bounds.check(json.dumps({longest: 1}, ensure_ascii=False, indent=2).encode(errors="replace"))
    json_bounds.check(b'{"a"' + b" " * len(longest) + b":1}")
    with pytest.raises(ValueError, match="at most 1,000 characters"):
        json_bounds.check(json.dumps({longest + character: 1}).encode())


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
async def test_body_that_is_not_utf_8_is_refused(program: httpx.AsyncClient, encoding: str) -> None:
    """R29: the bounds read bytes of UTF-8; of another encoding the parser would see other parts."""
    headers = {"content-type": "application/json", "idempotency-key": "one"}
    raw = json.dumps({**REFUND, "title": "Zurückzahlen?"}, ensure_ascii=False)
    answer = await program.post("/v1/requests", content=raw.encode(encoding), headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "urn:countersign:no-json")
    assert (await program.post("/v1/requests", content=raw.encode("utf-8-sig"), headers=headers)).status_code == 201


async def test_large_body_delays_only_its_own_key(
    store: Store, interface: Interface, program: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R29: others are served meanwhile, and another large one of the same key waits for its turn."""
    begun, go, seen = threading.Event(), threading.Event(), []
    parsed = bodies.parsed

    def slow(raw: bytes, model: Any) -> Any:
        if len(raw) > bodies.SMALL:
            seen.append(raw)
            begun.set()
            go.wait()
        return parsed(raw, model)

    monkeypatch.setattr(bodies, "parsed", slow)
    large = {**REFUND, "task": "x" * 90_000}
    asking = [asyncio.create_task(ask(program, key, **large)) for key in ("one", "two")]
    await asyncio.to_thread(begun.wait)
    assert (await ask(program, "small")).status_code == 201
    other = api_keys.issue("other", ("C0GENERAL",), await store.now())
    await ApiKeys(store).put(other.key)
    headers = {"authorization": f"Bearer {other.token}", "idempotency-key": "x"}
    assert (await program.post("/v1/requests", json=REFUND, headers=headers)).status_code == 201
    assert len(seen) == 1
    go.set()
    assert [answer.status_code for answer in await asyncio.gather(*asking)] == [201, 201]
    assert not +interface.calls


async def test_repeated_and_refused_questions_count_against_the_rate(store: Store, program: httpx.AsyncClient) -> None:
    """R29"""
    await limited(store, program, per_minute=4)
    assert (await ask(program)).status_code == 201
    assert (await ask(program)).status_code == 200
    assert (await ask(program, title="t")).status_code == 400
    assert (await program.post("/v1/requests/qnone/begin", json={"execution": "a"})).status_code == 404
    assert (await ask(program)).status_code == 429


async def test_slow_body_ends_the_call(url: str, program: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """R29"""
    monkeypatch.setattr(bodies, "WITHIN", 0.01)
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    head = f"POST /v1/requests HTTP/1.1\r\nhost: x\r\nauthorization: {program.headers['authorization']}\r\n"
    writer.write(f"{head}idempotency-key: a\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{{".encode())
    assert (await reader.readline()).startswith(b"HTTP/1.1 408")
    writer.close()


async def test_simultaneous_calls_of_a_key_are_limited(
    store: Store, interface: Interface, program: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R29: a key cannot take the connections of all others."""
    await limited(store, program, most_waiting=1)
    monkeypatch.setattr(endpoints, "AT_ONCE", 0)
    name = (await ask(program)).json()["id"]
    polling = asyncio.create_task(program.get(f"/v1/requests/{name}?wait=60"))
    while not interface.polls:  # noqa: ASYNC110 -- nothing tells when a poll has begun
        await asyncio.sleep(0)
    refused = await program.get(f"/v1/requests/{name}")
    assert (refused.status_code, refused.json()["type"]) == (429, "urn:countersign:calls")
    interface.stop()
    assert (await polling).status_code == 200


@pytest.mark.parametrize("call", ["withdraw", "begin", "outcome"])
async def test_only_a_question_may_have_a_large_body(program: httpx.AsyncClient, call: str) -> None:
    answer = await program.post(f"/v1/requests/qnone/{call}", json={"why": "x" * bodies.SMALL})
    assert answer.status_code == 413


def bounded(schema: object) -> list[dict[str, Any]]:
    """All parts of a schema that have a type."""
    if isinstance(schema, dict):
        own = [schema] if isinstance(schema.get("type"), str) else []
        return own + [found for part in schema.values() for found in bounded(part)]
    return [found for part in schema for found in bounded(part)] if isinstance(schema, list | tuple) else []


@pytest.mark.parametrize("name", worker_calls.BODIES)
def test_every_field_of_a_workers_call_is_bounded(name: str) -> None:
    """R29: whatever the field is, now and when others are added."""
    schema = json_bounds.within(TypeAdapter(worker_calls.BODIES[name]).core_schema)
    for part in bounded(schema):
        assert json_bounds.BOUNDS.get(part["type"], {}).keys() <= part.keys()


def test_list_in_a_workers_call_stops_at_first_error() -> None:
    """R29: an error for each of so many items took seconds, and a gigabyte."""
    reader = SchemaValidator(json_bounds.within(TypeAdapter(worker_calls.BODIES["park"]).core_schema))
    lease = {"fence": 1, "owner": "one"}
    for items in ([0] * json_bounds.ITEMS, [0] * (json_bounds.ITEMS + 1)):
        with pytest.raises(ValidationError) as wrong:
            reader.validate_json(json.dumps({"lease": lease, "call": {"awaited": items}}))
        assert wrong.value.error_count() == 1
