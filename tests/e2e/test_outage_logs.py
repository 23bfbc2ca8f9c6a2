"""An outage in the logs of real processes: JSON, one line each, however often they try again."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from localslack import LocalSlack
from tests.e2e.test_main_job import ASK, card
from tests.e2e.test_stop import fact
from tests.free_ports import free_port
from tests.processes import Process, deployment
from tests.servers import running_server
from tests.slack.test_connection import get


def warnings(process: Process, since: int) -> list[dict[str, Any]]:
    """What the process has warned of since that line."""
    lines = [json.loads(line) for line in process.lines[since:] if not line.startswith("<")]
    return [line for line in lines if line["level"] != "INFO"]


@pytest.mark.parametrize("away", ["Redis", "Slack"])
async def test_outage_is_one_line_of_each_process(
    slack: LocalSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    async with running_server(tmp_path / "redis") as server:
        monkeypatch.setenv("TEST_REDIS_URL", server.url)  # it knows no users
        async with deployment(slack, server.url, "outage", tmp_path / "data") as there:
            port = free_port()
            web, _ = await asyncio.gather(there.web(LOG_FORMAT="json", OPS_PORT=str(port)), there.worker())
            await slack.user("alice").command(ASK, channel="#general")
            await card(slack)
            since, asked = len(web.lines), len(slack.calls)
            if away == "Redis":
                await server.end()
                await fact(lambda: _tells(port, "The store (Redis) does not answer"))
            else:
                slack.faults.add("server_error", on="*", status=503, times=None)
                await slack.user("alice").command(f"{ASK} again", channel="#general")
                await slack.wait_for(lambda _: len(slack.calls) > asked + 6)
            await fact(lambda: _warned(web, since))
            [line] = warnings(web, since)
            assert away in line["message"]
            slack.faults.clear()
            await asyncio.gather(*(process.kill() for process in there.processes))


async def _warned(process: Process, since: int) -> bool:
    return bool(warnings(process, since))


async def _tells(port: int, text: str) -> bool:
    return text in (await get(f"http://127.0.0.1:{port}/readyz"))[1]
