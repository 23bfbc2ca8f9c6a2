"""`make check-slack`, played against the local Slack."""

import asyncio
import json
import subprocess
from pathlib import Path

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.app import SCOPES
from localslack import LocalSlack
from localslack.fixtures import UNHURRIED
from tests import check_slack

ROOT = Path(__file__).parents[2]


async def test_every_golden_view_is_validated_and_nothing_posted(capsys: pytest.CaptureFixture[str]) -> None:
    """R35: Slack may say that there were too many calls; then it is asked again."""
    async with LocalSlack(**UNHURRIED, scopes=SCOPES, rates={"blocks.*": 1e9}) as slack:
        slack.faults.add("ratelimited", on="blocks.validate", retry_after=0, times=2)
        given = {"SLACK_BOT_TOKEN": slack.bot_token, "SLACK_API_URL": slack.api_url}
        assert await asyncio.to_thread(check_slack.main, given) == 0
    said = capsys.readouterr().out
    drawn = [json.loads(path.read_text("utf-8")) for path in check_slack.GOLDEN.rglob("*.json")]
    views = len([view for view in drawn if isinstance(view, list) or view["blocks"]])
    assert views > 150 and said.count("ok      ") == views and f"{views} views sent, 0 refused" in said
    assert "workspace Local" in said and "chat:write" in said and "too many calls; waiting 0 s" in said
    assert {call.method for call in slack.calls} == {"auth.test", "blocks.validate"}
    assert not any(channel.posts for channel in slack.workspace.channels.values())


async def test_refused_view_is_named_with_slacks_message(
    client: AsyncWebClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = {"text": "", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]}
    (tmp_path / "card.json").write_text(json.dumps(view))
    (tmp_path / "note.json").write_text(json.dumps({"text": "no blocks", "blocks": []}))
    assert not await check_slack.check(client, tmp_path)
    said = capsys.readouterr().out
    assert "REFUSED card.json: invalid_message" in said and "/blocks/0/text/text" in said
    assert "1 views sent, 1 refused" in said


async def test_check_names_missing_slack_scopes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with LocalSlack(**UNHURRIED, scopes=SCOPES - {"users:read"}) as slack:
        client = AsyncWebClient(slack.bot_token, base_url=slack.api_url)
        assert not await check_slack.check(client, tmp_path)
    assert "MISSING scopes: users:read." in capsys.readouterr().out


async def test_other_slack_errors_end_the_check(slack: LocalSlack, client: AsyncWebClient, tmp_path: Path) -> None:
    """Else a method that Slack does not know would count as views that it refuses."""
    (tmp_path / "card.json").write_bytes((check_slack.GOLDEN / "card.json").read_bytes())
    slack.faults.add("error", on="blocks.validate", error="unknown_method")
    with pytest.raises(SlackApiError):
        await check_slack.check(client, tmp_path)


async def test_refused_token_and_unreachable_slack_say_why(
    slack: LocalSlack, capsys: pytest.CaptureFixture[str]
) -> None:
    for url, token, why in (
        (slack.api_url, "xoxb-wrong", "Slack: invalid_auth. Either the token is wrong"),
        ("http://127.0.0.1:1/api/", slack.bot_token, "Slack cannot be reached"),
    ):
        given = {"SLACK_BOT_TOKEN": token, "SLACK_API_URL": url}
        assert await asyncio.to_thread(check_slack.main, given) == 2
        assert why in capsys.readouterr().out


def test_check_without_a_token_says_what_to_set(capsys: pytest.CaptureFixture[str]) -> None:
    assert check_slack.main({}) == 2
    assert "Set SLACK_BOT_TOKEN" in capsys.readouterr().out


def test_check_is_a_target_of_make() -> None:
    """It is run as it stands, but for the setting up."""
    shown = subprocess.run(["make", "--dry-run", "check-slack"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "python -m tests.check_slack" in shown.stdout
