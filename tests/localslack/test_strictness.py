"""What Slack refuses, localslack refuses with the same code: one line per rule, through the real slack-sdk client."""

import json
import math
from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack
from localslack.web_api import METHODS
from tests.localslack.slack_cases import (
    CARD,
    MODAL,
    TEXT,
    Json,
    actions,
    button,
    client_of,
    field,
    modal,
    plain,
    section,
)

OPTION = {"text": plain("one"), "value": "1"}
READING = sorted(name for name, method in METHODS.items() if method.reads)


def rich(*elements: Json) -> Json:
    return {"type": "rich_text", "elements": list(elements)}


def options(count: int, size: int = 5) -> list[Json]:
    return [{"text": plain("o" * size), "value": str(number)} for number in range(count)]


def select(**more: Any) -> Json:
    return {"type": "static_select", "action_id": "s", "options": [OPTION], **more}


CONFIRM = {"title": plain("Sure?"), "text": plain("Really?"), "confirm": plain("Yes"), "deny": plain("No")}

BAD_BLOCKS: dict[str, tuple[list[Json], str]] = {
    "51 blocks": ([{"type": "divider"}] * 51, "no more than 50 items allowed [json-pointer:/blocks]"),
    "long section": ([section("x" * 3001)], "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
    "empty section text": ([section("")], "must be more than 0 characters"),
    "section without text": ([{"type": "section"}], "missing required field: text"),
    "11 fields": ([{"type": "section", "fields": [plain("f")] * 11}], "no more than 10 items"),
    "long field": ([{"type": "section", "fields": [plain("f" * 2001)]}], "less than 2001"),
    "long header": ([{"type": "header", "text": plain("h" * 151)}], "less than 151"),
    "mrkdwn header": ([{"type": "header", "text": {"type": "mrkdwn", "text": "h"}}], "unsupported type: mrkdwn"),
    "long button": ([actions(button("b" * 76, "a"))], "less than 76"),
    "long value": ([actions(button("b", "a", value="v" * 2001))], "less than 2001"),
    "long action_id": ([actions(button("b", "a" * 256))], "less than 256"),
    "long block_id": ([section("s", block_id="b" * 256)], "less than 256"),
    "long label": ([actions(button("b", "a", accessibility_label="l" * 76))], "less than 76"),
    "label of a menu": (
        [actions({"type": "overflow", "action_id": "o", "options": options(2), "accessibility_label": "l"})],
        "invalid additional property: accessibility_label",
    ),
    "odd style": ([actions(button("b", "a", style="default"))], "must be one of: primary, danger"),
    "26 elements": ([actions(*[button("b", f"a{n}") for n in range(26)])], "no more than 25"),
    "no elements": ([actions()], "no fewer than 1"),
    "11 in a context": ([{"type": "context", "elements": [plain("c")] * 11}], "no more than 10"),
    "101 options": ([actions(select(options=options(101)))], "no more than 100"),
    "long option": ([actions(select(options=options(1, 76)))], "less than 76"),
    "no options": ([actions({"type": "static_select", "action_id": "s"})], "exactly one of"),
    "odd initial option": ([actions(select(initial_option=options(2)[1]))], "initial option"),
    "6 in an overflow": ([actions({"type": "overflow", "action_id": "o", "options": options(6)})], "more than 5"),
    "long confirm title": (
        [actions(button("b", "a", confirm={**CONFIRM, "title": plain("t" * 101)}))],
        "less than 101",
    ),
    "long confirm text": ([actions(button("b", "a", confirm={**CONFIRM, "text": plain("t" * 301)}))], "less than 301"),
    "long confirm button": (
        [actions(button("b", "a", confirm={**CONFIRM, "confirm": plain("t" * 31)}))],
        "less than 31",
    ),
    "half a confirm": ([actions(button("b", "a", confirm={"title": plain("t")}))], "missing required field: deny"),
    "unknown field": ([section("s", colour="red")], "invalid additional property: colour"),
    "unknown field of a button": ([actions(button("b", "a", size="big"))], "invalid additional property: size"),
    "unknown block": ([{"type": "sektion"}], "unsupported type: sektion"),
    "no type": ([{"text": plain("t")}], "missing required field: type"),
    "type is a list": ([{"type": []}], "unsupported type"),
    "no object": (["text"], "must be an object"),  # type: ignore[list-item]
    "same block_id": ([section("a", block_id="x"), section("b", block_id="x")], '`block_id` "x" already exists'),
    "same action_id": ([actions(button("a", "x"), button("b", "x"))], '`action_id` "x" already exists'),
    "rich text of nothing": ([rich({"type": "rich_text_line", "elements": []})], "unsupported type: rich_text_line"),
    "empty rich text": (
        [rich({"type": "rich_text_section", "elements": [{"type": "text", "text": ""}]})],
        "more than 0",
    ),
    "bold in preformatted": (
        [rich({"type": "rich_text_preformatted", "elements": [{"type": "user", "user_id": "U1"}]})],
        "unsupported type: user",
    ),
    "list without style": ([rich({"type": "rich_text_list", "elements": []})], "missing required field: style"),
    "long markdown": ([{"type": "markdown", "text": "m" * 12_001}], "less than 12001"),
    "image without words": ([{"type": "image", "image_url": "http://localhost/i.png"}], "alt_text"),
}
GOOD_BLOCKS: dict[str, list[Json]] = {
    "50 blocks": [{"type": "divider"}] * 50,
    "longest section": [section("x" * 3000)],
    "rich text": [
        rich(
            {"type": "rich_text_section", "elements": [{"type": "text", "text": "a", "style": {"bold": True}}]},
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "code"}], "border": 0},
            {"type": "rich_text_quote", "elements": [{"type": "link", "url": "https://x.test", "text": "x"}]},
            {
                "type": "rich_text_list",
                "style": "bullet",
                "elements": [{"type": "rich_text_section", "elements": [{"type": "user", "user_id": "U0BOB"}]}],
            },
        )
    ],
    "confirm": [actions(button("b", "a", confirm=CONFIRM, style="danger", value="v" * 2000))],
    "selects": [
        section("s", accessory=select(initial_option=OPTION, placeholder=plain("pick"))),
        actions({"type": "users_select", "action_id": "u"}, {"type": "datepicker", "initial_date": "2030-01-01"}),
        {"type": "context", "elements": [plain("c"), {"type": "mrkdwn", "text": "m"}]},
    ],
    "longest markdown": [{"type": "markdown", "text": "m" * 12_000}],
}


