"""A workspace that is there again after a restart."""

import asyncio
from pathlib import Path

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack
from localslack.saved_workspace import keep, load, save
from tests.localslack.slack_cases import APPROVE, actions, section


async def test_saved_workspace_is_complete_after_a_restart(tmp_path: Path) -> None:
    """Ids go on where they ended, and a message that was there can be changed."""
    file = tmp_path / "slack.json"
    async with LocalSlack() as slack:
        keeping = asyncio.create_task(keep(slack.workspace, slack.platform.changes, file))
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        card = await client.chat_postMessage(
            channel="C0GENERAL", text="a card", blocks=[section("May I?"), actions(APPROVE)]
        )
        await slack.user("bob").say("why?", thread=card["ts"])
        await client.chat_postEphemeral(channel="C0GENERAL", user="U0ALICE", text="for you alone")
        await client.files_upload_v2(channel="C0GENERAL", content="all of it", filename="all.txt", thread_ts=card["ts"])
        await slack.wait_for(lambda _: len(slack.channel("#general").thread(card["ts"])) == 3)
        slack.add_user("erin")
        before = slack.channel("#general")
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
    again = LocalSlack()
    load(again.workspace, file)
    async with again as slack:
        assert slack.channel("#general") == before
        assert [message.text for message in slack.user("alice").ephemerals] == ["for you alone"]
        assert slack.user("erin").id in slack.channel("#approvals").members
        [stored] = slack.workspace.files.values()
        assert (stored.content, slack.channel("#general").thread(card["ts"])[2].files) == (b"all of it", [stored])
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        await client.chat_update(channel="C0GENERAL", ts=card["ts"], text="settled", blocks=[section("Approved")])
        assert (await client.chat_postMessage(channel="C0GENERAL", text="next"))["ts"] > card["ts"]
        assert slack.workspace.number("F") != stored.id


def test_invalid_saved_workspace_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "slack.json"
    workspace = LocalSlack().workspace
    load(workspace, file)
    save(workspace, file)
    load(workspace, file)
    for text in ("{", '{"users": []}', '{"users": [{"id": 1}]}', "[]"):
        file.write_text(text)
        with pytest.raises(ValueError, match=r"slack.json is no saved workspace .* Remove it"):
            load(workspace, file)
