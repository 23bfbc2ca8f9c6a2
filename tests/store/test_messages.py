"""What we know of our messages in Slack: those about one run, request or day stand together, in little room."""

from dataclasses import replace
from datetime import timedelta

import pytest

from countersign.domain.ids import ChannelId, RequestId
from countersign.store.codec import ms
from countersign.store.keys import KEPT_MESSAGE
from countersign.store.store import Store
from countersign.usecases.ports import Change, Committed, Message, Put
from tests.sample_requests import GENERAL, HERE

APPROVALS = ChannelId("C0APPROVALS")
NOON = 1_772_798_400
"""Seconds since 1970, a full hour."""
NAMES = ["run/r1", "run/r1/direct", "progress/r1", "card/q1", "card/q1/instead", "raised/q1/2", "audit-head/2026-11-22"]


def message(name: str, ts: str = "") -> Message:
    return Message(HERE, GENERAL, name, ts=ts, request=RequestId("q1"))


async def put(store: Store, one: Message, version: int = 0) -> Committed:
    return await store.commit(Change(messages=(Put(one, version),)))


async def test_message_is_found_by_name(store: Store) -> None:
    """R2"""
    for name in NAMES:
        assert await put(store, message(name, f"1.{len(name)}")) is Committed.DONE
    for name in NAMES:
        seen = await store.message(name)
        assert seen is not None and seen.value == message(name, f"1.{len(name)}") and seen.version == 1
    assert await store.messages([*NAMES, "card/q2"]) == {name: message(name, f"1.{len(name)}") for name in NAMES}
    assert await store.message("card/q2") is None and await store.messages([]) == {}


@pytest.mark.parametrize("about", [None, RequestId("q1"), RequestId("q2")])
async def test_message_keeps_its_request_with_any_name(store: Store, about: RequestId | None) -> None:
    """A card's name tells it, so it is not written twice."""
    for name in NAMES:
        one = replace(message(name, "1.1"), request=about)
        assert await put(store, one) is Committed.DONE
        seen = await store.message(name)
        assert seen is not None and seen.value == one and await store.messages([name]) == {name: one}


async def test_only_one_of_two_message_writers_succeeds(store: Store) -> None:
    """R6: the projector that was frozen meanwhile learns that it was."""
    assert await put(store, message("card/q1", "1.1")) is Committed.DONE
    assert await put(store, message("card/q1", "1.2")) is Committed.STALE
    assert await put(store, message("card/q1", "1.3"), 1) is Committed.DONE
    seen = await store.message("card/q1")
    assert seen is not None and seen.value.ts == "1.3"


async def test_messages_of_a_request_live_with_the_last(store: Store) -> None:
    """They share one hash."""
    key, _ = store.keys.message("card/q1")
    await put(store, message("card/q1"))
    await store.client.pexpire(key, 1000)
    await put(store, message("waiting/q1"))
    assert await store.client.pttl(key) > ms(KEPT_MESSAGE - timedelta(minutes=1))


async def test_messages_of_a_run_fit_one_small_hash(store: Store) -> None:
    """Four messages of a waiting run took four keys."""
    for name in ("card/q1", "waiting/q1"):
        await put(store, replace(message(name, "1795359233.143338"), thread="1795359233.143338", drawn="6d" * 10))
    key, _ = store.keys.message("card/q1")
    assert await store.client.object("encoding", key) == b"listpack"


async def posted(store: Store, ts: str, request: str, channel: ChannelId = APPROVALS) -> str:
    """Store a card's message; returns the key of its hour."""
    card = Message(HERE, channel, f"card/{request}/{ts}", request=RequestId(request), ts=ts)
    assert await put(store, card) is Committed.DONE
    return store.keys.ts(HERE, channel, ts)


async def test_messages_of_one_hour_share_a_small_hash(store: Store) -> None:
    """R2: a run that waits takes little in Redis, and two entries of it are these."""
    first = await posted(store, f"{NOON}.000100", "q1")
    assert await posted(store, f"{NOON + 3599}.999999", "q2") == first
    others = {
        await posted(store, f"{NOON - 1}.999999", "q3"),
        await posted(store, f"{NOON + 3600}.000000", "q4"),
        await posted(store, f"{NOON}.000100", "q5", GENERAL),
    }
    assert len({first, *others}) == 4
    assert first.endswith(f":{NOON // 3600}")
    for ts, channel, request in (
        (f"{NOON}.000100", APPROVALS, "q1"),
        (f"{NOON + 3599}.999999", APPROVALS, "q2"),
        (f"{NOON - 1}.999999", APPROVALS, "q3"),
        (f"{NOON + 3600}.000000", APPROVALS, "q4"),
        (f"{NOON}.000100", GENERAL, "q5"),
        (f"{NOON}.000101", APPROVALS, None),
        (f"{NOON + 3600}.000000", GENERAL, None),
        ("no timestamp", APPROVALS, None),
    ):
        assert await store.message_request(HERE, channel, ts) == request, ts
    for name, ts in ("run/r1", f"{NOON}.000200"), ("run/r1/direct", f"{NOON}.000300"), ("outcome/r1", f"{NOON}.000400"):
        await put(store, Message(HERE, APPROVALS, name, ts=ts))
        assert await store.message_run(HERE, APPROVALS, ts) == ("r1" if name.startswith("run/") else None)
        assert await store.message_request(HERE, APPROVALS, ts) is None
    assert await store.message_run(HERE, APPROVALS, f"{NOON}.000100") is None
    for n in range(100):
        await posted(store, f"{NOON}.{n:06d}", "q1234567890abcdef")
    each = (await store.client.memory_usage(first, samples=0)) / 101
    assert each < 60, "104 each as strings"


async def test_hour_of_messages_lives_as_long_as_its_last(store: Store) -> None:
    """The hash by hour and channel."""
    key = await posted(store, f"{NOON}.000100", "q1")
    assert await store.client.pttl(key) > (KEPT_MESSAGE - timedelta(minutes=1)) / timedelta(milliseconds=1)
    await store.client.pexpire(key, 1000)
    await posted(store, f"{NOON}.000200", "q2")
    assert await store.client.pttl(key) > (KEPT_MESSAGE - timedelta(minutes=1)) / timedelta(milliseconds=1)
