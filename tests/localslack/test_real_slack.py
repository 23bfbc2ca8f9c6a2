"""What the real Slack does and a kinder one would hide; sources are in docs/slack.md. All of it is on by default."""

import json
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack, User
from localslack.errors import CannotDo
from tests.localslack.slack_cases import CARD, client_of, section
from tests.localslack.test_strictness import code_of, rich

WORDS = rich({"type": "rich_text_section", "elements": [{"type": "text", "text": "words"}]})


async def connection(slack: LocalSlack, session: aiohttp.ClientSession) -> aiohttp.ClientWebSocketResponse:
    url = (await client_of(slack, session).apps_connections_open(app_token=slack.app_token))["url"]
    socket = await session.ws_connect(url)
    assert (await socket.receive_json())["type"] == "hello"
    return socket


@pytest.mark.parametrize(("size", "closed"), [(20_480, False), (20_481, True)])
async def test_frame_over_20_kib_ends_its_connection(
    size: int, closed: bool, slack: LocalSlack, session: aiohttp.ClientSession
) -> None:
    """R35"""
    socket = await connection(slack, session)
    frame = json.dumps({"envelope_id": "e", "payload": {"text": ""}})
    await socket.send_str(frame.replace('""', f'"{"x" * (size - len(frame))}"'))
    if closed:
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1009)
        await slack.wait_for(lambda _: not slack.platform.socket.connections and slack.problems)
        assert "20,480 bytes" in slack.problems[0]
    else:
        await socket.send_str("{}")
        assert slack.platform.socket.connections and slack.problems == []
    await socket.close()


async def test_half_open_connection_keeps_receiving_payloads(session: aiohttp.ClientSession) -> None:
    """R35: for an hour what Slack sends there is lost, and it counts as one of the ten."""
    now = [0.0]
    async with LocalSlack(ack_seconds=0.05, clock=lambda: now[0]) as slack:
        broken = await connection(slack, session)
        assert slack.cut_sockets(half_open=True) == 1
        await slack.wait_for(lambda _: not slack.platform.socket.connections)
        url = (await client_of(slack, session).apps_connections_open(app_token=slack.app_token))["url"]
        socket = await session.ws_connect(url, autoping=False)
        assert (await socket.receive_json())["num_connections"] == 2
        errors = [(await slack.user("bob").command("/agent")).error for _ in range(2)]
        assert errors == ["operation_timeout"] * 2
        assert len([m async for m in _waiting(socket)]) == 1
        now[0] += 3601
        assert slack.platform.socket.half_open == 0
        await broken.close()
        await socket.close()


async def _waiting(socket: aiohttp.ClientWebSocketResponse) -> Any:
    """What has come over this connection before the answer to a ping."""
    await socket.ping()
    while (message := await socket.receive()).type is not aiohttp.WSMsgType.PONG:
        if message.type is aiohttp.WSMsgType.TEXT:
            yield message.json()


async def test_ephemeral_message_is_shown_in_active_threads_only(slack: LocalSlack, client: AsyncWebClient) -> None:
    """R35"""
    root = await client.chat_postMessage(channel="C0GENERAL", text="root")
    for answered in (False, True):
        if answered:
            await client.chat_postMessage(channel="C0GENERAL", text="reply", thread_ts=root["ts"])
        given: dict[str, Any] = {"channel": "C0GENERAL", "user": "U0BOB", "text": "hello", "thread_ts": root["ts"]}
        assert (await client.chat_postEphemeral(**given))["ok"]
        assert [m.thread_ts for m in slack.user("bob").ephemerals] == [root["ts"]] * answered