def code_of(error: pytest.ExceptionInfo[SlackApiError]) -> str:
    return str(error.value.response["error"])


@pytest.mark.parametrize("name", BAD_BLOCKS)
async def test_invalid_blocks_are_refused_with_slacks_message(name: str, client: AsyncWebClient) -> None:
    blocks, words = BAD_BLOCKS[name]
    with pytest.raises(SlackApiError) as error:
        await client.chat_postMessage(channel="C0GENERAL", text="t", blocks=blocks)
    assert code_of(error) == "invalid_blocks"
    messages = error.value.response["response_metadata"]["messages"]
    assert any(words in message and message.startswith("[ERROR] ") for message in messages), messages


@pytest.mark.parametrize(
    ("payload", "code", "pointer"),
    [
        ({"blocks": [section("")]}, "invalid_blocks", "/0/text/text"),
        ({"message": {"blocks": [section("")]}}, "invalid_message", "/blocks/0/text/text"),
        ({"message": {"blocks": [section("x")], "text": "x"}}, "invalid_message", ""),
        ({"view": modal(section(""))}, "invalid_view", "/blocks/0/text/text"),
        ({"view": MODAL, "blocks": CARD}, "invalid_arguments", None),
        ({}, "invalid_arguments", None),
    ],
)
async def test_payloads_are_validated_without_a_post(
    slack: LocalSlack, session: aiohttp.ClientSession, payload: Json, code: str, pointer: str | None
) -> None:
    """`blocks.validate` needs no token, and takes exactly one payload."""
    client = AsyncWebClient(base_url=slack.api_url, session=session, retry_handlers=[])
    for good in ({"blocks": CARD}, {"message": {"blocks": CARD}}, {"view": MODAL}):
        await client.blocks_validate(**good)
    with pytest.raises(SlackApiError) as error:
        await client.blocks_validate(**payload)
    assert code_of(error) == code
    if pointer is not None:
        (told,) = error.value.response["errors"]
        assert (told["pointer"], told["code"]) == (pointer, "failed_constraint")


