"""The main job over real processes whose Redis is a Cluster."""

import asyncio
from pathlib import Path

import aiohttp

from localslack import LocalSlack
from tests.e2e.test_main_job import ASK, card, mails, settled, told
from tests.free_ports import free_port
from tests.processes import deployment
from tests.servers import running_cluster


async def test_approved_mail_is_sent_with_redis_as_a_cluster(slack: LocalSlack, tmp_path: Path) -> None:
    """R4: nothing of it needs one server; a run that parks at once goes through the job engine twice."""
    worker, web = free_port(), free_port()
    async with running_cluster(tmp_path / "cluster") as nodes:
        url = nodes[0].url.replace("redis://", "redis+cluster://").removesuffix("/0")
        async with deployment(slack, url, "acme", tmp_path / "data") as there:
            await asyncio.gather(there.web(OPS_PORT=str(web)), there.worker(OPS_PORT=str(worker), PARK_AFTER="0s"))
            await slack.user("alice").command(ASK, channel="#general")
            shown = await card(slack)
            await slack.user("bob").click(shown, "Approve")
            await settled(slack, shown.ts)
            await told(slack, "demo model")
            assert len(mails(there)) == 1
            async with aiohttp.ClientSession() as session:
                for port in (web, worker):
                    async with session.get(f"http://127.0.0.1:{port}/metrics") as answer:
                        figures = await answer.text()
                    assert "countersign_repairs_total" in figures
                    assert 'countersign_redis_problem{cause="unreachable"} 0.0' in figures
                    assert "countersign_clock_ahead_seconds NaN" not in figures
