"""Records are bounded, and one that cannot be read is not tried twice (R29)."""

import pytest

from countersign import usecases
from countersign.domain.calls import LONGEST_CONTENT
from countersign.domain.errors import GivenUp, InvalidInput, UnknownSchema
from countersign.domain.ids import RequestId
from countersign.domain.requests import Request
from countersign.store import codec
from countersign.store.codec import Codec, compress, decompress
from countersign.store.record_codecs import ANNOUNCEMENTS, REQUESTS
from countersign.store.records import REMEMBERED, Tolerant
from countersign.store.store import Store
from countersign.usecases.ports import Announcement, Lease, TeamInfo
from tests.sample_requests import question, request


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
        ANNOUNCEMENTS.write(Announcement((TeamInfo("x", "y" * (codec.LARGEST + 1)),)), 1)


async def test_a_question_that_nobody_could_be_shown_ends_its_run_with_a_sentence(store: Store, lease: Lease) -> None:
    """R14, R21: it is not written where web could not read it."""
    with pytest.raises(GivenUp, match="Nobody was asked"):
        await usecases.ask(store, lease, question("x" * (LONGEST_CONTENT + 1)))
    asked = await usecases.ask(store, lease, question("\x00" * 10 + "x" * (LONGEST_CONTENT - 10)))
    assert await store.requests([asked.id]) == [asked]


async def test_a_record_larger_than_any_or_of_another_kind_is_no_store_that_is_away(store: Store, lease: Lease) -> None:
    """R29, R4: of the large one no more is read than shows that it is; the next one is read all the same."""
    asked = [await usecases.ask(store, lease, question(f"{n}", agent=f"a{n}")) for n in range(3)]
    odd, large, good = asked
    keys = store.keys
    await store.client.delete(keys.request(odd.id))
    await store.client.lpush(keys.request(odd.id), "x")
    await store.client.expire(keys.request(odd.id), 60)
    await store.client.set(keys.request(large.id), b"1 2\n" + b" " * (codec.LARGEST + 100))
    for name in (odd.id, large.id):
        with pytest.raises(UnknownSchema):
            await store.request(name)
    found = await store.readable([odd.id, large.id, good.id, RequestId("qnone")])
    assert found == {good.id: good, RequestId("qnone"): None}
    assert await store.indexes.waiting(9) == [good]


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