@pytest.mark.parametrize("name", GOOD_BLOCKS)
async def test_valid_blocks_pass_up_to_the_limit(name: str, client: AsyncWebClient) -> None:
    answer = await client.chat_postMessage(channel="C0GENERAL", text="t", blocks=GOOD_BLOCKS[name])
    assert [block["type"] for block in answer["message"]["blocks"]] == [b["type"] for b in GOOD_BLOCKS[name]]


async def test_blocks_have_a_total_size_limit(client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel="C0GENERAL", text="t", blocks=[section("x" * 2500)] * 5)
    with pytest.raises(SlackApiError) as error:
        await client.chat_postMessage(channel="C0GENERAL", text="t", blocks=[section("x" * 2700)] * 5)
    assert code_of(error) == "msg_blocks_too_long"
    with pytest.raises(SlackApiError) as error:
        await client.chat_postMessage(channel="C0GENERAL", text="t", blocks=[section("語" * 2300)])
    assert code_of(error) == "msg_blocks_too_long"


def home(*blocks: Json) -> Json:
    return {"type": "home", "blocks": list(blocks)}


NUMBER = {"type": "number_input", "action_id": "n", "is_decimal_allowed": False}
BAD_VIEWS: dict[str, tuple[Json, str]] = {
    "long title": (modal(title=plain("t" * 25)), "less than 25 characters [json-pointer:/view/title/text]"),
    "long submit": (modal(submit=plain("t" * 25)), "less than 25"),
    "long close": (modal(close=plain("t" * 25)), "less than 25"),
    "no title": ({"type": "modal", "blocks": []}, "missing required field: title"),
    "long private_metadata": (modal(private_metadata="p" * 3001), "less than 3001"),
    "long callback_id": (modal(callback_id="c" * 256), "less than 256"),
    "101 blocks": (modal(*[{"type": "divider"}] * 101), "no more than 100"),
    "same block_id": (modal(section("a", block_id="x"), section("b", block_id="x")), "already exists"),
    "input without submit": (
        {"type": "modal", "title": plain("t"), "blocks": [field("b", "l", TEXT)]},
        "missing required field: submit",
    ),
    "long initial value": (modal(field("b", "l", {**TEXT, "initial_value": "x" * 3001})), "less than 3001"),
    "long max_length": (modal(field("b", "l", {**TEXT, "max_length": 3001})), "at most 3000"),
    "button as input": (modal(field("b", "l", button("b", "a"))), "unsupported type: button"),
    "number without kind": (modal(field("b", "l", {"type": "number_input"})), "is_decimal_allowed"),
    "two in focus": (
        modal(*[field(f"b{n}", "l", {**TEXT, "focus_on_load": True}) for n in range(2)]),
        "focus_on_load",
    ),
    "markdown": (modal({"type": "markdown", "text": "m"}), "unsupported type: markdown"),
    "a Home": (home(), "unsupported type: home"),
    "unknown field": (modal(footer="f"), "invalid additional property: footer"),
}


@pytest.mark.parametrize("name", BAD_VIEWS)
async def test_invalid_views_are_refused_and_keep_the_trigger(
    name: str, slack: LocalSlack, client: AsyncWebClient
) -> None:
    view, words = BAD_VIEWS[name]
    trigger_id = slack.platform.triggers.issue("U0BOB")
    with pytest.raises(SlackApiError) as error:
        await client.views_open(trigger_id=trigger_id, view=view)
    assert code_of(error) == "invalid_arguments"
    assert any(words in message for message in error.value.response["response_metadata"]["messages"])
    await client.views_open(trigger_id=trigger_id, view=modal(field("n", "how many", NUMBER)))


