"""The page's contract: whole snapshots over a WebSocket, actions by POST, and the program itself."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack
from localslack.config import read_manifest
from tests.localslack.slack_cases import CARD, MODAL, Connect, Json, client_of
from tests.patience import PATIENCE

MANIFEST = """
display_information: {name: Countersign}
features:
  slash_commands:
    - {command: /agent, description: Start a task, usage_hint: "<team> <task>", should_escape: true}
    - {command: /raw, description: Words as typed}
oauth_config: {scopes: {bot: [chat:write, commands]}}
settings: {event_subscriptions: {bot_events: [app_home_opened]}}
"""


async def frame(socket: aiohttp.ClientWebSocketResponse, fits: Callable[[Json], Any]) -> Json:
    """The first frame that fits."""
    async with asyncio.timeout(PATIENCE):
        while True:
            shown: Json = await socket.receive_json()
            if fits(shown):
                return shown


async def test_the_page_shows_and_does_what_a_person_can(
    slack: LocalSlack, bolt: AsyncApp, client: AsyncWebClient, session: aiohttp.ClientSession, connect: Connect
) -> None:
    @bolt.action("approve")
    async def approve(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await client.views_open(trigger_id=body["trigger_id"], view=MODAL)
        await ack()

    @bolt.view("reason")
    async def submitted(ack: Any, view: Json) -> None:
        if view["state"]["values"]["why"]["text"]["value"] == "no":
            await ack(response_action="errors", errors={"why": "say more"})
        else:
            await ack()

    @bolt.command("/agent")
    async def agent(ack: Any) -> None:
        await ack("on it")

    async def act(do: str, **more: Any) -> Json:
        async with session.post(f"{slack.url}/page/act", json={"user": "U0BOB", "do": do, **more}) as answer:
            result: Json = await answer.json()
            return result

    await connect(bolt)
    posted = await client.chat_postMessage(channel="C0APPROVALS", text="card", blocks=CARD)
    await client.files_upload_v2(channel="C0APPROVALS", content="words", filename="a.txt", thread_ts=posted["ts"])
    live = f"{slack.url}/page/live?user=U0BOB&channel=C0APPROVALS"
    async with session.ws_connect(live) as socket:
        first = await frame(socket, lambda shown: True)
        assert first["me"]["name"] == "bob" and first["app"]["connected"] is True
        assert first["thread"] is None and first["modal"] is None and first["home"] is None
        assert [c["unread"] for c in first["channels"] if c["id"] == "C0APPROVALS"] == [1]
        card = first["channel"]["messages"][0]
        assert card["reply_count"] == 1 and card["ephemeral"] is False and card["bot_name"] == "Countersign"
        where = {"channel": "C0APPROVALS", "message_ts": card["ts"], "block_id": "decide"}
        assert await act("click", **where, action_id="approve") == {"ok": True}
        shown = await frame(socket, lambda shown: shown["modal"])
        view = shown["modal"]["view"]
        assert view["title"]["text"] == "Why?" and shown["modal"]["stack_depth"] == 1

        def state(value: str) -> Json:
            return {"values": {"why": {"text": {"type": "plain_text_input", "value": value}}}}

        assert await act("submit", view_id=view["id"], state=state("no")) == {"ok": True}
        shown = await frame(socket, lambda shown: shown["modal"] and shown["modal"]["errors"])
        assert shown["modal"]["errors"] == {"why": "say more"}
        assert shown["modal"]["view"]["state"] == state("no")
        assert await act("submit", view_id=view["id"], state=state("yes")) == {"ok": True}
        await frame(socket, lambda shown: shown["modal"] is None)
        look = {"user": "U0BOB", "channel": "C0APPROVALS", "thread": card["ts"], "home": True}
        await socket.send_json({"look": look})
        shown = await frame(socket, lambda shown: shown["thread"])
        assert shown["thread"]["messages"][1]["files"][0]["preview"] == "words"
        assert shown["home"] == {"view": None}
        assert await act("post", channel="C0APPROVALS", text="/agent hello") == {"ok": True}
        shown = await frame(socket, lambda shown: shown["channel"]["messages"][-1]["ephemeral"])
        assert shown["channel"]["messages"][-1]["text"] == "on it"
        assert await act("post", channel="C0APPROVALS", text="hi", thread_ts=card["ts"]) == {"ok": True}
        assert await act("read", channel="C0APPROVALS") == {"ok": True}
        await frame(socket, lambda shown: all(c["unread"] == 0 for c in shown["channels"]))
        slack.platform.notify("U0BOB", "trouble")
        shown = await frame(socket, lambda shown: shown["notices"])
        assert await act("dismiss", notice=shown["notices"][0]["id"]) == {"ok": True}
        await frame(socket, lambda shown: not shown["notices"])
        assert (await act("home"))["ok"]
        assert await act("click", **where, action_id="burn") == {
            "ok": False,
            "error": "That button is not there any more.",
        }
        assert not (await act("dance"))["ok"] and not (await act("submit"))["ok"]
        assert not (await act("close", view_id="V9"))["ok"]


async def test_a_view_belongs_to_who_opened_it(
    slack: LocalSlack, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    opened = await client.views_open(trigger_id=slack.platform.triggers.issue("U0BOB"), view=MODAL)
    act = {"user": "U0CAROL", "do": "close", "view_id": opened["view"]["id"]}
    async with session.post(f"{slack.url}/page/act", json=act) as answer:
        assert await answer.json() == {"ok": False, "error": "That view belongs to somebody else."}
    assert slack.user("bob").modal is not None


def test_a_manifest_says_what_slack_sends(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yml"
    path.write_text(MANIFEST)
    read = read_manifest(path)
    assert [(c.command, c.should_escape) for c in read["commands"]] == [("/agent", True), ("/raw", False)]
    assert read["scopes"] == {"chat:write", "commands"} and read["bot_events"] == {"app_home_opened"}


async def test_the_program_serves_until_it_is_told_to_stop(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    path = tmp_path / "manifest.yml"
    path.write_text(MANIFEST)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "localslack", "--port", "0", "--bot-token", "xoxb-mine", "--manifest", str(path)),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert program.stdout is not None
        line = (await program.stdout.readline()).decode()
        client = AsyncWebClient("xoxb-mine", base_url=line.split()[-1], session=session, retry_handlers=[])
        assert (await client.auth_test())["team_id"] == "T0LOCAL"
    finally:
        program.send_signal(signal.SIGTERM)
    assert await program.wait() == 0


async def test_a_port_in_use_is_said_so(slack: LocalSlack) -> None:
    port = slack.url.rpartition(":")[2]
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "localslack", "--port", port), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await program.communicate()
    assert program.returncode == 1 and b"localslack could not start" in errors


async def test_nothing_outlives_a_stopped_slack(session: aiohttp.ClientSession) -> None:
    before = asyncio.all_tasks()
    slack = await LocalSlack.start(ack_seconds=30)
    url = (await client_of(slack, session).apps_connections_open(app_token=slack.app_token))["url"]
    async with session.ws_connect(f"{slack.url}/page/live"), session.ws_connect(url):
        await slack.wait_connected()
        await slack.user("bob").open_home()
        await slack.wait_for(lambda _: slack.deliveries)
        assert asyncio.all_tasks() != before
        await slack.stop()
    assert asyncio.all_tasks() - before == set()
