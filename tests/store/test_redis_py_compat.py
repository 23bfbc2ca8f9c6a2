"""Whoever is told to end ends, at whatever moment: else a process that should stop waits for ever."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.sentinel import SentinelManagedConnection, SentinelManagedSSLConnection

from countersign.store.redis.connection import connect
from countersign.store.redis.redis_py_compat import EngineConnections, _Cancellable, cancellable
from tests.longest_wait import PATIENCE

Asks = Callable[[Any], Awaitable[Any]]


async def _get(client: Any) -> Any:
    return await client.get("a")


async def _after_connecting(client: Any) -> Any:
    await client.connection_pool.disconnect()
    return await client.get("a")


async def _pipeline(client: Any) -> Any:
    async with client.pipeline(transaction=False) as pipeline:
        return await pipeline.get("a").get("a").execute()


async def _script(client: Any) -> Any:
    return await client.register_script("return ARGV[1]")(args=["a"])


@pytest.mark.parametrize("ask", [_get, _after_connecting, _pipeline, _script])
async def test_cancelled_redis_call_stays_cancelled_and_mixes_no_answers(redis_url: str, ask: Asks) -> None:
    """R8: on Python 3.11 a cancellation got lost that came as a command was sent."""
    async with connect(redis_url) as client:
        await client.mset({"a": "a", "b": "b"})
        for turns in range(1, 200):
            task = asyncio.ensure_future(ask(client))
            for _ in range(turns):
                await asyncio.sleep(0)
            if task.done():
                break
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled(), turns
            assert await client.get("b") == b"b"
        else:
            pytest.fail("it was never done before it was cancelled")
        await client.delete("a", "b")


async def test_timeout_during_a_redis_send_is_raised(redis_url: str) -> None:
    """R8: on Python 3.11 it got lost as the command was sent."""
    async with connect(redis_url) as client:
        await client.ping()

        async def asks() -> None:
            async with asyncio.timeout(None) as within:
                asyncio.get_running_loop().call_soon(within.reschedule, 0)
                await client.get("a")

        with pytest.raises(TimeoutError):
            await asks()


async def test_hint_listener_ends_whenever_cancelled(redis_url: str) -> None:
    """At whatever turn of the event loop."""
    async with connect(redis_url) as client:
        for turns in range(60):
            async with client.pubsub() as subscription:

                async def listens(subscription: Any = subscription) -> None:
                    await subscription.subscribe("a")
                    while True:
                        await subscription.get_message(timeout=None)

                task = asyncio.create_task(listens())
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                ended, _ = await asyncio.wait({task}, timeout=PATIENCE)
                assert ended, turns


SENTINELS = "redis+sentinel://localhost:1,localhost:2/main/0"
KINDS: list[tuple[str, Any]] = [
    ("redis://localhost:1/0", Connection),
    ("rediss://localhost:1/0", SSLConnection),
    ("unix:///nowhere", UnixDomainSocketConnection),
    (SENTINELS, SentinelManagedConnection),
    (SENTINELS.replace("redis", "rediss", 1), SentinelManagedSSLConnection),
]


@pytest.mark.parametrize(("url", "kind"), KINDS)
async def test_all_our_redis_connections_keep_cancellations(url: str, kind: Any) -> None:
    """Those of the job engine and of Sentinel too."""
    client, engine = connect(url), await EngineConnections(url)._connection_pool_from_url()
    pools: list[Any] = [client.connection_pool, engine]
    assert [pool.connection_class for pool in pools] == [cancellable(kind)] * 2
    for sentinel in [s for pool in pools if "sentinel" in url for s in pool.sentinel_manager.sentinels]:
        assert issubclass(sentinel.connection_pool.connection_class, _Cancellable)
    await client.aclose()
    await engine.aclose()


async def test_cluster_node_connections_keep_cancellations() -> None:
    """The first nodes and those found later."""
    client: Any = connect("redis+cluster://localhost:1")
    [node] = client.startup_nodes
    known = [node.connection_class, client.nodes_manager.connection_kwargs["connection_class"]]
    assert known == [cancellable(Connection)] * 2
    await client.aclose()


async def test_other_users_of_redis_py_keep_their_connections() -> None:
    send = AbstractConnection.send_packed_command
    connect("redis://localhost:1/0")
    assert AbstractConnection.send_packed_command is send
    assert "send_packed_command" not in vars(Connection)