async def test_home_with_a_title_or_unknown_user_is_refused(client: AsyncWebClient) -> None:
    for view, user, code in (
        ({**home(), "title": plain("t")}, "U0BOB", "invalid_arguments"),
        (home(), "U0NOBODY", "user_not_found"),
    ):
        with pytest.raises(SlackApiError) as error:
            await client.views_publish(user_id=user, view=view)
        assert code_of(error) == code
    assert (await client.views_publish(user_id="U0BOB", view=home()))["view"]["type"] == "home"


async def test_home_that_is_not_enabled_is_refused(session: aiohttp.ClientSession) -> None:
    async with LocalSlack(home_tab=False) as without:
        with pytest.raises(SlackApiError) as error:
            await client_of(without, session).views_publish(user_id="U0BOB", view=home())
        assert code_of(error) == "not_enabled"
        assert without.user("bob").home is None


async def test_home_with_an_outdated_hash_is_refused(client: AsyncWebClient) -> None:
    first = await client.views_publish(user_id="U0BOB", view=home())
    await client.views_publish(user_id="U0BOB", view=home(), hash=first["view"]["hash"])
    with pytest.raises(SlackApiError) as error:
        await client.views_publish(user_id="U0BOB", view=home(), hash=first["view"]["hash"])
    assert code_of(error) == "hash_conflict"


@pytest.mark.parametrize(
    ("blocks", "code"),
    [([section("x")] * 101, "invalid_arguments"), ([section("x" * 3000)] * 90, "view_too_large")],
)
async def test_home_has_room_for_100_blocks_and_250_kb(client: AsyncWebClient, blocks: list[Json], code: str) -> None:
    with pytest.raises(SlackApiError) as error:
        await client.views_publish(user_id="U0BOB", view={"type": "home", "blocks": blocks})
    assert code_of(error) == code


