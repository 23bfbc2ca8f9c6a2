"""The page as people use it: a real browser, the real local Slack, a real Bolt app."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest
from playwright.async_api import Page, expect
from slack_bolt.app.async_app import AsyncApp
from slack_cases import Connect, Json, actions, button, field, modal, plain, section
from slack_sdk.web.async_client import AsyncWebClient

from localslack import Command, LocalSlack

if TYPE_CHECKING:
    from tests.browser import Open  # at run time the plugin brings it, with its assertions explained

pytest_plugins = ["tests.browser"]

EVIL = "<img src=x onerror=\"document.title='owned'\"> <script>document.title='owned'</script>"
OPTIONS = [{"text": plain(name.capitalize()), "value": name} for name in ("email", "code", "search")]
FORM = modal(
    field("team", "Team", {"type": "static_select", "action_id": "pick", "options": OPTIONS}),
    field("task", "Task", {"type": "plain_text_input", "action_id": "text", "multiline": True}),
    field("people", "Reviewers", {"type": "multi_users_select", "action_id": "users"}, optional=True),
    field("how", "How", {"type": "checkboxes", "action_id": "boxes", "options": OPTIONS[:2]}, optional=True),
    callback_id="form",
)
CONFIRM = {
    "title": plain("Are you sure?"),
    "text": plain("It is sent at once."),
    "confirm": plain("Send"),
    "deny": plain("No"),
}


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack(commands=(Command("/agent", "Start a task", "<team> <task>"),)) as running:
        yield running


def at(slack: LocalSlack, user: str, channel: str = "C0GENERAL", **more: str) -> str:
    rest = "".join(f"&{name}={value}" for name, value in more.items())
    return f"{slack.url}/?user={user}&channel={channel}{rest}"


async def write(page: Page, text: str, where: str = "composer") -> None:
    composer = page.get_by_test_id(where)
    await composer.fill(text)
    await composer.press("Enter")


async def post(client: AsyncWebClient, text: str, blocks: list[Json] | None = None, **more: Any) -> str:
    channel = more.pop("channel", "C0GENERAL")
    answer = await client.chat_postMessage(channel=channel, text=text, blocks=blocks, **more)
    return str(answer["ts"])


async def test_what_people_and_apps_write_is_shown_as_words_and_never_runs(
    slack: LocalSlack, client: AsyncWebClient, open_page: Open
) -> None:
    """R15: text is data, for the page too."""
    page = await open_page(at(slack, "U0ALICE"))
    composer = page.get_by_test_id("composer")
    await composer.fill(EVIL)
    await composer.press("Shift+Enter")
    await composer.press_sequentially("second line")
    await composer.press("Enter")
    message = page.get_by_test_id("message").last
    await expect(message).to_contain_text(EVIL)
    await expect(message).to_contain_text("second line")
    await expect(composer).to_have_value("")
    assert "\nsecond line" in slack.channel("#general").messages[-1].text

    escaped = EVIL.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    blocks: list[Json] = [
        {"type": "header", "text": plain("<b>head</b>")},
        section(f"*bold* _it_ `a<b` {escaped} <javascript:alert(1)|no link> <https://example.com/?a=1&amp;b=2|a link>"),
        {"type": "rich_text", "elements": [
            {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": f"*raw* <@U0BOB> {EVIL}"}]},
        ]},
    ]  # fmt: skip
    ts = await post(client, "x", blocks)
    card = page.locator(f'[data-ts="{ts}"]').get_by_test_id("message-body")
    await expect(card).to_contain_text("<b>head</b>")
    await expect(card).to_contain_text(f"*raw* <@U0BOB> {EVIL}")
    await expect(card.locator("strong")).to_have_text("bold")
    await expect(card.get_by_role("link")).to_have_count(1)
    await expect(card.get_by_role("link")).to_have_attribute("href", "https://example.com/?a=1&b=2")
    assert await page.locator(".messages img, .messages script").count() == 0
    assert await page.title() != "owned"


async def test_a_slash_command_is_offered_sent_and_answered_to_me_alone(
    slack: LocalSlack, bolt: AsyncApp, connect: Connect, open_page: Open
) -> None:
    @bolt.command("/agent")
    async def agent(ack: Any, body: Json) -> None:
        await ack(f"Started: {body['text']}")

    await connect(bolt)
    page = await open_page(at(slack, "U0ALICE"))
    composer = page.get_by_test_id("composer")
    await composer.press_sequentially("/ag")
    await expect(page.get_by_role("option", name="/agent")).to_contain_text("<team> <task>")
    await composer.press("Tab")
    await expect(composer).to_have_value("/agent ")
    await composer.press_sequentially("email ask for 10%")
    await composer.press("Enter")
    answer = page.get_by_test_id("message").filter(has_text="Started: email ask for 10%")
    await expect(answer).to_contain_text("Only visible to you")
    await page.get_by_test_id("user-switcher").select_option("U0BOB")
    await expect(page.get_by_test_id("user-switcher")).to_have_value("U0BOB")
    await expect(answer).to_have_count(0)


async def test_a_command_that_nobody_answers_says_so_until_it_is_dismissed(slack: LocalSlack, open_page: Open) -> None:
    page = await open_page(at(slack, "U0ALICE"))
    await write(page, "/agent email hello")
    toast = page.get_by_test_id("toast")
    await expect(toast).to_contain_text("/agent")
    await toast.get_by_role("button", name="Dismiss").click()
    await expect(toast).to_have_count(0)
    await page.reload()
    await expect(page.get_by_test_id("composer")).to_be_visible()
    await expect(toast).to_have_count(0)


async def test_a_button_asks_before_it_counts_and_the_card_settles_for_everybody(
    slack: LocalSlack, client: AsyncWebClient, bolt: AsyncApp, connect: Connect, open_page: Open
) -> None:
    @bolt.action("approve")
    async def approve(ack: Any, body: Json) -> None:
        text = f"Approved by <@{body['user']['id']}>"
        await client.chat_update(
            channel=body["channel"]["id"], ts=body["message"]["ts"], text=text, blocks=[section(text)]
        )
        await ack()

    await connect(bolt)
    approve_button = button("Approve", "approve", value="r-1", style="primary", confirm=CONFIRM)
    ts = await post(client, "may I?", [section("may I?"), actions(approve_button)], channel="C0APPROVALS")
    page = await open_page(at(slack, "U0BOB", "C0APPROVALS"))
    card = page.locator(f'[data-ts="{ts}"]')
    pressed = card.get_by_role("button", name="Approve")
    confirm = page.get_by_test_id("confirm")
    await pressed.press("Enter")
    await expect(confirm).to_contain_text("It is sent at once.")
    await page.keyboard.press("Escape")
    await expect(confirm).to_have_count(0)
    await expect(pressed).to_be_focused()
    assert slack.deliveries == []
    await pressed.click()
    await page.get_by_test_id("confirm-yes").click()
    await expect(card).to_contain_text("Approved by @Bob")
    await expect(pressed).to_have_count(0)
    assert slack.deliveries[-1][1]["actions"][0]["value"] == "r-1"


async def test_a_modal_keeps_what_was_typed_through_errors_and_news(
    slack: LocalSlack, bolt: AsyncApp, connect: Connect, open_page: Open
) -> None:
    taken: list[Json] = []

    @bolt.command("/agent")
    async def agent(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=FORM)

    @bolt.view("form")
    async def submitted(ack: Any, view: Json) -> None:
        values = view["state"]["values"]
        if values["task"]["text"]["value"] == "short":
            await ack(response_action="errors", errors={"task": "Say more than that."})
        else:
            taken.append(values)
            await ack()

    await connect(bolt)
    page = await open_page(at(slack, "U0ALICE"))
    await write(page, "/agent")
    dialog = page.get_by_test_id("modal")
    errors = dialog.get_by_test_id("input-error").filter(visible=True)
    submit = dialog.get_by_test_id("modal-submit")
    await expect(dialog).to_contain_text("Why?")
    await submit.click()
    await expect(errors).to_have_text(["Please complete this required field."] * 2)
    await dialog.locator('[data-block-id="team"] [role=combobox]').click()
    await page.get_by_role("option", name="Email").click()
    people = dialog.locator('[data-block-id="people"] [role=combobox]')
    await people.press_sequentially("bo")
    await people.press("Enter")
    await people.press("Escape")
    await dialog.get_by_label("Code").check()
    task = dialog.get_by_role("textbox", name="Task")
    await task.fill("sho")
    await slack.user("bob").say("news while alice types", channel="#general")
    await expect(page.get_by_text("news while alice types")).to_be_attached()
    await expect(task).to_be_focused()
    await page.keyboard.type("rt")
    await submit.click()
    await expect(errors).to_have_text(["Say more than that."])
    await expect(task).to_have_value("short")
    await task.fill("ask the vendor for 10% off")
    await submit.click()
    await expect(dialog).to_have_count(0)
    [values] = taken
    assert values["team"]["pick"]["selected_option"]["value"] == "email"
    assert values["task"]["text"] == {"type": "plain_text_input", "value": "ask the vendor for 10% off"}
    assert values["people"]["users"]["selected_users"] == ["U0BOB"]
    assert [option["value"] for option in values["how"]["boxes"]["selected_options"]] == ["code"]
    assert slack.problems == []


async def test_a_thread_opens_beside_the_channel_and_takes_replies(
    slack: LocalSlack, client: AsyncWebClient, open_page: Open
) -> None:
    ts = await post(client, "the parent")
    await post(client, "the first reply", thread_ts=ts)
    page = await open_page(at(slack, "U0ALICE"))
    await page.locator(f'[data-ts="{ts}"]').get_by_test_id("reply-link").click()
    thread = page.get_by_test_id("thread")
    await expect(thread.get_by_test_id("message")).to_have_count(2)
    await expect(page.get_by_test_id("thread-composer")).to_be_focused()
    await write(page, "the second reply", "thread-composer")
    await expect(thread.get_by_test_id("message")).to_have_count(3)
    await expect(page.get_by_test_id("messages").get_by_test_id("reply-link")).to_contain_text("2 replies")
    await page.keyboard.press("Escape")
    await expect(thread).to_be_hidden()
    await page.go_back()
    await expect(thread).to_contain_text("the second reply")


async def test_unread_channels_are_marked_until_somebody_looks(slack: LocalSlack, open_page: Open) -> None:
    page = await open_page(at(slack, "U0BOB"))
    entry = page.locator('[data-channel-id="C0APPROVALS"]')
    await expect(entry).to_be_visible()
    await page.get_by_test_id("composer").fill("half a thought")
    await slack.user("carol").say("look here", channel="#approvals")
    await expect(entry.get_by_test_id("unread")).to_have_text("1")
    await entry.click()
    await expect(page.get_by_test_id("messages")).to_contain_text("look here")
    await expect(entry.get_by_test_id("unread")).to_have_count(0)
    await expect(page.get_by_test_id("composer")).to_have_value("")
    await page.locator('[data-channel-id="C0GENERAL"]').click()
    await expect(page.get_by_test_id("composer")).to_have_value("half a thought")


async def test_a_link_to_a_message_opens_it_and_a_cut_line_mends_itself(
    slack: LocalSlack, client: AsyncWebClient, open_page: Open
) -> None:
    first = await post(client, "the one that is meant")
    for number in range(30):
        await post(client, f"filler {number}")
    link = (await client.chat_getPermalink(channel="C0GENERAL", message_ts=first))["permalink"]
    await post(client, f"see <{link}|that one>", channel="C0APPROVALS")
    page = await open_page(at(slack, "U0BOB", "C0APPROVALS"))
    await page.get_by_role("link", name="that one").click()
    await expect(page.get_by_test_id("place-name")).to_have_text("general")
    await expect(page.locator(f'[data-ts="{first}"]')).to_be_in_viewport()
    await slack.server.page.stop()
    await slack.user("carol").say("after the cut", channel="#general")
    await expect(page.get_by_text("after the cut")).to_be_attached()
    await expect(page.locator(f'[data-ts="{first}"]')).to_be_in_viewport()


async def test_home_shows_what_the_app_published(
    slack: LocalSlack, bolt: AsyncApp, connect: Connect, open_page: Open
) -> None:
    @bolt.event("app_home_opened")
    async def home(event: Json, client: AsyncWebClient) -> None:
        blocks = [section("*2* requests wait"), actions(button("Refresh", "refresh", value="now"))]
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})

    @bolt.action("refresh")
    async def refresh(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        await client.views_publish(
            user_id=body["user"]["id"], view={"type": "home", "blocks": [section("nothing waits")]}
        )

    await connect(bolt)
    page = await open_page(at(slack, "U0BOB"))
    await page.get_by_test_id("home-entry").click()
    shown = page.get_by_test_id("home")
    await expect(shown).to_contain_text("2 requests wait")
    await shown.get_by_role("button", name="Refresh").click()
    await expect(shown).to_contain_text("nothing waits")


async def test_on_a_phone_everything_fits_and_can_be_hit_with_a_thumb(
    slack: LocalSlack, client: AsyncWebClient, bolt: AsyncApp, connect: Connect, open_page: Open
) -> None:
    @bolt.action("reject")
    async def reject(ack: Any, body: Json) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=FORM)

    await connect(bolt)
    decide = actions(button("Approve", "approve", style="primary"), button("Reject", "reject", style="danger"))
    ts = await post(client, "may I?", [section("x" * 300), decide], channel="C0APPROVALS")
    await post(client, "details", channel="C0APPROVALS", thread_ts=ts)
    page = await open_page(at(slack, "U0BOB"), width=390, height=844)
    entry = page.locator('[data-channel-id="C0APPROVALS"]')
    await expect(page.get_by_test_id("composer")).to_be_visible()
    await expect(entry).not_to_be_in_viewport()
    await page.get_by_test_id("drawer-open").tap()
    await entry.tap()
    card = page.locator(f'.channel-view [data-ts="{ts}"]')
    await expect(card.get_by_role("button", name="Approve")).to_be_visible()
    for name in ("Approve", "Reject"):
        box = await card.get_by_role("button", name=name).bounding_box()
        assert box is not None and box["height"] >= 44 and box["x"] + box["width"] <= 390
    await card.get_by_role("button", name="Reject").tap()
    dialog = page.get_by_test_id("modal")
    await expect(dialog).to_be_visible()
    assert await dialog.bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    await dialog.get_by_test_id("modal-close").tap()
    await expect(dialog).to_have_count(0)
    await card.get_by_test_id("reply-link").tap()
    thread = page.get_by_test_id("thread")
    await expect(thread).to_contain_text("details")
    assert await thread.bounding_box() == {"x": 0, "y": 0, "width": 390, "height": 844}
    await page.get_by_test_id("thread-close").tap()
    await expect(card).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth") <= 390


async def test_an_unknown_person_or_channel_in_the_address_leads_to_what_is_there(
    slack: LocalSlack, open_page: Open
) -> None:
    page = await open_page(f"{slack.url}/?user=U0NOBODY&channel=C0GENERAL")
    await expect(page.get_by_test_id("user-switcher")).to_have_value("U0ALICE")
    await expect(page.get_by_test_id("place-name")).to_have_text("general")
    await page.goto(f"{slack.url}/?channel=C0NOWHERE")
    await expect(page.get_by_test_id("toast")).to_contain_text("not here")
    await expect(page.get_by_test_id("place-name")).to_have_text("general")
