"""Sessions and streams: what Slack takes, refuses, and shows of them."""

from typing import Any

import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack, text_of

WHO = {"recipient_user_id": "U0ALICE", "recipient_team_id": "T0LOCAL"}
TASK = {"type": "task_update", "id": "1", "title": "Looking it up", "status": "in_progress"}


async def refused(slack: LocalSlack, method: str, **content: Any) -> str:
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url, retry_handlers=[])
    try:
        answer = await client.api_call(method, json=content)
    except SlackApiError as error:
        return str(error.response["error"])
    return str(answer.get("warning") or "")


async def root_in(slack: LocalSlack) -> str:
    client = AsyncWebClient(token=slack.bot_token, base_url=slack.api_url)
    return str((await client.chat_postMessage(channel="C0GENERAL", text="a task"))["ts"])


async def test_session_is_refused_with_slacks_error() -> None:
    async with LocalSlack(agent=True) as slack:
        there = {"channel_id": "C0GENERAL", "thread_ts": await root_in(slack)}
        method = "agents.sessions.setStatus"
        unheard = "missing_agent_session_stopped_event_subscription"
        assert await refused(slack, method, **there, status="processing") == unheard
        assert await refused(slack, method, **there, status="thinking") == "invalid_arguments"
        assert await refused(slack, method, channel_id="C0GENERAL", status="active") == "thread_ts_required"
        assert await refused(slack, method, **{**there, "channel_id": "C9"}, status="active") == "channel_not_found"
        assert await refused(slack, method, **there, status="active", initiator_user_id="U9") == "user_not_found"
        assert list(slack.platform.sessions.values()) == [("processing", "")]


async def test_app_without_agent_features_has_no_sessions_or_streams(slack: LocalSlack) -> None:
    there = {"channel_id": "C0GENERAL", "thread_ts": await root_in(slack)}
    assert await refused(slack, "agents.sessions.setStatus", **there, status="processing") == "feature_disabled"
    stream = {"channel": "C0GENERAL", "thread_ts": there["thread_ts"], **WHO}
    assert await refused(slack, "chat.startStream", **stream) == "channel_type_not_supported"


@pytest.mark.parametrize("missing", WHO)
async def test_channel_stream_needs_its_recipient(missing: str) -> None:
    async with LocalSlack(agent=True) as slack:
        stream = {"channel": "C0GENERAL", "thread_ts": await root_in(slack), **WHO}
        del stream[missing]
        assert await refused(slack, "chat.startStream", **stream) == f"missing_{missing}"


async def test_stream_takes_chunks_until_stopped_or_expired() -> None:
    """After five minutes without a stop."""
    now = [0.0]
    async with LocalSlack(agent=True, clock=lambda: now[0]) as slack:
        root = await root_in(slack)
        assert await refused(slack, "chat.startStream", channel="C0GENERAL", thread_ts=root, **WHO, chunks=[TASK]) == ""
        message = slack.channel("#general").thread(root)[1]
        there = {"channel": "C0GENERAL", "ts": message.ts}
        assert await refused(slack, "chat.update", **there, text="other") == "streaming_state_conflict"
        assert await refused(slack, "chat.appendStream", **there) == "no_text"
        assert await refused(slack, "chat.appendStream", **there, chunks=[{"type": "task_update"}]) == "invalid_chunks"
        assert await refused(slack, "chat.appendStream", **there, markdown_text="x" * 12_001) == "msg_too_long"
        assert await refused(slack, "chat.appendStream", **there, chunks=[{**TASK, "title": "Found"}]) == ""
        assert "Found" in text_of(slack.channel("#general").thread(root)[1])
        now[0] = 301.0
        assert await refused(slack, "chat.appendStream", **there, markdown_text="x") == "message_not_in_streaming_state"
        assert await refused(slack, "chat.stopStream", **there) == "message_not_in_streaming_state"
        assert await refused(slack, "chat.update", **there, text="other") == ""
