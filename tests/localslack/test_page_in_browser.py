"""The page over a real Slack's odd moments: silence of the app, a cut line, every kind of input at once."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import expect
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from localslack import Command, LocalSlack
from localslack.fixtures import UNHURRIED
from tests.browser import OpenPage
from tests.localslack.slack_cases import Connect, Json, field, modal, plain, section

OPTIONS = [{"text": plain(name.capitalize()), "value": name} for name in ("email", "code", "search")]


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack(commands=(Command("/agent", "Start a task", "<team> <task>"),), **UNHURRIED) as running:
        yield running


async def test_unanswered_command_says_so_until_dismissed(slack: LocalSlack, open_page: OpenPage) -> None:
    """Once dismissed, the error stays away after a reload."""
    page = await open_page(slack.url)
    await page.get_by_test_id("composer").fill("/agent email hello")
    await page.keyboard.press("Enter")
    toast = page.get_by_test_id("toast")
    await expect(toast).to_contain_text("/agent")
    await toast.get_by_role("button", name="Dismiss").click()
    await expect(toast).to_have_count(0)
    await page.reload()
    await expect(page.get_by_test_id("composer")).to_be_visible()
    await expect(toast).to_have_count(0)


async def test_every_input_type_gives_slacks_format(
    slack: LocalSlack, client: AsyncWebClient, bolt: AsyncApp, connect: Connect, open_page: OpenPage
) -> None:
    """In a real browser."""
    kinds: dict[str, Json] = {
        "number_input": {"is_decimal_allowed": False, "min_value": "1"},
        "email_text_input": {},
        "url_text_input": {},
        "datepicker": {},
        "timepicker": {},
        "radio_buttons": {"options": OPTIONS},
        "multi_static_select": {"option_groups": [{"label": plain("Teams"), "options": OPTIONS}]},
        "users_select": {"initial_user": "U0CAROL"},
        "conversations_select": {},
        "channels_select": {},
        "multi_conversations_select": {},
    }
    view = modal(*(field(k, k, {"type": k, "action_id": "it", **more}) for k, more in kinds.items()), callback_id="all")
    taken: list[Json] = []

    @bolt.action("menu")
    async def opened(ack: Any, body: Json) -> None:
        await ack()
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    @bolt.view("all")
    async def submitted(ack: Any, view: Json) -> None:
        taken.append({name: value["it"] for name, value in view["state"]["values"].items()})
        await ack()

    await connect(bolt)
    menu = {"type": "overflow", "action_id": "menu", "options": OPTIONS[:2]}
    await client.chat_postMessage(channel="C0GENERAL", text="choose", blocks=[section("choose", accessory=menu)])
    page = await open_page(slack.url)
    await page.get_by_role("button", name="More actions").click()
    await page.get_by_role("menuitem", name="Code").click()
    dialog = page.get_by_test_id("modal")
    texts = {"email_text_input": "a@b.example", "url_text_input": "https://a.example", "number_input": "0"}
    for kind, text in texts.items():
        await dialog.locator(f'input[data-block-id="{kind}"]').fill(text)
    await dialog.locator('input[data-block-id="datepicker"]').fill("2030-01-31")
    await dialog.locator('input[data-block-id="timepicker"]').fill("13:45")
    await dialog.get_by_label("Search").check()
    choices = {
        "multi_static_select": ["Email", "Code"],
        "conversations_select": ["#approvals"],
        "channels_select": ["#general"],
        "multi_conversations_select": ["#general"],
    }
    for kind, names in choices.items():
        combobox = dialog.locator(f'input[data-block-id="{kind}"]')
        await combobox.click()
        for name in names:
            await page.get_by_role("option", name=name).click()
        if kind.startswith("multi"):
            await combobox.press("Escape")  # closes the list, not the modal
    await dialog.get_by_test_id("modal-submit").click()
    number = dialog.locator('[data-block-id="number_input"]')
    await expect(number.get_by_test_id("input-error")).to_contain_text("at least 1")
    await number.locator("input").fill("3")
    await dialog.get_by_test_id("modal-submit").click()
    await expect(dialog).to_have_count(0)
    [values] = taken
    assert values == {
        "number_input": {"type": "number_input", "value": "3"},
        "email_text_input": {"type": "email_text_input", "value": "a@b.example"},
        "url_text_input": {"type": "url_text_input", "value": "https://a.example"},
        "datepicker": {"type": "datepicker", "selected_date": "2030-01-31"},
        "timepicker": {"type": "timepicker", "selected_time": "13:45"},
        "radio_buttons": {"type": "radio_buttons", "selected_option": OPTIONS[2]},
        "multi_static_select": {"type": "multi_static_select", "selected_options": OPTIONS[:2]},
        "users_select": {"type": "users_select", "selected_user": "U0CAROL"},
        "conversations_select": {"type": "conversations_select", "selected_conversation": "C0APPROVALS"},
        "channels_select": {"type": "channels_select", "selected_channel": "C0GENERAL"},
        "multi_conversations_select": {
            "type": "multi_conversations_select",
            "selected_conversations": ["C0GENERAL"],
        },
    }
    assert slack.deliveries[0][1]["actions"][0]["selected_option"] == OPTIONS[1]
    assert slack.problems == []


async def test_cut_connection_recovers_and_keeps_the_readers_place(slack: LocalSlack, open_page: OpenPage) -> None:
    """New messages wait behind a button."""
    for number in range(30):
        await slack.user("bob").say(f"message {number}", channel="#general")
    page = await open_page(slack.url)
    first = page.get_by_test_id("message").first
    await expect(page.get_by_text("message 29")).to_be_in_viewport()
    await first.scroll_into_view_if_needed()
    await slack.server.page.stop()
    await slack.user("carol").say("after the cut", channel="#general")
    await expect(page.get_by_text("after the cut")).to_be_attached()
    await expect(first).to_be_in_viewport()
    await page.get_by_role("button", name="New messages").click()
    await expect(page.get_by_text("after the cut")).to_be_in_viewport()


async def test_emoji_have_colours_without_an_emoji_font(slack: LocalSlack, open_page: OpenPage) -> None:
    """Each of the table, drawn in a colour that no emoji has: what a font for text draws has only that."""
    page = await open_page(slack.url)
    plain = await page.evaluate(
        """async () => {
          const table = await (await fetch("/static/emoji.js")).text();
          const all = table.match(/`([^`]*)`/)[1].trim().split(/[|\\n]/).map((entry) => entry.split(" ")[1]);
          await document.fonts.load('24px "localslack emoji"', all.join(""));
          const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
          const coloured = (text) => {
            context.clearRect(0, 0, 60, 40);
            context.font = '24px "localslack emoji"';
            context.fillStyle = "#ff00ff";
            context.fillText(text, 2, 30);
            const { data } = context.getImageData(0, 0, 60, 40);
            return data.some((value, at) => at % 4 === 1 && data[at + 2] > 200 && value > 20);
          };
          return all.filter((text) => !coloured(text));
        }"""
    )
    assert plain == []
