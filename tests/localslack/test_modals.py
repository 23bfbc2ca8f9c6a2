"""Triggers, the stack of modals, the answers to a submission, inputs that Slack checks itself."""

from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack
from localslack.errors import CannotDo
from localslack.modals import View
from localslack.person import Person
from tests.localslack.slack_cases import TEXT, Connect, Json, actions, button, client_of, field, modal, plain


async def opened(slack: LocalSlack, client: AsyncWebClient, view: Json, who: str = "bob") -> tuple[Person, View]:
    person = slack.user(who)
    await client.views_open(trigger_id=slack.platform.triggers.issue(person.id), view=view)
    return person, await person.wait_modal()


async def test_trigger_lives_three_seconds_and_works_once(session: Any) -> None:
    now = [100.0]
    async with LocalSlack(clock=lambda: now[0]) as slack:
        client = client_of(slack, session)
        trigger = slack.platform.triggers.issue("U0BOB")
        await client.views_open(trigger_id=trigger, view=modal())
        late = slack.platform.triggers.issue("U0BOB")
        now[0] += 3
        for trigger_id, code in ((trigger, "exchanged_trigger_id"), (late, "expired_trigger_id")):
            with pytest.raises(SlackApiError, match=code):
                await client.views_open(trigger_id=trigger_id, view=modal())


async def test_modal_stack_holds_three_views_and_closes_backwards(slack: LocalSlack, client: AsyncWebClient) -> None:
    bob, view = await opened(slack, client, modal(title=plain("1")))
    for depth in ("2", "3"):
        trigger = slack.platform.triggers.issue(bob.id, view.id)
        await client.views_push(trigger_id=trigger, view=modal(title=plain(depth)))
    with pytest.raises(SlackApiError, match="push_limit_reached"):
        trigger = slack.platform.triggers.issue(bob.id, view.id)
        await client.views_push(trigger_id=trigger, view=modal(title=plain("4")))
    with pytest.raises(SlackApiError, match="invalid_trigger_id"):
        await client.views_push(trigger_id=slack.platform.triggers.issue(bob.id), view=modal())
    titles = []
    while bob.modal:
        titles.append(bob.modal.title)
        await bob.close()
    assert titles == ["3", "2", "1"]


