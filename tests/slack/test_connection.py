"""The ways in: Socket Mode and signed HTTP, and what happens when Slack or a token is wrong."""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import parse_qsl, urlencode

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.port import ApiPort
from bot.settings import WebSettings
from bot.slack import app, http, routes
from bot.slack.projector.message_sync import Place, Poster
from bot.slack.slack_calls import GatedCalls
from bot.slack.views.approval_card import card
from bot.workspace import opened
from countersign import usecases
from countersign.domain.errors import WrongSettings
from countersign.domain.requests import Status
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from localslack import LocalSlack
from localslack.fixtures import HURRY, UNHURRIED
from localslack.http_events import sign
from tests.longest_wait import PATIENCE
from tests.sample_requests import GENERAL, HERE, question
from tests.slack.socket_bot import post, unconnected_bot
from tests.slack.test_overtaken import NEW
from tests.store_fixtures import configure


@asynccontextmanager
async def a_web(slack: LocalSlack, store: Store) -> AsyncIterator[str]:
    """One web process's way in over signed HTTP; its base address."""
    async with unconnected_bot(slack, store) as (services, _, clients):
        identity = await app.identify(clients.reads)
        bolt = app.build(clients, identity)
        routes.register(bolt, services)
        asgi = http.http(bolt, secret=slack.signing_secret)
        async with http.serving(asgi, "127.0.0.1", 0) as port:
            yield f"http://127.0.0.1:{port}"


@asynccontextmanager
async def over_http(slack: LocalSlack, store: Store) -> AsyncIterator[str]:
    """The same, and Slack sends there what comes."""
    async with a_web(slack, store) as url:
        slack.events_urls.append(f"{url}/slack/events")
        try:
            yield url
        finally:
            slack.events_urls.clear()


