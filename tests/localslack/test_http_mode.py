"""Bolt behind signed HTTP: signatures, replicas in turn, dead replicas, retries of events."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack
from tests.localslack.slack_cases import CARD, Json, client_of

Serve = Callable[[AsyncApp], Awaitable[str]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves Bolt apps on loopback; gives the URL of each."""
    runners: list[web.AppRunner] = []

    async def serving(app: AsyncApp) -> str:
        async def events(request: web.Request) -> web.Response:
            return await to_aiohttp_response(await app.async_dispatch(await to_bolt_request(request)))

        application = web.Application()
        application.router.add_post("/slack/events", events)
        runner = web.AppRunner(application, access_log=None)
        runners.append(runner)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events"

    yield serving
    for runner in runners:
        await runner.cleanup()


def answering(app: AsyncApp, words: str) -> AsyncApp:
    @app.command("/agent")
    async def agent(ack: Any) -> None:
        await ack(words)

    return app


async def test_two_replicas_alternate_and_a_dead_one_fails(
    slack: LocalSlack, client: AsyncWebClient, serve: Serve
) -> None:
    """The person reads Slack's own error."""
    for words in ("one", "two"):
        app = AsyncApp(client=client, signing_secret=slack.signing_secret)
        slack.events_urls.append(await serve(answering(app, words)))
    assert await slack.verify_events_urls() == [True, True]
    alice = slack.user("alice")
    assert {(await alice.command("/agent")).text for _ in range(2)} == {"one", "two"}
    slack.events_urls[:] = ["http://127.0.0.1:9/slack/events"]
    reply = await alice.command("/agent")
    assert reply.error == "dispatch_failed"
    assert alice.notices == ['/agent failed with the error "dispatch_failed"']


async def test_failover_finds_the_live_replica(client: AsyncWebClient, slack: LocalSlack, serve: Serve) -> None:
    app = answering(AsyncApp(client=client, signing_secret=slack.signing_secret), "alive")
    urls = (await serve(app), "http://127.0.0.1:9/slack/events")
    async with LocalSlack(events_urls=urls, failover=True) as other:
        assert [(await other.user("bob").command("/agent")).text for _ in range(3)] == ["alive"] * 3


async def test_forged_or_old_signature_is_refused_by_bolt(
    slack: LocalSlack, client: AsyncWebClient, serve: Serve
) -> None:
    url = await serve(answering(AsyncApp(client=client, signing_secret=slack.signing_secret), "hello"))
    slack.events_urls.append(url)
    old = await slack.platform.http.post(url, "command=/agent", {}, timestamp=1_600_000_000)
    assert old.error == "http_service_error"
    async with LocalSlack(signing_secret="another", events_urls=(url,)) as forged:
        assert (await forged.user("bob").command("/agent")).error == "http_service_error"
    assert (await slack.user("bob").command("/agent")).text == "hello"


async def test_click_over_http_carries_everything_bolt_needs(
    slack: LocalSlack, client: AsyncWebClient, serve: Serve
) -> None:
    app = AsyncApp(client=client, signing_secret=slack.signing_secret)
    bodies: list[Json] = []

    @app.action("approve")
    async def approve(ack: Any, body: Json, respond: Any) -> None:
        bodies.append(body)
        await ack()
        await respond("seen", replace_original=False)

    slack.events_urls.append(await serve(app))
    await client.chat_postMessage(channel="C0APPROVALS", text="card", blocks=CARD)
    card = await slack.wait_message("#approvals")
    carol = slack.user("carol")
    assert (await carol.click(card, "approve")).ok
    assert (await carol.wait_ephemeral("seen")).channel == "C0APPROVALS"
    body = bodies[0]
    assert body["user"] == {"id": "U0CAROL", "username": "carol", "name": "carol", "team_id": "T0LOCAL"}
    assert body["container"]["message_ts"] == body["message"]["ts"] == card.ts
    assert body["channel"] == {"id": "C0APPROVALS", "name": "approvals"}
    assert body["actions"][0]["block_id"] == "decide" and body["actions"][0]["type"] == "button"


async def test_unacked_event_is_redelivered_with_the_reason(session: aiohttp.ClientSession, serve: Serve) -> None:
    """With the number and the reason of the retry in its headers."""
    async with LocalSlack(time_scale=0.0) as slack:
        app = AsyncApp(client=client_of(slack, session), signing_secret=slack.signing_secret)
        retries: list[tuple[list[str], list[str]]] = []

        @app.event("app_home_opened")
        async def home(request: Any, client: AsyncWebClient, event: Json) -> None:
            retries.append((request.headers["x-slack-retry-num"], request.headers["x-slack-retry-reason"]))
            view = {"type": "home", "blocks": [{"type": "divider"}]}
            await client.views_publish(user_id=event["user"], view=view)

        # Odd turns go to the replica that lives: the first delivery meets the dead one.
        slack.events_urls[:] = [await serve(app), "http://127.0.0.1:9/slack/events"]
        dave = slack.user("dave")
        await dave.open_home()
        await slack.wait_for(lambda _: dave.home)
        assert retries == [(["1"], ["connection_failed"])]
        assert len({payload["event_id"] for _, payload in slack.deliveries}) == 1
        assert len(slack.deliveries) == 2
