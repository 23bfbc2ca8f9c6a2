"""Bolt's own Socket Mode handler against localslack: commands, clicks, modals, Home, retries, connections."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from localslack import Command, LocalSlack, text_of
from localslack.errors import CannotDo
from tests.localslack.slack_cases import CARD, Connect, Json, client_of, section


def counting(bolt: AsyncApp, name: str, seen: list[str]) -> AsyncApp:
    @bolt.command("/agent")
    async def agent(ack: Any) -> None:
        seen.append(name)
        await ack(name)

    return bolt


def another(slack: LocalSlack, client: AsyncWebClient) -> AsyncApp:
    return AsyncApp(client=client, signing_secret=slack.signing_secret)


async def test_each_payload_goes_to_exactly_one_connection(
    slack: LocalSlack, client: AsyncWebClient, connect: Connect
) -> None:
    seen: list[str] = []
    for name in ("a", "b", "c"):
        await connect(counting(another(slack, client), name, seen))
    for _ in range(6):
        await slack.user("bob").command("/agent")
    assert sorted(seen) == ["a", "a", "b", "b", "c", "c"]


async def test_eleventh_connection_is_refused(
    slack: LocalSlack, client: AsyncWebClient, session: aiohttp.ClientSession
) -> None:
    opened = []
    for number in range(11):
        url = (await client.apps_connections_open(app_token=slack.app_token))["url"]
        socket = await session.ws_connect(url)
        opened.append(socket)
        first = await socket.receive_json()
        if number < 10:
            assert first["type"] == "hello" and first["num_connections"] == number + 1
        else:
            assert first == {"type": "disconnect", "reason": "too_many_websockets"}
    assert len(slack.platform.socket.connections) == 10
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await session.ws_connect(url)
    for socket in opened:
        await socket.close()


async def test_missing_connection_or_ack_is_an_error(client: AsyncWebClient, session: aiohttp.ClientSession) -> None:
    """The person reads what Slack would say."""
    async with LocalSlack(ack_seconds=0.05) as slack:
        alice = slack.user("alice")
        assert (await alice.command("/agent")).error == "app_not_connected"
        url = (await client_of(slack, session).apps_connections_open(app_token=slack.app_token))["url"]
        silent = await session.ws_connect(url)
        await slack.wait_connected()
        assert (await alice.command("/agent")).error == "operation_timeout"
        assert alice.notices[-1] == '/agent failed with the error "operation_timeout"'
        posted = await client_of(slack, session).chat_postMessage(channel="#general", text="t", blocks=CARD)
        card = await slack.wait_message("#general")
        assert card.ts == posted["ts"]
        assert (await alice.click(card, "Approve")).error == "operation_timeout"
        assert "3 seconds" in alice.notices[-1]
        await silent.close()


async def test_bolt_reconnects_after_a_disconnect_or_cut(slack: LocalSlack, bolt: AsyncApp, connect: Connect) -> None:
    """After Slack's `disconnect` frame, and after a line that breaks."""
    seen: list[str] = []
    await connect(counting(bolt, "a", seen))
    sockets = slack.platform.socket.connections

    async def renewed(before: web.WebSocketResponse) -> None:
        await slack.wait_for(lambda _: sockets and before not in sockets)
        assert (await slack.user("bob").command("/agent")).ok

    before = sockets[0]
    await slack.ask_to_reconnect()
    await renewed(before)
    before = sockets[0]
    await slack.platform.socket.close()
    await renewed(before)
    before = sockets[0]
    assert slack.cut_sockets() == 1
    await renewed(before)
    assert len(seen) == 3