@pytest.mark.parametrize("in_channel", [True, False])
async def test_response_url_keeps_its_thread_only_in_channel(
    in_channel: bool, slack: LocalSlack, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    """R35"""
    root = await client.chat_postMessage(channel="C0GENERAL", text="root")
    await client.chat_postMessage(channel="C0GENERAL", text="reply", thread_ts=root["ts"])
    token = slack.platform.response_urls.issue("C0GENERAL", "U0BOB", root["ts"])
    answer = {"text": "late", "thread_ts": root["ts"], "replace_original": False}
    answer["response_type"] = "in_channel" if in_channel else "ephemeral"
    async with session.post(f"{slack.url}/actions/{token}", json=answer) as response:
        assert response.status == 200
    if in_channel:
        assert [m.text for m in slack.channel("#general").thread(root["ts"])] == ["root", "reply", "late"]
    else:
        assert [(m.text, m.thread_ts) for m in slack.user("bob").ephemerals] == [("late", None)]


@pytest.mark.parametrize(
    ("old", "new", "refused"),
    [
        ([WORDS], [section("x")], True),
        ([section("x"), WORDS], [section("x")], True),
        ([section("x"), WORDS], [WORDS], False),
        ([section("x")], [WORDS], False),
        ([WORDS], None, False),
    ],
)
async def test_rich_text_is_not_replaced_by_other_blocks(
    old: list[Any], new: list[Any] | None, refused: bool, client: AsyncWebClient
) -> None:
    """R35"""
    posted = await client.chat_postMessage(channel="C0GENERAL", text="t", blocks=old)
    update = client.chat_update(channel="C0GENERAL", ts=posted["ts"], text="t", blocks=new)
    if refused:
        with pytest.raises(SlackApiError) as error:
            await update
        assert code_of(error) == "block_mismatch"
    else:
        assert (await update)["ok"]


async def test_upload_of_file_bytes_can_fail_separately(slack: LocalSlack, client: AsyncWebClient) -> None:
    """R35"""
    slack.faults.add("server_error", on="upload")
    with pytest.raises(SlackRequestError):
        await client.files_upload_v2(channel="C0GENERAL", content="words", filename="a.txt")
    assert [call.method for call in slack.calls] == ["files.getUploadURLExternal", "upload"]


async def test_file_is_shared_some_time_after_its_upload(session: aiohttp.ClientSession) -> None:
    """R35: the answer comes before the message."""
    async with LocalSlack(file_share_seconds=0.05) as slack:
        await client_of(slack, session).files_upload_v2(channel="C0GENERAL", content="words", filename="a.txt")
        assert slack.channel("#general").messages == []
        assert (await slack.wait_message("#general", lambda m: m.files)).files[0].name == "a.txt"


async def test_admins_can_forbid_files(session: aiohttp.ClientSession) -> None:
    """R35"""
    async with LocalSlack(file_uploads=False) as slack:
        with pytest.raises(SlackApiError) as error:
            await client_of(slack, session).files_upload_v2(channel="C0GENERAL", content="w", filename="a.txt")
        assert code_of(error) == "file_uploads_disabled"


async def test_foreign_people_and_channels_have_slacks_marks(slack: LocalSlack, client: AsyncWebClient) -> None:
    """R35: a member of two has one home, and who is not in ours is no member for all that; ids begin with W too."""
    slack.workspace.enterprise = "E0ORG"
    teams = ["T0HOME", slack.workspace.id]
    for name, is_in in (("W0WANDA", teams), ("W0OTTO", ["T0HOME"])):
        slack.workspace.users[name] = User(
            name, name[2:].lower(), name, team_id="T0HOME", enterprise="E0ORG", enterprise_teams=is_in
        )
        wanted = {"id": name, "enterprise_id": "E0ORG", "teams": is_in}
        shown = (await client.users_info(user=name))["user"]
        assert shown["team_id"] == "T0HOME" and shown["enterprise_user"].items() >= wanted.items()

    async def marks() -> list[bool]:
        room = (await client.conversations_info(channel="C0GENERAL"))["channel"]
        return [room[mark] for mark in ("is_shared", "is_org_shared", "is_ext_shared")]

    slack.invite("W0WANDA", "#general")
    assert await marks() == [False, False, False]
    slack.invite("W0OTTO", "#general")
    assert await marks() == [True, True, False]
    slack.invite("U0SAM", "#general")
    assert await marks() == [True, True, True]
    await client.chat_postMessage(channel="C0GENERAL", text="t", blocks=CARD)
    card = await slack.wait_message("#general")
    for person, home in (("W0WANDA", "T0HOME"), ("U0SAM", slack.workspace.users["U0SAM"].team_id)):
        await slack.user(person).click(card, "Approve")
        clicked = slack.deliveries[-1][1]
        assert (clicked["user"]["team_id"], clicked["team"]["id"]) == (home, slack.workspace.id)
    with pytest.raises(CannotDo, match="not a valid command"):
        await slack.user("U0SAM").command("/agent")
