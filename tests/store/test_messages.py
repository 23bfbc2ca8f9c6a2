"""What we know of our messages in Slack: those about one run, request or day stand together, in little room."""

from dataclasses import replace
from datetime import timedelta

import pytest

from countersign.domain.ids import RequestId
from countersign.store.codec import ms
from countersign.store.keys import KEPT_MESSAGE
from countersign.store.store import Store
from countersign.usecases.ports import Change, Committed, Message, Put
from tests.making import GENERAL, HERE

NAMES = ["run/r1", "run/r1/direct", "progress/r1", "card/q1", "card/q1/instead", "raised/q1/2", "audit-head/2026-11-22"]


def message(name: str, ts: str = "") -> Message:
    return Message(HERE, GENERAL, name, ts=ts, request=RequestId("q1"))


async def put(store: Store, one: Message, version: int = 0) -> Committed:
    return await store.commit(Change(messages=(Put(one, version),)))


async def test_each_message_is_found_under_its_name(store: Store) -> None:
    """R2"""
    for name in NAMES:
        assert await put(store, message(name, f"1.{len(name)}")) is Committed.DONE
    for name in NAMES:
        seen = await store.message(name)
        assert seen is not None and seen.value == message(name, f"1.{len(name)}") and seen.version == 1
    assert await store.messages([*NAMES, "card/q2"]) == {name: message(name, f"1.{len(name)}") for name in NAMES}
    assert await store.message("card/q2") is None and await store.messages([]) == {}


@pytest.mark.parametrize("about", [None, RequestId("q1"), RequestId("q2")])
async def test_which_request_it_is_about_comes_back_whatever_its_name_tells(
    store: Store, about: RequestId | None
) -> None:
    """Issue 3: a card's name tells it, so it is not written twice."""
    for name in NAMES:
        one = replace(message(name, "1.1"), request=about)
        assert await put(store, one) is Committed.DONE
        seen = await store.message(name)
        assert seen is not None and seen.value == one and await store.messages([name]) == {name: one}


async def test_of_two_who_write_a_message_one_wins(store: Store) -> None:
    """R6: the projector that was frozen meanwhile learns that it was."""
    assert await put(store, message("card/q1", "1.1")) is Committed.DONE
    assert await put(store, message("card/q1", "1.2")) is Committed.STALE
    assert await put(store, message("card/q1", "1.3"), 1) is Committed.DONE
    seen = await store.message("card/q1")
    assert seen is not None and seen.value.ts == "1.3"


async def test_they_are_kept_as_long_as_the_last_of_them(store: Store) -> None:
    key, _ = store.keys.message("card/q1")
    await put(store, message("card/q1"))
    await store.client.pexpire(key, 1000)
    await put(store, message("waiting/q1"))
    assert await store.client.pttl(key) > ms(KEPT_MESSAGE - timedelta(minutes=1))


async def test_a_small_hash_holds_them(store: Store) -> None:
    """Issue 3: four messages of a waiting run took four keys."""
    for name in ("card/q1", "waiting/q1"):
        await put(store, replace(message(name, "1795359233.143338"), thread="1795359233.143338", drawn="6d" * 10))
    key, _ = store.keys.message("card/q1")
    assert await store.client.object("encoding", key) == b"listpack"