async def get(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status, await answer.text()


async def test_click_over_signed_http_counts(slack: LocalSlack, store: Store, lease: Lease) -> None:
    asked = await usecases.ask(store, lease, question())
    async with over_http(slack, store) as url, unconnected_bot(slack, store) as (services, _, _clients):
        run = await store.run(lease.run)
        assert run is not None
        shown = await post(slack, store, services, card(asked, run=run.value, run_link=None), asked)
        assert (await slack.user("bob").click(shown, "Approve")).ok
        assert await slack.verify_events_urls() == [True]
        assert [(await get(f"{url}/{path}"))[0] for path in ("healthz", "readyz", "metrics")] == [404] * 3
    seen = await store.request(asked.id)
    assert seen is not None and seen.value.status is Status.APPROVED


async def test_clicks_count_on_any_of_three_web_processes(store: Store, lease: Lease) -> None:
    """R5, R11: over signed HTTP there may be any number; each click goes to any of them, also when one has gone."""
    await configure(store, quorum=2)
    async with LocalSlack(**UNHURRIED, failover=True) as slack, AsyncExitStack() as stack:
        desk, _, _clients = await stack.enter_async_context(unconnected_bot(slack, store))
        webs = [await stack.enter_async_context(AsyncExitStack()) for _ in range(3)]
        for web in webs:
            slack.events_urls.append(f"{await web.enter_async_context(a_web(slack, store))}/slack/events")
        assert await slack.verify_events_urls() == [True] * 3
        run = await store.run(lease.run)
        assert run is not None
        for number in range(4):
            if number == 2:
                await webs[1].aclose()
            asked = await usecases.ask(store, lease, question(f"mail {number}"))
            shown = await post(slack, store, desk, card(asked, run=run.value, run_link=None), asked)
            for name in ("bob", "carol"):
                assert (await slack.user(name).click(shown, "Approve")).ok
            seen = await store.request(asked.id)
            assert seen is not None and seen.value.decision is not None
            assert seen.value.decision.by == ("U0BOB", "U0CAROL")
        slack.events_urls.clear()


async def test_window_opens_while_all_drawing_waits_for_slack(slack: LocalSlack, store: Store, lease: Lease) -> None:
    """R7, R34: what people wait for has connections of its own."""
    asked = await usecases.ask(store, lease, question())
    async with (
        unconnected_bot(slack, store) as (services, bolt, clients),
        app.socket_mode(bolt, slack.app_token, clients.reads),
    ):
        run = await store.run(lease.run)
        assert run is not None
        shown = await post(slack, store, services, card(asked, run=run.value, run_link=None), asked)
        slack.faults.add("delay", on="chat.update", times=None, seconds=PATIENCE)
        slack.faults.add("delay", on="views.publish", times=None, seconds=PATIENCE)
        drawing = [
            asyncio.create_task(clients.posts.chat_update(channel=shown.channel, ts=shown.ts, text="slow"))
            for _ in range(100)
        ]
        drawing += [asyncio.create_task(clients.homes.views_publish(user_id="U0BOB", view={})) for _ in range(50)]
        await slack.wait_for(lambda _: len(slack.server.api.under_way) >= app.DRAWING)
        assert (await slack.user("bob").click(shown, "Reject")).ok
        await slack.user("bob").wait_modal("Reject")
        assert len(slack.server.api.under_way) == app.DRAWING
        for task in drawing:
            task.cancel()
        await asyncio.gather(*drawing, return_exceptions=True)


@pytest.mark.parametrize(
    ("secret", "age", "status"), [("right", 0, 200), ("wrong", 0, 401), ("right", 3600, 401), ("", 0, 401)]
)
async def test_forged_and_old_signatures_are_refused(
    slack: LocalSlack, store: Store, secret: str, age: int, status: int
) -> None:
    """R9: only Slack says who clicked."""
    body = json.dumps({"type": "url_verification", "challenge": "c", "token": "t"})
    at = int(time.time()) - age
    key = slack.signing_secret if secret == "right" else secret
    headers = {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": str(at),
        "X-Slack-Signature": sign(key, at, body),
    }
    async with over_http(slack, store) as url, aiohttp.ClientSession() as session:
        async with session.post(f"{url}/slack/events", data=body, headers=headers) as answer:
            assert answer.status == status
        async with session.post(f"{url}/slack/events", data=body) as unsigned:
            assert unsigned.status == 401


@given(st.text() | st.just("{\\u00e9 \\ % + & = \U0001f600}"))
def test_form_is_parsed_as_bolt_parses_it(words: str) -> None:
    """R1, R9: what is judged is what Slack signed, whatever somebody wrote."""
    said = json.dumps({"words": words}, ensure_ascii=len(words) % 2 == 0)
    form = urlencode({"payload": said})
    assert http.payload(form) == said == dict(parse_qsl(form, keep_blank_values=True))["payload"]


@pytest.mark.parametrize(
    "form",
    [
        "",
        "payload=",
        "text=%7B%7D",
        "payload=%7B%7D&payload=%7B%7D",
        "payload=%7B\\x41",
        "payload=%7B%zz",
        "payload=%7B%4",
        "payload=%7B%ff",
        "payload=%7Bé",
        '{"payload": "="}',
    ],
)
def test_unexpected_form_is_left_to_bolt(form: str) -> None:
    assert http.payload(form) is None


async def test_socket_mode_refuses_events_over_http(slack: LocalSlack, store: Store) -> None:
    """R9: without a signing secret a signature would prove nothing."""
    asgi = http.http(None)
    async with (
        http.serving(asgi, "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
        session.post(f"http://127.0.0.1:{port}/slack/events", data="{}") as answer,
    ):
        assert answer.status == 404


async def test_commands_are_answered_after_slack_refreshes_the_connection(slack: LocalSlack, store: Store) -> None:
    async with (
        unconnected_bot(slack, store) as (_, bolt, clients),
        app.socket_mode(bolt, slack.app_token, clients.reads),
    ):
        await slack.wait_connected(1)
        connections = slack.server.platform.socket.connections
        old = list(connections)
        await slack.ask_to_reconnect()
        await slack.wait_for(lambda _: connections and not any(c in old for c in connections))
        assert "No runs in progress" in (await slack.user("bob").command("/agent status", channel="#approvals")).text


@pytest.mark.parametrize(("others", "warning"), [(6, ""), (7, "9 of 10"), (10, "more than 10")])
async def test_too_many_socket_connections_are_logged_as_a_warning(
    others: int, warning: str, slack: LocalSlack, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """R7: Slack counts those that broke unnoticed too, and what it sends there is lost."""
    async with unconnected_bot(slack, store) as (_, bolt, clients), aiohttp.ClientSession() as session:
        opened = []
        for _ in range(others):
            url = (await clients.reads.apps_connections_open(app_token=slack.app_token))["url"]
            opened.append(await session.ws_connect(url))
        async with app.socket_mode(bolt, slack.app_token, clients.reads):
            await slack.wait_connected(min(others + 2, 10))
            await line(caplog, warning)
    assert ("Socket Mode connections of this app" in caplog.text) == bool(warning)


async def test_connection_lost_during_an_answer_is_one_log_line(
    slack: LocalSlack, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """R7: what was clicked counts; that Slack did not hear of it is no bug, and a bug is not taken for that."""
    async with (
        unconnected_bot(slack, store) as (_, bolt, clients),
        app.socket_mode(bolt, slack.app_token, clients.reads) as up,
    ):
        await slack.wait_connected(2)
        slack.faults.add("delay", on="views.open", seconds=0.5)
        opening = asyncio.create_task(slack.user("bob").command("/agent", channel="#approvals"))
        await slack.wait_for(lambda _: any(delivery[0] == "slash_commands" for delivery in slack.deliveries))
        slack.cut_sockets()
        await until(up, False)
        await line(caplog, "Failed to run a request listener")
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
    links = [record for record in caplog.records if record.name == "bot.slack.app.link"]
    assert {record.levelname for record in links} <= {"INFO", "WARNING"}
    assert [record for record in caplog.records if record.exc_info] == []
    try:
        raise ValueError("a bug")
    except ValueError:
        logging.getLogger("bot.slack.app.link").exception("Failed to run a request listener")
    assert caplog.records[-1].levelname == "ERROR"
    assert "ValueError: a bug" in caplog.text


async def line(caplog: pytest.LogCaptureFixture, words: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while words not in caplog.text:  # noqa: ASYNC110 -- a fact of another task
            await asyncio.sleep(0.01)


async def test_wrong_bot_token_ends_the_start_with_instructions(slack: LocalSlack) -> None:
    async with app.slack_clients("xoxb-wrong", slack.api_url) as clients:
        with pytest.raises(WrongSettings, match=r"SLACK_BOT_TOKEN: Slack refuses it \(invalid_auth\)"):
            await app.identify(clients.reads)


async def test_unknown_reviewer_ends_the_start_with_instructions(slack: LocalSlack, store: Store) -> None:
    """R10: also a group, and an admin; whoever has left is no reason to stay away."""
    env = {"slack_bot_token": slack.bot_token, "slack_app_token": "xapp-1", "redis_url": "redis://localhost"}
    settings = WebSettings(**env, reviewers="U0BOB U0TYPO S0TYPO", admins="U0WRONG")  # type: ignore[arg-type]
    async with app.slack_clients(slack.bot_token, slack.api_url) as clients:
        with pytest.raises(WrongSettings) as wrong:
            async with opened(settings, store, clients, "web-1", ApiPort()):
                raise AssertionError("it started")
    reviewers, admins = wrong.value.problems
    assert reviewers.startswith("REVIEWERS: Slack knows no U0TYPO, S0TYPO in this workspace.")
    assert admins.startswith("ADMINS: Slack knows no U0WRONG in this workspace.")


async def test_organization_wide_installation_ends_the_start_with_instructions(slack: LocalSlack) -> None:
    slack.platform.org_wide = True
    async with app.slack_clients(slack.bot_token, slack.api_url) as clients:
        with pytest.raises(
            WrongSettings, match="SLACK_BOT_TOKEN: it belongs to an installation for a whole organization"
        ):
            await app.identify(clients.reads)


async def test_wrong_app_token_ends_the_start_with_instructions(slack: LocalSlack, store: Store) -> None:
    async with unconnected_bot(slack, store) as (_, bolt, clients):
        with pytest.raises(WrongSettings, match="SLACK_APP_TOKEN: Slack refuses it"):
            async with app.socket_mode(bolt, "xapp-wrong", clients.reads):
                raise AssertionError("connected with a wrong token")


async def test_missing_slack_scopes_are_named() -> None:
    for granted in (app.SCOPES - {"users:read", "usergroups:read"}, app.SCOPES | {"more:scopes"}):
        async with LocalSlack(scopes=granted) as slack, app.slack_clients(slack.bot_token, slack.api_url) as clients:
            if granted > app.SCOPES:
                assert (await app.identify(clients.reads)).workspace == "T0LOCAL"
                continue
            with pytest.raises(WrongSettings, match="lacks usergroups:read, users:read"):
                await app.identify(clients.reads)
    assert app.scopes_of({"X-OAuth-Scopes": "chat:write, commands"}) == {"chat:write", "commands"}


async def test_start_waits_while_slack_is_away(
    slack: LocalSlack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(app, "_TRY_AGAIN", 0.01)
    slack.faults.add("server_error", on="auth.test", status=503, times=4)
    async with app.slack_clients(slack.bot_token, slack.api_url) as clients:
        assert (await app.identify(clients.reads)).workspace == "T0LOCAL"
    assert "asking again" in caplog.text
    async with app.slack_clients(slack.bot_token, "http://127.0.0.1:1/api") as clients:
        waiting = asyncio.create_task(app.identify(clients.reads))
        async with asyncio.timeout(PATIENCE):
            while "Slack cannot be reached" not in caplog.text:  # noqa: ASYNC110 -- a fact of another task
                await asyncio.sleep(0.01)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


@pytest.mark.parametrize("code", ["ratelimited", "rate_limited"])
async def test_retry_after_in_either_spelling_is_obeyed(
    slack: LocalSlack, store: Store, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    """R21: also with status 200; one spelling ended the start, the other gave a message up for good."""
    monkeypatch.setattr(app, "_TRY_AGAIN", 0.01)
    for method in ("auth.test", "chat.postMessage"):
        slack.faults.add("error", on=method, error=code, times=1)
    async with app.slack_clients(slack.bot_token, slack.api_url) as clients:
        identity = await app.identify(clients.reads)
        poster = Poster(GatedCalls(clients.posts, HURRY), store, HERE, slack.url, identity.names)
        assert await poster.show("note/1", Place(GENERAL), NEW) is not None


async def test_bolt_does_not_enable_oauth(slack: LocalSlack, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_CLIENT_ID", "1.2")
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "secret")
    async with unconnected_bot(slack, store) as (_, bolt, _clients):
        assert bolt.oauth_flow is None


async def test_port_in_use_is_reported(store: Store) -> None:
    asgi = http.http(None)
    async with http.serving(asgi, "127.0.0.1", 0) as port:
        with pytest.raises(WrongSettings, match="cannot listen on"):
            async with http.serving(asgi, "127.0.0.1", port):
                raise AssertionError("listened twice")


async def until(fact: app.Check, wanted: bool = True) -> None:
    async with asyncio.timeout(PATIENCE):
        while await fact() is not wanted:  # noqa: ASYNC110 -- a fact of another task
            await asyncio.sleep(0.01)
