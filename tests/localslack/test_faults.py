"""Faults on demand, seen by slack-sdk's own client and from other processes."""

import asyncio

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.http_retry.builtin_interval_calculators import FixedValueRetryIntervalCalculator
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack
from tests.localslack.slack_cases import client_of


def texts(slack: LocalSlack) -> list[str]:
    return [message.text for message in slack.channel("#general").messages]


async def test_lost_reply_keeps_the_effect_unlike_a_lost_request(slack: LocalSlack, client: AsyncWebClient) -> None:
    slack.faults.add("lost_reply", on="chat.postMessage")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.chat_postMessage(channel="#general", text="took effect")
    slack.faults.add("lost_request", on="chat.*")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await client.chat_postMessage(channel="#general", text="never came")
    assert texts(slack) == ["took effect"]
    assert [(call.method, call.status, call.ok) for call in slack.calls] == [
        ("chat.postMessage", 0, True),
        ("chat.postMessage", 0, False),
    ]


async def test_armed_429_and_5xx_pass_after_their_tries(slack: LocalSlack, session: aiohttp.ClientSession) -> None:
    """slack-sdk's own retry handlers get through."""
    client = client_of(slack, session)
    client.retry_handlers += [
        AsyncRateLimitErrorRetryHandler(max_retry_count=2),
        AsyncServerErrorRetryHandler(interval_calculator=FixedValueRetryIntervalCalculator(0.0)),
    ]
    slack.faults.add("ratelimited", on="chat.postMessage", times=1, retry_after=0)
    slack.faults.add("server_error", on="chat.update", times=1, status=503)
    posted = await client.chat_postMessage(channel="#general", text="one")
    await client.chat_update(channel="C0GENERAL", ts=posted["ts"], text="two")
    assert [(call.method, call.status) for call in slack.calls] == [
        ("chat.postMessage", 429),
        ("chat.postMessage", 200),
        ("chat.update", 503),
        ("chat.update", 200),
    ]


async def test_fault_can_skip_calls_set_a_code_and_clear(slack: LocalSlack, client: AsyncWebClient) -> None:
    slack.faults.add("error", on="auth.test", skip=1, times=None, error="account_inactive")
    await client.auth_test()
    for _ in range(2):
        with pytest.raises(SlackApiError, match="account_inactive"):
            await client.auth_test()
    slack.faults.clear()
    await client.auth_test()
    with pytest.raises(ValueError, match="no fault 'flood'"):
        slack.faults.add("flood")  # type: ignore[arg-type]


async def test_delay_holds_back_the_reply(slack: LocalSlack, client: AsyncWebClient) -> None:
    slack.faults.add("delay", on="auth.test", seconds=30)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.auth_test()
    assert slack.calls == []


async def test_other_websites_cannot_reach_localslack(slack: LocalSlack, session: aiohttp.ClientSession) -> None:
    act = {"user": "U0BOB", "do": "home"}
    for headers in ({"Origin": "https://evil.test"}, {"Host": "evil.test"}):
        async with session.post(f"{slack.url}/page/act", json=act, headers=headers) as answer:
            assert answer.status == 403
    with pytest.raises(ValueError, match="loopback only"):
        await LocalSlack.start(host="0.0.0.0")
