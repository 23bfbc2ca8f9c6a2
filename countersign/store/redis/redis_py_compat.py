"""Cancellations that redis-py would lose, and bounds on the job engine's reads.

redis-py sends with `asyncio.wait_for`, which before Python 3.12 loses a cancellation that arrives as the wait ends
(https://github.com/python/cpython/issues/86296). A cancelled loop continued, and its caller waited for its end forever;
a timeout was lost in the same way. Only our own connections use the class that fixes this, so other users of redis-py
in the process are not affected. Remove this with Python 3.11.

Docket waits for an answer of Redis forever. A server that is frozen, or silently gone, would keep a worker from new
runs and from shutting down. The engine's longest read here is `countersign.runs.job_queue.LOOK_EVERY`.
"""

import asyncio
from functools import cache
from typing import Any, Final

from docket._redis import CONNECT_TIMEOUT, RedisConnection
from redis.asyncio import ConnectionPool, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.sentinel import SentinelConnectionPool

ENGINE_ANSWER_WITHIN: Final = 5.0
"""Seconds for one answer of Redis to the job engine; after that it connects again."""


class _Cancellable(AbstractConnection):
    """Mixin for a connection that keeps a cancellation."""

    async def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        """Send a command as redis-py does; raise CancelledError if it lost one."""
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > before:
            # A reply without a reader is on its way: the next command must not get it.
            await self.disconnect(nowait=True)
            raise asyncio.CancelledError


@cache
def cancellable(kind: type[Any]) -> type[Any]:
    """Derive a class of connections that keep cancellations."""
    return type(kind.__name__, (_Cancellable, kind), {})


def keep_cancellations(pool: ConnectionPool) -> None:
    """Let an unused pool make connections that keep cancellations.

    Includes the pools of its Sentinels.
    """
    kind: Any = pool.connection_class
    pool.connection_class = cancellable(kind)
    if isinstance(pool, SentinelConnectionPool):
        for sentinel in pool.sentinel_manager.sentinels:
            keep_cancellations(sentinel.connection_pool)


def keep_cancellations_on_a_cluster(client: RedisCluster) -> None:
    """Do the same for the nodes of a Cluster, including nodes found later."""
    options = client.nodes_manager.connection_kwargs
    options["connection_class"] = cancellable(options["connection_class"])
    for node in client.startup_nodes:
        node.connection_class = options["connection_class"]


class EngineConnections(RedisConnection):
    """Connections of the job engine, which keep cancellations too, with bounded reads."""

    async def _connection_pool_from_url(
        self, decode_responses: bool = False, protocol: int | None = None
    ) -> ConnectionPool:
        pool = await super()._connection_pool_from_url(decode_responses, protocol)
        pool.connection_kwargs["socket_timeout"] = ENGINE_ANSWER_WITHIN
        keep_cancellations(pool)
        return pool

    def _create_node_pool(self) -> ConnectionPool:
        pool = super()._create_node_pool()
        pool.connection_kwargs["socket_timeout"] = ENGINE_ANSWER_WITHIN
        keep_cancellations(pool)
        return pool

    async def _create_cluster_client(self) -> RedisCluster:
        # Docket's own pool already has connections.
        client = RedisCluster.from_url(
            self._normalized_url(),
            socket_timeout=ENGINE_ANSWER_WITHIN,
            socket_connect_timeout=CONNECT_TIMEOUT,
        )
        keep_cancellations_on_a_cluster(client)
        return await client.initialize()
