"""The faults of chaos are those that happen, and no others."""

from pathlib import Path
from typing import Any, cast

import redis.asyncio

from countersign.store.embedded_server import EmbeddedRedis
from tests.chaos.cluster import Deployment, Process, tear
from tests.chaos.faults import FaultInjector
from tests.chaos.plan import Blow
from tests.chaos.proxy import Wire


async def test_file_torn_twice_before_its_repair_is_readable(tmp_path: Path) -> None:
    """R4: two half commands behind each other would be damage that no power cut does, and nothing starts on it."""
    async with EmbeddedRedis(tmp_path) as server, redis.asyncio.Redis.from_url(server.url) as client:
        await client.set("kept", "1")
    for _ in range(2):
        tear(tmp_path / "appendonlydir")
    async with EmbeddedRedis(tmp_path) as server, redis.asyncio.Redis.from_url(server.url) as client:
        assert await client.get("kept") == b"1"
        log = (tmp_path / "valkey.log").read_text()
        assert "loaded anyway because aof-load-truncated" in log


async def test_two_simultaneous_faults_restart_a_process_once(tmp_path: Path) -> None:
    """R4: else the first of the two is nobody's: frozen for ever, or alive when the deployment has ended."""
    (tmp_path / "waiting.py").write_text("import time\ntime.sleep(600)\n")
    deployment = Deployment(cast(Any, None), cast(Any, None), cast(Any, None), tmp_path)
    env = {"PYTHONPATH": str(tmp_path)}
    for name in ("worker1", "worker2"):
        deployment.processes.append(Process(name, "worker", "waiting", env, Wire(name, 0), tmp_path / f"{name}.log"))
    injector = FaultInjector(deployment, seed=1)
    try:
        for process in deployment.processes:
            await process.start()
        await injector.deal([Blow(0, "kill worker", pick=0, seconds=0, times=1)] * 2)
        await injector.finished()
        assert injector.done["kill worker"] == 1
    finally:
        for process in deployment.processes:
            await process.end()
