"""Real Valkey servers in constellations: a Cluster of three primaries; a primary, its replica and a Sentinel."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis.asyncio
import redis.exceptions

from countersign.store.embedded_server import _binary
from tests.free_ports import free_port
from tests.longest_wait import PATIENCE
from tests.machine_env import MACHINE

SETTINGS = {"bind": "127.0.0.1", "save": '""', "appendonly": "no", "maxmemory-policy": "noeviction", "dir": "./"}
SLOTS = 16384


@dataclass
class Server:
    """One process, answering on `port`."""

    folder: Path
    port: int
    process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    async def say(self, *command: str | int) -> Any:
        async with redis.asyncio.Redis.from_url(self.url, decode_responses=True) as client:
            return await client.execute_command(*command)  # type: ignore[no-untyped-call]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def running_server(folder: Path, *modes: str, **settings: str | int) -> AsyncIterator[Server]:
    """A server that answers; `settings` with `_` for `-`."""
    folder.mkdir(parents=True)  # noqa: ASYNC240 -- a test's own folder
    port = free_port()
    lines = {"port": port, **SETTINGS, **{name.replace("_", "-"): value for name, value in settings.items()}}
    if "--sentinel" in modes:
        lines = {"port": port, "bind": "127.0.0.1", "dir": "./"}
    (folder / "valkey.conf").write_text("".join(f"{name} {value}\n" for name, value in lines.items()))
    with (folder / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(
            str(_binary()), "valkey.conf", *modes, cwd=folder, stdout=log, stderr=log, env=MACHINE
        )
    server = Server(folder, port, process)
    try:
        await until(server, lambda: server.say("PING"))
        yield server
    finally:
        await server.end()


async def until(server: Server, look: Any, within: float = PATIENCE) -> Any:
    """What `look` finds, once it finds something; a server that does not answer yet has not."""
    try:
        async with asyncio.timeout(within):
            while True:
                with contextlib.suppress(redis.exceptions.RedisError, OSError):
                    if found := await look():
                        return found
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError((server.folder / "log").read_text()[-2000:]) from None


@asynccontextmanager
async def running_cluster(folder: Path, **settings: str | int) -> AsyncIterator[list[Server]]:
    """Three primaries that share the slots."""
    async with contextlib.AsyncExitStack() as stack:
        nodes: list[Server] = []
        for number in range(3):
            bus = free_port()
            settings |= {"cluster_enabled": "yes", "cluster_port": bus, "cluster_node_timeout": 2000}
            node = await stack.enter_async_context(running_server(folder / str(number), **settings))
            await node.say("CLUSTER", "ADDSLOTSRANGE", SLOTS * number // 3, SLOTS * (number + 1) // 3 - 1)
            await node.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            if nodes:
                await nodes[0].say("CLUSTER", "MEET", "127.0.0.1", node.port, bus)
            nodes.append(node)
        for node in nodes:
            await until(node, lambda node=node: _whole(node))
        yield nodes


async def _whole(node: Server) -> bool:
    said = await node.say("CLUSTER INFO")
    return "ok" in str(said.get("cluster_state") if isinstance(said, dict) else said.splitlines()[0])


@dataclass
class SentinelSetup:
    """A primary with its replica, and the Sentinel that watches them under the name `main`."""

    primary: Server
    replica: Server
    sentinel: Server

    @property
    def url(self) -> str:
        return f"redis+sentinel://127.0.0.1:{self.sentinel.port}/main/0"

    async def failed_over(self) -> None:
        """The Sentinel names the replica as the primary."""

        async def moved() -> bool:
            address = await self.sentinel.say("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")
            return int(address[1]) == self.replica.port

        await until(self.sentinel, moved)
        await until(self.replica, lambda: _leads(self.replica))


@asynccontextmanager
async def primary_and_replica(folder: Path) -> AsyncIterator[tuple[Server, Server]]:
    """A primary, and its replica that is in step with it."""
    async with running_server(folder / "primary", repl_diskless_sync_delay=0) as primary:
        settings = {"replicaof": f"127.0.0.1 {primary.port}"}
        async with running_server(folder / "replica", **settings) as replica:
            await until(replica, lambda: _follows(replica))
            yield primary, replica


@asynccontextmanager
async def sentinel_setup(folder: Path) -> AsyncIterator[SentinelSetup]:
    async with (
        primary_and_replica(folder) as (primary, replica),
        running_server(folder / "sentinel", "--sentinel") as sentinel,
    ):
        await sentinel.say("SENTINEL", "MONITOR", "main", "127.0.0.1", primary.port, 1)
        await sentinel.say("SENTINEL", "SET", "main", "down-after-milliseconds", 300)

        async def known() -> bool:
            return bool(await sentinel.say("SENTINEL", "REPLICAS", "main"))

        await until(sentinel, known)
        yield SentinelSetup(primary, replica, sentinel)


async def _follows(server: Server) -> bool:
    async with redis.asyncio.Redis.from_url(server.url) as client:
        return bool((await client.info("replication")).get("master_link_status") == "up")


async def _leads(server: Server) -> bool:
    async with redis.asyncio.Redis.from_url(server.url) as client:
        return bool((await client.info("replication"))["role"] == "master")
