"""Connection to Redis: one server, a Cluster, or a primary that Sentinels name.

The scheme of the address selects the kind. The job engine reads the same addresses:

    redis://:password@host:port/db              rediss:// over TLS, unix:// over a socket
    redis+cluster://:password@host:port         any node; the others are discovered
    redis+sentinel://:password@host:port,host2:port2/name/db?sentinel_password=…
"""

import asyncio
from typing import Any, Final, Self

import redis.asyncio
from docket._redis_sentinel import parse_sentinel_url  # one grammar for both clients; pydocket is pinned for it
from redis.asyncio.cluster import RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import (
    Sentinel,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
)
from redis.backoff import ExponentialBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import RedisError

from countersign.domain.errors import WrongSettings
from countersign.store.redis.errors import reaching
from countersign.store.redis.redis_py_compat import keep_cancellations, keep_cancellations_on_a_cluster

CONNECTIONS: Final = 32
"""Connections from one process to Redis (on a Cluster: to one node), besides those of its subscription and the job
engine."""
_CONNECT_WITHIN: Final = 2.0
_ANSWER_WITHIN: Final = 5.0
_WAIT_FOR_A_CONNECTION: Final = 20.0
_DRIVER: Final = DriverInfo()
"""Shown by `CLIENT LIST`. By default redis-py reads its own version from disk for each connection, which is half the
connection's cost."""


def connect(url: str) -> redis.asyncio.Redis:
    """Make a client that answers a click in time; nothing is connected yet.

    It repeats a command for a fraction of a second, where redis-py would wait up to 7 s between its tries. redis-py's
    pool fails above 100 connections, as if Redis were lost; this one lets callers wait for their turn. WrongSettings,
    without any part of the address, if it cannot be used.
    """
    try:
        return _client(url)
    except (ValueError, TypeError, RedisError):  # whose message and traceback contain the address
        raise WrongSettings(
            ["REDIS_URL: what stands in it cannot be used; look at its port, its database and what follows the “?”."]
        ) from None


def _client(url: str) -> redis.asyncio.Redis:
    scheme = url.partition("://")[0]
    options: dict[str, Any] = {
        "driver_info": _DRIVER,
        "retry": Retry(ExponentialBackoff(cap=0.2, base=0.05), 3),
        "socket_connect_timeout": _CONNECT_WITHIN,
        "socket_timeout": _ANSWER_WITHIN,
    }
    if scheme.endswith("+cluster"):
        client: Any = ClusterClient.from_url(url.replace("+cluster", "", 1), max_connections=2 * CONNECTIONS, **options)
        keep_cancellations_on_a_cluster(client)
        return client  # type: ignore[no-any-return]  # the same commands, though redis-py gives them no common type
    if scheme.endswith("+sentinel"):
        return RedisClient.from_pool(_sentinel_pool(url, options))
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=CONNECTIONS, timeout=_WAIT_FOR_A_CONNECTION, **options
    )
    keep_cancellations(pool)
    pool.make_connection()  # type: ignore[no-untyped-call]  # finds unknown options before the first command
    return RedisClient.from_pool(pool)


class RedisClient(redis.asyncio.Redis):
    """A client of one server whose commands raise our errors.

    Its pipelines and subscriptions raise redis-py's errors.
    """

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command as redis-py does."""
        async with reaching():
            return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]


class ClusterClient(RedisCluster):
    """A Cluster client; the first command looks up the nodes, and callers queue.

    Its commands raise our errors.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.turns = asyncio.Semaphore(CONNECTIONS)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Run a command as redis-py does, when it is its turn."""
        async with reaching(), self.turns:
            return await super().execute_command(*args, **options)


class _SentinelPool(redis.asyncio.BlockingConnectionPool, SentinelConnectionPool):
    """Connections to the Sentinels' current primary; closes those to Sentinels too."""

    async def aclose(self) -> None:
        await super().aclose()
        for sentinel in self.sentinel_manager.sentinels:
            await sentinel.aclose()


def _sentinel_pool(url: str, options: dict[str, Any]) -> _SentinelPool:
    address = parse_sentinel_url(url)
    # A frozen Sentinel must not be waited for: another one answers.
    asking = {"driver_info": _DRIVER, "socket_connect_timeout": 1.0, "socket_timeout": 1.0, **address.sentinel_kwargs}
    own = dict(address.connection_kwargs)
    secure = own.pop("ssl", False)
    pool = _SentinelPool(
        max_connections=CONNECTIONS,
        timeout=_WAIT_FOR_A_CONNECTION,
        connection_class=SentinelManagedSSLConnection if secure else SentinelManagedConnection,
        service_name=address.service_name,
        sentinel_manager=Sentinel(address.sentinels, sentinel_kwargs=asking),  # type: ignore[no-untyped-call]
        db=address.db,
        **{**options, **own},
    )
    keep_cancellations(pool)
    return pool
