"""Every ack fits into a frame of Socket Mode, whatever a handler answers."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from slack_bolt.async_app import AsyncAck
from slack_bolt.response import BoltResponse

from bot.slack import app
from bot.slack.handlers import acks
from bot.slack.handlers.context import Services
from bot.slack.routes import bound
from bot.slack.views import modal_parts
from bot.slack.views.block_kit import words
from countersign.store.store import Store
from localslack import LocalSlack
from localslack.text import text_of
from tests.slack.socket_bot import unconnected_bot

LONG = "ünbounded ✔ " * 200
BLOCKS = [words(f"{number} {LONG}") for number in range(9)]
FIELDS = [
    modal_parts.input_of(f"f{number}", "Field", {"type": "plain_text_input", "action_id": "a"}, optional=True)
    for number in range(60)
]
FORM = modal_parts.modal("test_form", "Form", FIELDS, "Send", '{"channel": "C0GENERAL"}')
WINDOW = modal_parts.modal("test_window", "Large", BLOCKS, "Go on", '{"channel": "C0GENERAL"}')
Answer = Callable[[AsyncAck], Awaitable[Any]]


@asynccontextmanager
async def answering(slack: LocalSlack, store: Store, answer: Answer) -> AsyncIterator[Services]:
    """A bot whose commands open FORM, and whose answer to everything else this is."""

    async def listener(services: Services, ack: AsyncAck, body: dict[str, Any]) -> None:
        if body.get("text") == "form":
            await services.client.views_open(trigger_id=body["trigger_id"], view=FORM)
            await ack()
        else:
            await answer(ack)

    async with unconnected_bot(slack, store) as (services, bolt, clients):
        bolt._async_listeners.clear()
        bolt.command("/agent")(bound(services, listener))
        bolt.view_submission("test_form")(bound(services, listener))
        async with app.socket_mode(bolt, slack.app_token, clients.reads):
            await slack.wait_connected(2)
            yield services


async def test_ack_opens_a_small_window_and_the_whole_follows(slack: LocalSlack, store: Store) -> None:
    """R7, R35: small at first, then whole, in the same window."""
    bob = slack.user("bob")
    assert acks.size_of({"response_action": "update", "view": WINDOW}) > 20_480
    async with answering(slack, store, lambda ack: ack(response_action="update", view=WINDOW)):
        connections = list(slack.platform.socket.connections)
        await bob.command("/agent form")
        before = await bob.wait_modal()
        assert await bob.submit({}) == {}
        view = await bob.wait_modal(lambda view: view.title == "Large")
        assert view.id == before.id and text_of(view.json).count(LONG) == len(BLOCKS)
        assert slack.platform.socket.connections == connections
    assert slack.problems == []


async def test_ack_too_small_for_the_message_sends_it_later(slack: LocalSlack, store: Store) -> None:
    """R7, R35: what an ack has no room for is told by the response URL."""
    async with answering(slack, store, lambda ack: ack(text=LONG * 12, response_type="ephemeral")):
        assert (await slack.user("bob").command("/agent show")).ok
        assert (await slack.user("bob").wait_ephemeral(LONG)).text == LONG * 12
    assert slack.problems == []


async def test_ack_shows_as_many_errors_as_fit(slack: LocalSlack, store: Store) -> None:
    """R7, R35: whoever mends these sees the others then."""
    errors = {field["block_id"]: LONG for field in FIELDS}
    async with answering(slack, store, lambda ack: ack(response_action="errors", errors=errors)):
        await slack.user("bob").command("/agent form")
        shown = await slack.user("bob").submit({})
    assert next(iter(shown)) == "f0" and 1 < len(shown) < len(errors)
    assert slack.problems == []


async def test_window_that_slack_cannot_fill_says_what_to_do(
    slack: LocalSlack, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    """R7: Slack is away between the ack and the window."""
    slack.faults.add("error", on="views.update", error="internal_error")
    async with answering(slack, store, lambda ack: ack(response_action="update", view=WINDOW)) as services:
        await slack.user("bob").command("/agent form")
        assert await slack.user("bob").submit({}) == {}
        await services.drain()
        assert "close this and open it again" in text_of((await slack.user("bob").wait_modal()).json)
    assert "A window was not filled" in caplog.text


async def test_lost_ack_begins_nothing_that_follows() -> None:
    """Its continuation was a coroutine that nobody awaited: a warning in the log, and here an error."""

    class Lost(AsyncAck):
        async def __call__(self, **content: Any) -> BoltResponse:  # type: ignore[override]
            raise ConnectionError("The connection was lost.")

    lost = Lost()  # type: ignore[no-untyped-call]
    ack = acks.Ack(lost, asyncio.get_running_loop().create_future(), cast(Services, None), {})
    with pytest.raises(ConnectionError):
        await ack(response_action="update", view=WINDOW)
