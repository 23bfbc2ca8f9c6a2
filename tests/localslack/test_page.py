"""Actions of the page that are refused, and the program itself; what the page shows: `test_browser.py`."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import aiohttp
import pytest
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack
from localslack.config import read_manifest
from tests.localslack.slack_cases import MODAL, client_of

MANIFEST = """
display_information: {name: Countersign}
features:
  slash_commands:
    - {command: /agent, description: Start a task, usage_hint: "<team> <task>", should_escape: true}
    - {command: /raw, description: Words as typed}
oauth_config: {scopes: {bot: [chat:write, commands]}}
settings: {event_subscriptions: {bot_events: [app_home_opened]}}
"""


@pytest.mark.parametrize("do", ["click", "dance", "submit", "close"])
async def test_actions_the_page_does_not_offer_are_refused(
    slack: LocalSlack, session: aiohttp.ClientSession, do: str
) -> None:
    act = {"user": "U0BOB", "do": do, "action_id": "burn", "view_id": "V9"}
    async with session.post(f"{slack.url}/page/act", json=act) as answer:
        refused = await answer.json()
    assert (refused["ok"], bool(refused["error"])) == (False, True)


async def test_view_belongs_to_the_person_who_opened_it(
    slack: LocalSlack, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    opened = await client.views_open(trigger_id=slack.platform.triggers.issue("U0BOB"), view=MODAL)
    act = {"user": "U0CAROL", "do": "close", "view_id": opened["view"]["id"]}
    async with session.post(f"{slack.url}/page/act", json=act) as answer:
        assert await answer.json() == {"ok": False, "error": "That view belongs to somebody else."}
    assert slack.user("bob").modal is not None


def test_manifest_says_what_slack_sends(tmp_path: Path) -> None:
    path = tmp_path / "manifest.yml"
    path.write_text(MANIFEST)
    read = read_manifest(path)
    assert [(c.command, c.should_escape) for c in read["commands"]] == [("/agent", True), ("/raw", False)]
    assert read["scopes"] == {"chat:write", "commands"} and read["bot_events"] == {"app_home_opened"}


async def test_localslack_serves_until_terminated(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    path = tmp_path / "manifest.yml"
    path.write_text(MANIFEST)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "localslack", "--port", "0", "--manifest", str(path)),
        env={**os.environ, "LOCALSLACK_BOT_TOKEN": "xoxb-mine"},
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


async def test_port_in_use_is_reported(slack: LocalSlack) -> None:
    port = slack.url.rpartition(":")[2]
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "localslack", "--port", port), stderr=asyncio.subprocess.PIPE
    )
    _, errors = await program.communicate()
    assert program.returncode == 1 and b"localslack could not start" in errors


async def test_stopped_localslack_leaves_nothing_running(session: aiohttp.ClientSession) -> None:
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


@pytest.mark.parametrize(
    "path", ["/", "/archives/C0GENERAL/p1", "/static/app.js", "/files/F1/x", "/oauth/v2/authorize", "/none"]
)
async def test_localslack_page_cannot_be_framed(slack: LocalSlack, session: aiohttp.ClientSession, path: str) -> None:
    """R9: one click on a framed page approved as Bob."""
    async with session.get(slack.url + path) as answer:
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
