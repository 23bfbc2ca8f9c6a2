"""Slack sends an app its own messages too, and drops events beyond an hour's limit."""

from collections.abc import AsyncIterator

import pytest
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest

from bot.slack import app as app_module
from bot.slack.app import App
from bot.slack.handlers.context import Services
from countersign import metrics, usecases
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from localslack.fixtures import UNHURRIED
from tests.installations.office import fact
from tests.installations.test_tokens import reads
from tests.sample_requests import question
from tests.slack.test_projector import all_drawn, running_projector
from tests.slack.test_token_refused import served

EVENTS = frozenset({"app_home_opened", "message.channels"})


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    """A workspace whose app is sent what is written in channels."""
    async with LocalSlack(**UNHURRIED, bot_events=EVENTS) as running:
        yield running


def messages(slack: LocalSlack) -> list[dict[str, object]]:
    """The messages that Slack sent the app."""
    sent = [payload["event"] for kind, payload in slack.deliveries if kind == "events_api" and "event" in payload]
    return [event for event in sent if event["type"] == "message"]


@pytest.fixture
def dispatched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What reaches Bolt, by the type of the event."""
    seen: list[str] = []
    dispatch = AsyncApp.async_dispatch

    async def watched(app: AsyncApp, req: AsyncBoltRequest) -> object:
        seen.append(str((req.body.get("event") or {}).get("type")))
        return await dispatch(app, req)

    monkeypatch.setattr(AsyncApp, "async_dispatch", watched)
    return seen


async def test_own_slack_messages_never_reach_bolt(
    slack: LocalSlack, store: Store, lease: Lease, dispatched: list[str], bot: Services
) -> None:
    """R29: posts, edits and deletions of the app, and what people write outside threads."""
    request = await usecases.ask(store, lease, question())
    async with running_projector(slack, store):
        await all_drawn(slack, store)
        await usecases.take_back(store, lease, request.id, "not wanted")
        await all_drawn(slack, store)
    await slack.user("alice").say("hello", "#general")
    await slack.wait_for(lambda _: any(event.get("text") == "hello" for event in messages(slack)))
    assert {event.get("subtype") for event in messages(slack)} == {None, "message_changed"}
    assert any(event.get("bot_id") for event in messages(slack))
    assert "message" not in dispatched
    head = next(m for m in slack.channel("#general").messages if m.user == "U0BOT")
    await slack.user("alice").say("a reply", "#general", head.ts)
    await slack.wait_for(lambda _: "message" in dispatched)


async def test_dropped_slack_events_are_reported(
    store: Store, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """R46: Slack sends `app_rate_limited` instead of events; a metric and health say so."""
    async with (
        LocalSlack(**UNHURRIED, bot_events=EVENTS, events_an_hour=3) as slack,
        served(slack, store, redis_url) as starting,
    ):
        port = await starting
        await slack.wait_connected(1)
        for number in range(6):
            await slack.user("alice").say(f"{number}", "#general")
        await fact(lambda: reads(port, "/readyz", "Slack dropped events of workspace T0LOCAL at "))
        assert "Slack dropped events of workspace T0LOCAL at " in caplog.text
    assert len(messages(slack)) == 3
    assert len([p for kind, p in slack.deliveries if p.get("type") == "app_rate_limited"]) in (1, 2)  # one a minute
    assert b'countersign_slack_events_limited_total{workspace="T0LOCAL"}' in metrics.exposition()


async def test_event_limit_is_reported_for_an_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said for an hour, by which Slack counts."""
    app = App(token="xoxb-1", signing_secret="none")
    body = {"type": "app_rate_limited", "team_id": "T0LOCAL", "minute_rate_limited": 1518467820}
    answer = await app.async_dispatch(AsyncBoltRequest(body=body, mode="socket_mode"))
    assert answer.status == 200
    assert "at 20:37 UTC, because there were more than 30,000 in an hour" in app.limited
    monkeypatch.setattr(app_module, "LIMITED_FOR", 0.0)
    assert app.limited == ""