POSTED = {"channel": "C0GENERAL", "text": "hello"}
BAD_CALLS: dict[str, tuple[str, Json, str]] = {
    "unknown method": ("chat.shout", {}, "unknown_method"),
    "unknown channel": ("chat.postMessage", {**POSTED, "channel": "#nowhere"}, "channel_not_found"),
    "no channel": ("chat.postMessage", {"text": "x"}, "channel_not_found"),
    "not in the channel": ("chat.postMessage", {**POSTED, "channel": "#random"}, "not_in_channel"),
    "private by name": ("chat.postMessage", {**POSTED, "channel": "#secret"}, "channel_not_found"),
    "private by id": ("chat.postMessage", {**POSTED, "channel": "C0SECRET"}, "channel_not_found"),
    "archived": ("chat.postMessage", {**POSTED, "channel": "C0OLD"}, "is_archived"),
    "nothing to say": ("chat.postMessage", {"channel": "C0GENERAL", "text": "  "}, "no_text"),
    "blocks are no JSON": ("chat.postMessage", {**POSTED, "blocks": "[{"}, "invalid_blocks_format"),
    "blocks are no list": ("chat.postMessage", {**POSTED, "blocks": '{"a": 1}'}, "invalid_blocks_format"),
    "odd thread": ("chat.postMessage", {**POSTED, "thread_ts": "yesterday"}, "invalid_thread_ts"),
    "unknown thread": ("chat.postMessage", {**POSTED, "thread_ts": "1700000000.000001"}, "thread_not_found"),
    "metadata is no object": ("chat.postMessage", {**POSTED, "metadata": "[1]"}, "invalid_metadata_format"),
    "payload is no object": (
        "chat.postMessage",
        {**POSTED, "metadata": '{"event_type": "e", "event_payload": "text"}'},
        "invalid_metadata_format",
    ),
    "update of nothing": ("chat.update", {**POSTED, "ts": "1700000000.000001"}, "message_not_found"),
    "update with too much": ("chat.update", {**POSTED, "ts": "OURS", "text": "x" * 4001}, "msg_too_long"),
    "update by name": ("chat.update", {**POSTED, "channel": "#general", "ts": "1.1"}, "channel_not_found"),
    "update of alice's": ("chat.update", {**POSTED, "ts": "ALICES"}, "cant_update_message"),
    "deletion of alice's": ("chat.delete", {"channel": "C0GENERAL", "ts": "ALICES"}, "cant_delete_message"),
    "ephemeral for nobody": ("chat.postEphemeral", {**POSTED, "user": "U0X"}, "user_not_found"),
    "ephemeral for a stranger": ("chat.postEphemeral", {**POSTED, "user": "U0SAM"}, "user_not_in_channel"),
    "link to nothing": ("chat.getPermalink", {"channel": "C0GENERAL", "message_ts": "1.1"}, "message_not_found"),
    "unknown user": ("users.info", {"user": "U0X"}, "user_not_found"),
    "unknown group": ("usergroups.users.list", {"usergroup": "S0X"}, "no_such_subteam"),
    "history from outside": ("conversations.history", {"channel": "C0RANDOM"}, "not_in_channel"),
    "history by name": ("conversations.history", {"channel": "#general"}, "channel_not_found"),
    "odd cursor": ("conversations.history", {"channel": "C0GENERAL", "cursor": "?"}, "invalid_cursor"),
    "odd limit": ("conversations.history", {"channel": "C0GENERAL", "limit": 1000}, "invalid_limit"),
    "members of nothing": ("conversations.members", {"channel": "C0X"}, "channel_not_found"),
    "members of a private channel": ("conversations.members", {"channel": "C0SECRET"}, "channel_not_found"),
    "odd cursor of members": ("conversations.members", {"channel": "C0GENERAL", "cursor": "?"}, "invalid_cursor"),
    "too many members at once": ("conversations.members", {"channel": "C0GENERAL", "limit": 1000}, "invalid_limit"),
    "replies to nothing": ("conversations.replies", {"channel": "C0GENERAL", "ts": "1.1"}, "thread_not_found"),
    "talk to one who left": ("conversations.open", {"users": "U0DORA"}, "user_disabled"),
    "no view": ("views.update", {"view_id": "V9", "view": "{}"}, "not_found"),
    "no trigger": ("views.open", {"trigger_id": "1.2.3", "view": json.dumps(modal())}, "invalid_trigger_id"),
    "empty file": ("files.getUploadURLExternal", {"filename": "f", "length": 0}, "invalid_arguments"),
    "unknown file": ("files.info", {"file": "F9"}, "file_not_found"),
    "app token's method": ("apps.connections.open", {}, "not_allowed_token_type"),
}


@pytest.mark.parametrize("name", BAD_CALLS)
async def test_invalid_calls_get_slacks_error_code(name: str, slack: LocalSlack, client: AsyncWebClient) -> None:
    method, args, code = BAD_CALLS[name]
    slack.add_channel("secret", is_private=True)
    slack.add_channel("old", ("U0BOT", "bob"), is_archived=True)
    await slack.user("alice").say("mine", "#general")
    known = {"ALICES": slack.channel("#general").messages[0].ts}
    known["OURS"] = (await client.chat_postMessage(channel="C0GENERAL", text="ours"))["ts"]
    given = {key: known.get(str(value), value) for key, value in args.items()}
    with pytest.raises(SlackApiError) as error:
        await client.api_call(method, params=given)
    assert code_of(error) == code
    with pytest.raises(SlackApiError) as error:
        await client.api_call(method, json=given)
    assert code_of(error) == ("invalid_arguments" if method in READING else code)


@pytest.mark.parametrize("method", READING)
async def test_read_method_refuses_json(method: str, client: AsyncWebClient) -> None:
    """R35: else what works here would find nothing at the real Slack, whatever else was asked for."""
    with pytest.raises(SlackApiError) as error:
        await client.api_call(method, json={"channel": "C0GENERAL", "user": "U0BOB", "usergroup": "S0LEADS"})
    assert code_of(error) == "invalid_arguments"


