"""Calls of the same moment share their way to Redis, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
import redis.asyncio

from countersign.domain.errors import StoreUnavailable
from countersign.store.redis.connection import connect
from countersign.store.redis.scripts import Script, ScriptPipeline
from tests.chaos.proxy import Wire

pytest_plugins = ["tests.redis_server"]
ECHO = "return {KEYS[1], ARGV[1]}"
FAIL = "return redis.error_reply('no')"


@pytest.fixture
async def client(redis_url: str, namespace: str) -> AsyncIterator[redis.asyncio.Redis]:
    async with connect(f"{redis_url}?client_name={namespace}") as client:
        yield client


@pytest.fixture(params=[False, True], ids=["as they come", "in order"])
def in_order(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


async def connections(client: redis.asyncio.Redis, name: str) -> int:
    return sum(one["name"] == name for one in await client.client_list())


async def test_simultaneous_calls_share_a_round_trip_and_keep_answers(
    client: redis.asyncio.Redis, namespace: str, in_order: bool
) -> None:
    """Each caller gets its own answer, also when the server does not know the script."""
    pipeline, echo = ScriptPipeline(client, in_order=in_order), Script(client, ECHO)
    for _ in range(2):  # the first time the server does not know the script
        answers = await asyncio.gather(*(pipeline.call(echo, [f"k{n}"], [n]) for n in range(30)))
        assert answers == [[b"k%d" % n, b"%d" % n] for n in range(30)]
    await client.connection_pool.disconnect()
    await asyncio.gather(*(pipeline.call(echo, ["k"], [n]) for n in range(17)))
    assert await connections(client, namespace) == 2, "the first at once and the others together, or sixteen and one"


async def test_crowd_of_calls_is_split_into_several_round_trips(
    client: redis.asyncio.Redis, namespace: str, in_order: bool
) -> None:
    """Else this process would stand still while Redis works for all of them."""
    pipeline, echo = ScriptPipeline(client, in_order=in_order), Script(client, ECHO)
    for _ in range(2):
        answers = await asyncio.gather(*(pipeline.call(echo, ["k"], [n]) for n in range(40)))
        assert answers == [[b"k", b"%d" % n] for n in range(40)]
    await client.connection_pool.disconnect()
    await asyncio.gather(*(pipeline.call(echo, ["k"], [n]) for n in range(40)))
    assert await connections(client, namespace) == (3 if in_order else 4), "two of sixteen and the rest; one at once"


async def test_failing_call_in_a_pipeline_fails_alone(client: redis.asyncio.Redis, in_order: bool) -> None:
    pipeline = ScriptPipeline(client, in_order=in_order)
    echo, fail = Script(client, ECHO), Script(client, FAIL)
    for first, second in ((echo, fail), (fail, echo)):
        calls = (pipeline.call(first, ["k"], ["a"]), pipeline.call(second, ["k"], ["a"]))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        failed = answers[0] if first is fail else answers[1]
        assert isinstance(failed, StoreUnavailable)
        assert [b"k", b"a"] in answers


async def test_cancelled_call_in_a_pipeline_harms_no_other(client: redis.asyncio.Redis, in_order: bool) -> None:
    pipeline, echo = ScriptPipeline(client, in_order=in_order), Script(client, ECHO)
    for cancelled in range(3):
        # Connections stand: redis-py leaves one open that is cancelled while it is made.
        await asyncio.gather(*(pipeline.call(echo, ["k"], [n]) for n in range(3)))
        calls = [asyncio.create_task(pipeline.call(echo, ["k"], [n])) for n in range(3)]
        await asyncio.sleep(0)
        calls[cancelled].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(answers.pop(cancelled), asyncio.CancelledError)
        assert [answer[1] for answer in answers if isinstance(answer, list)] == [
            b"%d" % n for n in range(3) if n != cancelled
        ]


@pytest.mark.parametrize("cancelled", range(4))
async def test_call_cancelled_in_flight_sends_no_other_twice(
    client: redis.asyncio.Redis, namespace: str, cancelled: int, in_order: bool
) -> None:
    """R8: an event that was only counted would be counted twice."""
    pipeline = ScriptPipeline(client, in_order=in_order)
    count = Script(client, "return redis.call('HINCRBY', KEYS[1], ARGV[1], 1)")
    for turns in range(25):
        # Connections stand, as above.
        await asyncio.gather(*(pipeline.call(count, [namespace], [f"before {turns} {n}"]) for n in range(4)))
        calls = [asyncio.create_task(pipeline.call(count, [namespace], [f"{turns} {n}"])) for n in range(4)]
        for _ in range(turns):
            await asyncio.sleep(0)
        calls[cancelled].cancel()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [answers[n] for n in range(4) if n != cancelled] == [1, 1, 1], turns
    times = await client.hgetall(namespace)
    assert {*times.values()} == {b"1"}, "nor that one itself"
    await client.delete(namespace)


async def test_calls_in_order_reach_redis_in_order(client: redis.asyncio.Redis, namespace: str) -> None:
    """R26: calls of one answer of a model are judged, numbered and asked about as the model put them."""
    pipeline, push = ScriptPipeline(client, in_order=True), Script(client, "redis.call('RPUSH', KEYS[1], ARGV[1])")
    for turn in range(20):
        if turn % 2:
            await client.connection_pool.disconnect()
        await asyncio.gather(*(pipeline.call(push, [namespace], [n]) for n in range(1 + turn % 16)))
        assert await client.lrange(namespace, 0, -1) == [b"%d" % n for n in range(1 + turn % 16)]
        await client.delete(namespace)


async def test_lost_pipeline_reply_loses_no_answer(redis_url: str, in_order: bool) -> None:
    """R8: what was under way is asked again, by each alone; the store's scripts bear being repeated."""
    port = urlsplit(redis_url).port
    assert port is not None
    async with Wire("store", port) as wire:
        url = redis_url.replace(f":{port}", f":{wire.port}")
        async with connect(url) as client:
            pipeline, echo = ScriptPipeline(client, in_order=in_order), Script(client, ECHO)
            await pipeline.call(echo, ["k"], [0])
            wire.lose(2, b"EVALSHA")  # of the first, and of the others
            answers = await asyncio.gather(*(pipeline.call(echo, ["k"], [n]) for n in range(5)))
            assert wire.lost == 2
    assert [answer[1] for answer in answers] == [b"%d" % n for n in range(5)]
