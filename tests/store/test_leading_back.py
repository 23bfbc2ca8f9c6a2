"""R2: the place of a message in Slack leads back to its request, in little room."""

from datetime import timedelta

from countersign.domain.ids import ChannelId, RequestId
from countersign.store.keys import KEPT_MESSAGE
from countersign.store.store import Store
from countersign.usecases.ports import Change, Message, Put
from tests.making import GENERAL, HERE

APPROVALS = ChannelId("C0APPROVALS")
NOON = 1_772_798_400
"""Seconds since 1970, a full hour."""


async def posted(store: Store, ts: str, request: str, channel: ChannelId = APPROVALS) -> str:
    """A message is written down; answers the key of its hour."""
    message = Message(HERE, channel, f"card/{request}/{ts}", request=RequestId(request), ts=ts)
    assert (await store.commit(Change(messages=(Put(message, 0),)))).name == "DONE"
    return store.keys.ts(HERE, channel, ts)


async def test_messages_of_one_hour_and_channel_share_a_small_hash(store: Store) -> None:
    """Issue 3: a run that waits takes little in Redis, and two entries of it are these."""
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
    for n in range(100):
        await posted(store, f"{NOON}.{n:06d}", "q1234567890abcdef")
    each = (await store.client.memory_usage(first, samples=0)) / 101
    assert each < 60, "104 each as strings"


async def test_the_hour_is_kept_as_long_as_its_last_message(store: Store) -> None:
    key = await posted(store, f"{NOON}.000100", "q1")
    assert await store.client.pttl(key) > (KEPT_MESSAGE - timedelta(minutes=1)) / timedelta(milliseconds=1)
    await store.client.pexpire(key, 1000)
    await posted(store, f"{NOON}.000200", "q2")
    assert await store.client.pttl(key) > (KEPT_MESSAGE - timedelta(minutes=1)) / timedelta(milliseconds=1)