async def test_view_update_keeps_input_and_honours_the_hash(
    slack: LocalSlack, bolt: AsyncApp, client: AsyncWebClient, connect: Connect
) -> None:
    @bolt.action("further")
    async def further(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await client.views_push(trigger_id=body["trigger_id"], view=modal(title=plain("further")))
        await ack()

    @bolt.action("more")
    async def more(ack: Any, body: Json, client: AsyncWebClient) -> None:
        assert body["view"]["state"]["values"]["a"]["text"]["value"] == "typed"
        blocks = [field("a", "A", TEXT), field("b", "B", TEXT), actions(button("Further", "further"))]
        await client.views_update(view_id=body["view"]["id"], hash=body["view"]["hash"], view=modal(*blocks))
        await ack()

    await connect(bolt)
    bob, view = await opened(slack, client, modal(field("a", "A", TEXT), actions(button("More", "more"))))
    old_hash = view.json["hash"]
    view.values["a"]["text"]["value"] = "typed"
    assert (await bob.click(view, "More")).ok
    assert view.values == {
        "a": {"text": {"type": "plain_text_input", "value": "typed"}},
        "b": {"text": {"type": "plain_text_input", "value": None}},
    }
    assert (await bob.click(view, "Further")).ok
    assert bob.modal is not None and bob.modal.title == "further"
    with pytest.raises(SlackApiError, match="hash_conflict"):
        await client.views_update(view_id=view.id, hash=old_hash, view=modal())
    with pytest.raises(SlackApiError, match="not_found"):
        await client.views_update(external_id="nothing", view=modal())


@pytest.mark.parametrize(
    ("answer", "title", "cleared"),
    [
        ({}, "below", 0),
        ({"response_action": "update", "view": modal(title=plain("new"))}, "new", 0),
        ({"response_action": "push", "view": modal(title=plain("third"))}, "third", 0),
        ({"response_action": "clear"}, None, 1),
    ],
)
async def test_submission_response_decides_the_next_view(
    answer: Json,
    title: str | None,
    cleared: int,
    slack: LocalSlack,
    bolt: AsyncApp,
    client: AsyncWebClient,
    connect: Connect,
) -> None:
    closed: list[Json] = []

    @bolt.view("top")
    async def submitted(ack: Any) -> None:
        await ack(**answer)

    @bolt.view_closed("reason")
    async def was_closed(ack: Any, body: Json) -> None:
        closed.append(body)
        await ack()

    await connect(bolt)
    bob, view = await opened(slack, client, modal(title=plain("below"), notify_on_close=True))
    trigger = slack.platform.triggers.issue(bob.id, view.id)
    await client.views_push(trigger_id=trigger, view=modal(callback_id="top", title=plain("top")))
    assert await bob.submit() == {}
    assert (bob.modal.title if bob.modal else None) == title
    if cleared:
        await slack.wait_for(lambda _: len(slack.deliveries) == 2)
        await slack.wait_for(lambda _: True)
        assert slack.deliveries[1][1]["is_cleared"] is True
    assert slack.problems == []


async def test_closing_notifies_the_app_only_if_requested(
    slack: LocalSlack, bolt: AsyncApp, client: AsyncWebClient, connect: Connect
) -> None:
    await connect(bolt)
    bob, _ = await opened(slack, client, modal())
    await bob.close()
    bob, view = await opened(slack, client, modal(notify_on_close=True))
    await bob.close()
    await slack.wait_for(lambda _: slack.deliveries)
    kinds = [(payload["type"], payload["view"]["id"]) for _, payload in slack.deliveries]
    assert kinds == [("view_closed", view.id)]


BAD_ANSWERS: dict[str, Json] = {
    "unknown action": {"response_action": "explode"},
    "errors for no input": {"response_action": "errors", "errors": {"nowhere": "words"}},
    "no errors": {"response_action": "errors", "errors": {}},
    "bad view": {"response_action": "update", "view": {"type": "modal", "title": plain("t" * 25), "blocks": []}},
    "no view": {"response_action": "push"},
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
async def test_unusable_submission_response_shows_connection_trouble(
    name: str, slack: LocalSlack, bolt: AsyncApp, client: AsyncWebClient, connect: Connect
) -> None:
    """The person reads Slack's sentence, and the list of problems has one more."""

    @bolt.middleware
    async def answers(body: Json, next: Any) -> BoltResponse:
        return BoltResponse(status=200, body=BAD_ANSWERS[name])

    await connect(bolt)
    bob, _ = await opened(slack, client, modal(field("why", "Why", TEXT)))
    assert await bob.submit({"why": "x"}) == {"": "We had some trouble connecting. Try again?"}
    assert bob.modal is not None and len(slack.problems) == 1


OPTIONS = [{"text": plain("Email team"), "value": "email"}, {"text": plain("Code team"), "value": "code"}]
INPUTS: dict[str, tuple[Json, Any, str]] = {
    "too short": ({**TEXT, "min_length": 3}, "ab", "at least 3"),
    "too long": ({**TEXT, "max_length": 3}, "abcd", "at most 3"),
    "over slack's own limit": (TEXT, "x" * 3001, "at most 3000"),
    "empty": (TEXT, "", "required"),
    "no number": ({"type": "number_input", "is_decimal_allowed": False}, "1.5", "whole number"),
    "too small": ({"type": "number_input", "is_decimal_allowed": True, "min_value": "2"}, "1.5", "at least 2"),
    "too big": ({"type": "number_input", "is_decimal_allowed": True, "max_value": "2"}, "2.5", "at most 2"),
    "no address": ({"type": "email_text_input"}, "bob", "valid email"),
    "no link": ({"type": "url_text_input"}, "bob", "valid URL"),
    "nobody chosen": ({"type": "multi_users_select"}, [], "required"),
    "too many": ({"type": "multi_users_select", "max_selected_items": 1}, ["@bob", "@carol"], "at most 1"),
}


@pytest.mark.parametrize("name", INPUTS)
async def test_modal_inputs_are_checked_before_the_app_hears(
    name: str, slack: LocalSlack, client: AsyncWebClient
) -> None:
    element, value, words = INPUTS[name]
    bob, _ = await opened(slack, client, modal(field("f", "Field", element)))
    assert words in (await bob.submit({"f": value}))["f"]
    assert slack.deliveries == []


async def test_inputs_send_nothing_before_the_submission(slack: LocalSlack, client: AsyncWebClient) -> None:
    """A view that was closed takes no submission either."""
    bob, view = await opened(slack, client, modal(field("a", "A", TEXT)))
    with pytest.raises(CannotDo, match="sends nothing before"):
        await bob.click(view, "text", choose="typed")
    await bob.close()
    with pytest.raises(CannotDo, match="sent or closed already"):
        await bob.submit({"a": "late"}, view=view)
    assert slack.deliveries == []
