"""The ops port of `web` and worker: alive, ready, and measured."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import aiohttp
import pytest

from bot.slack import app
from bot.slack.health import Health
from countersign import ops_port, usecases
from countersign.domain.errors import WrongSettings
from countersign.store.redis.connection import RedisClient
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from tests.free_ports import free_port
from tests.installations.office import fact
from tests.installations.test_tokens import reads
from tests.sample_requests import question
from tests.slack.socket_bot import unconnected_bot
from tests.slack.test_connection import get, until


class Elsewhere(Store):
    """A store whose clock another machine has."""

    apart = timedelta(0)
    away = False

    async def now(self) -> datetime:
        return await super().now() + self.apart

    async def check_writable(self) -> datetime:
        if self.away:
            async with RedisClient.from_url("redis://127.0.0.1:1/0") as nowhere:
                return await Store(nowhere, "t").check_writable()
        return await super().check_writable()


@asynccontextmanager
async def served(health: Health) -> AsyncIterator[str]:
    """Serve the port; yields its address."""
    async with ops_port.served(health, "127.0.0.1", free_port()) as port:
        yield f"http://127.0.0.1:{port}"
    await health.aclose()


def started(store: Store) -> Health:
    """A `web` over signed HTTP that has started."""
    health = Health()
    health.store, health.waits_for, health.stores = store, "", lambda: (store,)
    return health


async def test_wrong_clock_makes_web_unready(store: Store) -> None:
    """R7: every payload over signed HTTP would be refused as too old, and nobody would know why."""
    there = Elsewhere(store.client, store.keys.prefix[1:-2])
    async with served(started(there)) as url:
        for apart, said in (
            (timedelta(minutes=-60), "60 minutes ahead of that of Redis"),
            (timedelta(minutes=6), "6 minutes behind that of Redis"),
        ):
            there.apart, there.away = apart, False
            status, text = await get(f"{url}/readyz")
            assert status == 503 and said in text
            there.away = True
            status, text = await get(f"{url}/readyz")
            assert status == 503 and said in text, "what was seen last counts while Redis is away"
        there.apart, there.away = timedelta(minutes=2), False
        assert await get(f"{url}/readyz") == (200, "ok")
        assert await get(f"{url}/livez") == (200, "ok")


async def test_web_without_redis_stays_alive_and_ready() -> None:
    """R7: it answers people with its own sentence; a load balancer would answer with none."""
    client = RedisClient.from_url("redis://127.0.0.1:1/0")
    async with served(started(Store(client, "t"))) as url:
        assert await get(f"{url}/livez") == (200, "ok")
        assert (await get(f"{url}/readyz"))[0] == 200
        await fact(
            lambda: reads(int(url[-5:]), "/readyz", "ok\nThe store (Redis) does not answer: Connection refused.")
        )
        _, figures = await get(f"{url}/metrics")
    await client.aclose()
    assert 'countersign_waiting{what="requests"} NaN' in figures


async def test_web_is_ready_from_its_start_until_sigterm(store: Store) -> None:
    health = Health()
    async with served(health) as url:
        assert await get(f"{url}/readyz") == (503, "`web` is starting: it waits for Redis.")
        health.store, health.waits_for = store, "Slack"
        assert await get(f"{url}/readyz") == (503, "`web` is starting: it waits for Slack.")
        health.waits_for = ""
        assert await get(f"{url}/readyz") == (200, "ok")
        health.stopping = True
        assert (await get(f"{url}/readyz"))[0] == 503
        assert await get(f"{url}/livez") == (200, "ok")


async def test_web_stays_ready_while_a_new_workspace_opens(store: Store) -> None:
    """It takes a while to open, and all others are served meanwhile."""
    health = started(store)
    opened = False
    health.opened = lambda: opened
    async with served(health) as url:
        assert (await get(f"{url}/readyz"))[0] == 503
        opened = True
        assert (await get(f"{url}/readyz"))[0] == 200
        opened = False
        assert (await get(f"{url}/readyz"))[0] == 200


async def test_web_stays_ready_after_losing_its_socket_connection(slack: LocalSlack, store: Store) -> None:
    """It is not ready before its first connection, so that a rolling restart waits for that."""
    slack.faults.add("server_error", on="apps.connections.open", status=503, times=None)
    async with (
        unconnected_bot(slack, store) as (_, bolt, clients),
        app.socket_mode(bolt, slack.app_token, clients.reads) as connected,
    ):
        health = started(store)
        health.connected = connected
        async with served(health) as url:
            assert (await get(f"{url}/readyz"))[0] == 503
            slack.faults.clear()
            await slack.wait_connected(1)
            await until(connected)
            assert await get(f"{url}/readyz") == (200, "ok")
            slack.faults.add("server_error", on="apps.connections.open", status=503, times=None)
            slack.cut_sockets()
            await until(connected, False)
            assert await get(f"{url}/readyz") == (200, "ok\nThere is no Socket Mode connection to Slack.")


async def test_metrics_count_waiting_requests(store: Store, lease: Lease) -> None:
    """R26"""
    await usecases.ask(store, lease, question())
    async with served(started(store)) as url:
        status, text = await get(f"{url}/metrics")
        async with aiohttp.ClientSession() as session, session.post(f"{url}/metrics") as posted:
            assert posted.status == 404
    assert status == 200
    assert 'countersign_waiting{what="requests"} 1.0' in text
    assert 'countersign_repairs_total{kind="job_lost"}' in text


async def test_ops_port_in_use_is_reported(store: Store) -> None:
    port = free_port()
    async with ops_port.served(started(store), "127.0.0.1", port):
        with pytest.raises(WrongSettings, match="HOST, OPS_PORT: cannot listen"):
            async with ops_port.served(started(store), "127.0.0.1", port):
                raise AssertionError("listened twice")
