"""SIGTERM: unready first, then the port stays open for a while, then the process ends, whatever else is away."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import pytest

from localslack import LocalSlack
from tests.e2e.test_main_job import ASK, card, mails, settled, told
from tests.free_ports import free_port
from tests.longest_wait import PATIENCE
from tests.processes import Deployment, deployment
from tests.servers import running_server
from tests.slack.test_connection import get


async def test_web_takes_clicks_after_sigterm_until_its_delay_ends(there: Deployment, slack: LocalSlack) -> None:
    """R5, R7: a load balancer that has not seen `/readyz` yet sends clicks to it; a second SIGTERM ends it at once."""
    port = free_port()
    web, _ = await asyncio.gather(there.web(http=True, OPS_PORT=str(port), STOP_DELAY="1h"), there.worker())
    url = f"http://127.0.0.1:{port}"
    await slack.user("alice").command(ASK, channel="#general")
    asked = await card(slack)
    assert await get(f"{url}/readyz") == (200, "ok")
    signalled = asyncio.create_task(web.kill(signal.SIGTERM))
    await fact(lambda: _is(503, f"{url}/readyz"))
    assert await get(f"{url}/livez") == (200, "ok")
    assert (await slack.user("bob").click(asked, "Approve")).ok
    await settled(slack, asked.ts)
    await told(slack, "Put in a folder")
    assert len(mails(there)) == 1
    await web.kill(signal.SIGTERM)
    assert await signalled == 0


async def test_worker_is_ready_once_its_teams_are_announced(there: Deployment) -> None:
    """It stays alive and ready while `web` is away."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    starting = asyncio.create_task(there.worker(OPS_PORT=str(port)))
    await fact(lambda: _is(503, f"{url}/readyz"))
    assert (await get(f"{url}/livez"))[0] == 200
    web = await there.web()
    await starting
    assert (await get(f"{url}/readyz"))[0] == 200
    await web.kill()

    async def tells_why() -> bool:
        return "\n" in (await get(f"{url}/readyz"))[1]

    await fact(tells_why)
    assert (await get(f"{url}/readyz"))[0] == 200


async def test_workers_end_while_redis_is_frozen_and_web_gone(
    slack: LocalSlack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: an idle worker, and one that holds a run; neither needs its last resort, `STOP_WITHIN`."""
    async with running_server(tmp_path / "redis") as redis:
        monkeypatch.setenv("TEST_REDIS_URL", redis.url)
        async with deployment(slack, redis.url, "frozen", tmp_path, fork=True) as there:
            web, holder = await asyncio.gather(there.web(), there.worker(STOP_WITHIN="1d"))
            await slack.user("alice").command(ASK, channel="#general")
            asked = await card(slack)
            idle = await there.worker(STOP_WITHIN="1d")
            redis.send(signal.SIGSTOP)
            await web.kill()
            held, idled = await asyncio.gather(holder.kill(signal.SIGTERM), idle.kill(signal.SIGTERM))
            assert (held, idled) == (0, 0)
            redis.send(signal.SIGCONT)
            await asyncio.gather(there.web(), there.worker())
            await slack.user("bob").click(asked, "Approve")
            await told(slack, "Put in a folder")
            assert len(mails(there)) == 1


@pytest.mark.parametrize("how", ["wait", "thread", "block"])
async def test_worker_with_endless_action_ends_after_stop_within(
    there: Deployment, slack: LocalSlack, how: str
) -> None:
    """R4: as if it was killed, so people are asked about the action."""
    env = {"TEAMS": str(Path(__file__).parent / "teams")}
    _, worker = await asyncio.gather(there.web(), there.worker(STOP_WITHIN="5s", **env))
    await slack.user("alice").command(f"/agent hang do it: {how}", channel="#general")
    await fact(lambda: asyncio.to_thread((there.data / f"{how}.done").exists))
    assert await worker.kill(signal.SIGTERM) == 1
    await worker.said(r"STOP_WITHIN.*runs in hand: r\w+\.")
    await there.worker(**env)
    await slack.wait_message("#approvals", lambda m: "Run it again" in m.buttons)


async def fact(look: Callable[[], Awaitable[bool]]) -> None:
    """Wait until the fact is there."""
    async with asyncio.timeout(PATIENCE):
        while not await look():  # noqa: ASYNC110 -- a fact of another process
            await asyncio.sleep(0.01)


async def _is(status: int, url: str) -> bool:
    try:
        return (await get(url))[0] == status
    except aiohttp.ClientError:
        return False
