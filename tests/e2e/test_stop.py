"""SIGTERM: unready first, then the port stays open for a while, then the process ends."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import aiohttp

from localslack import LocalSlack
from tests.e2e.test_main_job import ASK, card, mails, settled, told
from tests.free_ports import free_port
from tests.longest_wait import PATIENCE
from tests.processes import Deployment
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
