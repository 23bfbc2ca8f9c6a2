"""`web` ends while programs wait, and programs end while people are asked: one card, and each gets the decision."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bot.slack import http
from countersign.client.client import AsyncClient
from countersign.domain import api_keys
from countersign.store.programs import ApiKeys
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from localslack import LocalSlack, text_of
from tests.free_ports import free_port
from tests.longest_wait import PATIENCE
from tests.processes import Deployment, deployment
from tests.slack.test_projector import card_of

pytestmark = pytest.mark.slow

ASK = """
import countersign, sys
with countersign.client.Client() as client:
    print(client.ask("#general", "Deploy?", "To staging.", key="deploy").text, flush=True)
"""


async def keyed(there: Deployment, namespace: str) -> str:
    """A key for #general, as `countersign keys create` makes it."""
    async with connect(there.common["REDIS_URL"]) as client:
        store = Store(client, namespace)
        issued = api_keys.issue("ci", ("C0GENERAL",), await store.now())
        await ApiKeys(store).put(issued.key)
    return issued.token


async def test_restarted_web_and_program_share_one_decision(
    slack: LocalSlack, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """R5, R8: `web` is told to stop, then killed; a program is killed and asks again under its key."""
    port = str(free_port())
    async with deployment(slack, redis_url, namespace, tmp_path, fork=True) as there:
        web = await there.web(API_PORT=port)
        token, url = await keyed(there, namespace), f"http://127.0.0.1:{port}"
        env = {**os.environ, "COUNTERSIGN_URL": url, "COUNTERSIGN_KEY": token}

        async def program() -> asyncio.subprocess.Process:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-c", ASK, env=env, stdout=asyncio.subprocess.PIPE
            )

        async with AsyncClient(url, token) as waiting:
            asking = asyncio.create_task(waiting.ask("#general", "Deploy?", "To staging.", key="deploy"))
            card = await card_of(slack)
            dying = await program()
            assert await web.kill(signal.SIGTERM) == 0
            dying.kill()
            await dying.wait()
            web = await there.web(API_PORT=port)
            await web.kill(signal.SIGKILL)
            again = await program()
            await there.web(API_PORT=port)
            await slack.user("bob").click(card, "Approve")
            assert (await asking).by == ("U0BOB",)
            words, _ = await again.communicate()
            assert words.decode().startswith("DECISION: APPROVED")
    assert sum("Deploy?" in text_of(m) for m in slack.channel("#approvals").posts.values() if not m.thread_ts) == 1


async def test_callback_of_killed_web_is_posted_by_the_next(
    slack: LocalSlack, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    """R4, R5: at least once, always under the same id; and inside only where CALLBACK_NETWORKS says so."""
    posted: list[tuple[dict[str, str], bytes]] = []
    reached, never = asyncio.Event(), asyncio.Event()

    async def take(request: Request) -> Response:
        posted.append((dict(request.headers), await request.body()))
        reached.set()
        if len(posted) == 1:
            await never.wait()
        return Response(status_code=204)

    port = str(free_port())
    receiver = Starlette(routes=[Route("/", take, methods=["POST"])])
    async with (
        http.serving(receiver, "127.0.0.1", 0) as inside,
        deployment(slack, redis_url, namespace, tmp_path, fork=True) as there,
        connect(redis_url) as redis,
    ):
        callback = {"title": "Deploy?", "message": "To staging.", "callback_url": f"http://127.0.0.1:{inside}/"}
        web, token = await there.web(API_PORT=port), await keyed(there, namespace)
        headers = {"authorization": f"Bearer {token}", "idempotency-key": "deploy"}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=PATIENCE) as program:
            assert (await program.post("/v1/requests", json=callback)).status_code == 400
            await web.kill(signal.SIGTERM)
            web = await there.web(API_PORT=port, CALLBACK_NETWORKS="127.0.0.0/8")
            asked = await program.post("/v1/requests", json=callback)
        assert asked.status_code == 201, asked.text
        await slack.user("bob").click(await card_of(slack), "Approve")
        await reached.wait()
        await web.kill(signal.SIGKILL)
        never.set()
        reached.clear()
        await redis.delete(Store(redis, namespace).keys.calling_back)  # its lease ends
        await there.web(API_PORT=port, CALLBACK_NETWORKS="127.0.0.0/8")
        await reached.wait()
    assert {sent["webhook-id"] for sent, _ in posted} == {f"msg_{asked.json()['id']}"}
    assert {json.loads(body)["data"]["decision"]["outcome"] for _, body in posted} == {"approved"}
