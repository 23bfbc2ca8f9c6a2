"""A real Prometheus over one deployment, with the rules of deploy/prometheus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from tests.free_ports import free_port

FOLDER: Final = Path(__file__).resolve().parent.parent.parent / "deploy" / "prometheus"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Its HTTP interface."""

    url: str
    session: aiohttp.ClientSession

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """The series that an expression finds now; none while Prometheus does not answer."""
        with contextlib.suppress(aiohttp.ClientError):
            async with self.session.get(f"{self.url}/api/v1/query", params={"query": expression}) as answer:
                found: list[dict[str, Any]] = (await answer.json())["data"]["result"]
                return found
        return []

    async def firing(self) -> frozenset[str]:
        """The names of the alerts that fire now."""
        return frozenset(found["metric"]["alertname"] for found in await self.query('ALERTS{alertstate="firing"}'))


@asynccontextmanager
async def running(binary: str, folder: Path, webs: Sequence[int], workers: Sequence[int]) -> AsyncIterator[Prometheus]:
    """Run Prometheus with these targets' ports until the block ends."""
    folder.mkdir()  # noqa: ASYNC240 -- a folder of its own
    config = yaml.safe_load((FOLDER / "scrape.yml").read_text())
    config["rule_files"] = [str(FOLDER / name) for name in config["rule_files"]]
    for job, ports in zip(config["scrape_configs"], (webs, workers), strict=True):
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}" for port in ports]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        binary,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    )
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(f"http://127.0.0.1:{port}", session)
    finally:
        process.terminate()
        await process.wait()