async def test_impossible_actions_of_a_person_raise_cannot_do(slack: LocalSlack, client: AsyncWebClient) -> None:
    """What Slack's own client would not offer."""
    posted = await client.chat_postMessage(channel="C0APPROVALS", text="t", blocks=CARD)
    card = await slack.wait_message("#approvals")
    bob = slack.user("bob")
    with pytest.raises(CannotDo, match="no 'Burn' to click; there is: Approve, Reject"):
        await bob.click(card, "Burn")
    with pytest.raises(CannotDo, match="not in #random"):
        await slack.user("greta").command("/agent", channel="#random")
    with pytest.raises(CannotDo, match="not supported in threads"):
        await bob.say("/agent hi", "#approvals", thread=card.ts)
    with pytest.raises(CannotDo, match="No modal is open"):
        await bob.submit({})
    await client.chat_update(channel="C0APPROVALS", ts=posted["ts"], text="settled")
    with pytest.raises(CannotDo, match="there is: nothing"):
        await bob.click(card, "Approve")
    async with LocalSlack(commands=(Command("/agent"),)) as strict:
        with pytest.raises(CannotDo, match="/agnt is not a valid command"):
            await strict.user("bob").command("/agnt")


async def test_stale_click_carries_the_original_button(
    slack: LocalSlack, bolt: AsyncApp, client: AsyncWebClient, connect: Connect
) -> None:
    bodies: list[Json] = []

    @bolt.action("approve")
    async def approve(ack: Any, body: Json) -> None:
        bodies.append(body)
        await ack()

    await connect(bolt)
    await client.chat_postMessage(channel="C0APPROVALS", text="t", blocks=CARD)
    card = await slack.wait_message("#approvals")
    await client.chat_update(channel="C0APPROVALS", ts=card.ts, text="settled")
    assert (await slack.user("bob").click(card, "Approve", stale=True)).ok
    assert bodies[0]["actions"][0]["value"] == "r-1"
    assert bodies[0]["message"]["text"] == "settled"


async def test_slack_delivery_can_come_twice(slack: LocalSlack, bolt: AsyncApp, connect: Connect) -> None:
    seen: list[str] = []
    await connect(counting(bolt, "a", seen))
    slack.faults.add("deliver_twice", on="slash_commands")
    assert (await slack.user("bob").command("/agent")).ok
    await slack.wait_for(lambda _: len(slack.deliveries) == 2)
    assert slack.deliveries[0][1]["trigger_id"] == slack.deliveries[1][1]["trigger_id"]


async def test_slack_delivery_can_come_late(slack: LocalSlack, bolt: AsyncApp, connect: Connect) -> None:
    seen: list[str] = []
    await connect(counting(bolt, "a", seen))
    slack.faults.add("deliver_delay", on="slash_commands", seconds=60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await slack.user("bob").command("/agent")
    assert (await slack.user("carol").command("/agent")).ok and len(seen) == 1


async def test_slack_delivery_can_be_dropped(bolt: AsyncApp) -> None:
    async with LocalSlack(ack_seconds=0.01) as slack:
        slack.faults.add("deliver_drop", on="slash_commands")
        assert (await slack.user("bob").command("/agent")).error == "operation_timeout"
        assert slack.deliveries == []


async def test_opened_home_is_published_for_its_person(slack: LocalSlack, bolt: AsyncApp, connect: Connect) -> None:
    @bolt.event("app_home_opened")
    async def opened(event: Json, client: AsyncWebClient) -> None:
        view = {"type": "home", "blocks": [section(f"hello <@{event['user']}>")]}
        await client.views_publish(user_id=event["user"], view=view)

    await connect(bolt)
    dave = slack.user("dave")
    await dave.open_home()
    await slack.wait_for(lambda _: dave.home)
    assert dave.home is not None and text_of(dave.home.json) == "hello <@U0DAVE>"
    assert slack.user("bob").home is None


async def test_unacked_event_is_redelivered(session: aiohttp.ClientSession) -> None:
    async with LocalSlack(ack_seconds=0.01, time_scale=0.0) as hasty:
        url = (await client_of(hasty, session).apps_connections_open(app_token=hasty.app_token))["url"]
        async with session.ws_connect(url) as socket:
            assert (await socket.receive_json())["type"] == "hello"
            await hasty.user("bob").open_home()
            envelopes = [await socket.receive_json() for _ in range(4)]
    assert [envelope["retry_attempt"] for envelope in envelopes] == [0, 1, 2, 3]
    assert [envelope["retry_reason"] for envelope in envelopes] == ["", "timeout", "timeout", "timeout"]
    assert len({envelope["payload"]["event_id"] for envelope in envelopes}) == 1
    assert len({envelope["envelope_id"] for envelope in envelopes}) == 4