@pytest.mark.parametrize(("token", "code"), [("xoxb-wrong", "invalid_auth"), ("", "not_authed")])
async def test_slack_tokens_are_checked(
    token: str, code: str, slack: LocalSlack, session: aiohttp.ClientSession
) -> None:
    client = client_of(slack, session)
    client.token = token
    with pytest.raises(SlackApiError) as error:
        await client.auth_test()
    assert code_of(error) == code
    assert (await client_of(slack, session).auth_test())["user_id"] == "U0BOT"


async def test_manifest_scopes_are_enforced(session: aiohttp.ClientSession) -> None:
    """Each answer tells the scopes of the token."""
    """Each answer tells the scopes of its token."""
    async with LocalSlack(scopes=frozenset({"chat:write"})) as slack:
        client = client_of(slack, session)
        fine = await client.chat_postMessage(channel="C0GENERAL", text="fine")
        with pytest.raises(SlackApiError) as error:
            await client.users_info(user="U0BOB")
    assert fine.headers["X-OAuth-Scopes"] == "chat:write"
    assert error.value.response["error"] == "missing_scope"
    assert error.value.response["needed"] == "users:read"


async def test_long_text_is_cut_as_slack_cuts_it(slack: LocalSlack, client: AsyncWebClient) -> None:
    await client.chat_postMessage(channel="C0GENERAL", text="x" * 50_000)
    assert len(slack.channel("#general").messages[0].text) == 40_000


@pytest.mark.parametrize(
    ("method", "calls"),
    [("usergroups.users.list", 20), ("chat.update", 50), ("users.info", 100), ("views.open", 100)],
)
async def test_calls_are_limited_per_method_and_minute(session: aiohttp.ClientSession, method: str, calls: int) -> None:
    """R35: by the tier of the method, also where a call is refused for what it asks."""
    now = [0.0]
    async with LocalSlack(clock=lambda: now[0]) as slack:
        client = client_of(slack, session)

        async def status() -> tuple[int, str | None]:
            with pytest.raises(SlackApiError) as error:
                await client.api_call(method, params={"user": "U0NOBODY"})
            return error.value.response.status_code, error.value.response.headers.get("Retry-After")

        for number in range(calls):
            now[0] = number / 10
            assert await status() == (200, None)
        now[0] = 20.5
        assert await status() == (429, "40")
        await client.auth_test()
        now[0] = 60.0
        assert await status() == (200, None)
        assert await status() == (429, "1")


async def test_posts_are_limited_per_channel_and_workspace(
    session: aiohttp.ClientSession,
) -> None:
    """R35"""
    now = [0.0]
    async with LocalSlack(clock=lambda: now[0]) as slack:
        client = client_of(slack, session)
        for _ in range(5):
            await client.chat_postMessage(channel="C0GENERAL", text="a short burst")
        await client.chat_postMessage(channel="C0APPROVALS", text="another channel")

        async def refused(channel: str) -> str:
            with pytest.raises(SlackApiError) as error:
                await client.chat_postMessage(channel=channel, text="too much")
            assert (error.value.response.status_code, code_of(error)) == (429, "ratelimited")
            return str(error.value.response.headers["Retry-After"])

        assert await refused("C0GENERAL") == "5"
        now[0] = 5.0
        await client.chat_postMessage(channel="C0GENERAL", text="two", blocks=CARD)
        rooms = [slack.add_channel(f"room{number}", ("U0BOT",)).id for number in range(12)]
        while sum(call.status == 200 for call in slack.calls) < 600:
            now[0] += 0.09
            await client.chat_postMessage(channel=rooms[len(slack.calls) % 12], text="all over the workspace")
        assert now[0] < 60 and await refused("C0RANDOM") == str(math.ceil(60 - now[0]))


async def test_rate_of_a_method_can_be_replaced(session: aiohttp.ClientSession) -> None:
    now = [0.0]
    async with LocalSlack(rates={"auth.*": 0.5, "users.*": 1e6}, clock=lambda: now[0]) as slack:
        client = client_of(slack, session)
        await client.auth_test()
        for _ in range(101):
            await client.users_info(user="U0BOB")
        with pytest.raises(SlackApiError) as error:
            await client.auth_test()
        assert error.value.response.headers["Retry-After"] == "2"
        now[0] += 2
        await client.auth_test()
