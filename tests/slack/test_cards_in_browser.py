"""Cards on a phone: which controls stand in one row, and how high a settled card is."""

from itertools import pairwise

import pytest
from playwright.async_api import FloatRect, Locator, expect
from slack_sdk.web.async_client import AsyncWebClient

from localslack import LocalSlack
from tests.browser import PHONE, OpenPage
from tests.slack.sample_views import DRAWINGS

THUMB = 44
"""Pixels; the least that a thumb hits (WCAG 2.5.5)."""


async def boxes(controls: Locator) -> list[FloatRect]:
    """Left, top, width and height of each."""
    found = [await control.bounding_box() for control in await controls.all()]
    return [box for box in found if box is not None]


async def shown(slack: LocalSlack, open_page: OpenPage, name: str) -> Locator:
    """The sample as a message on a phone."""
    client, drawing = AsyncWebClient(slack.bot_token, base_url=slack.api_url), DRAWINGS[name]
    await client.chat_postMessage(channel="C0GENERAL", text=drawing.text, blocks=drawing.blocks)
    page = await open_page(f"{slack.url}?user=U0BOB&channel=C0GENERAL", phone=True)
    message = page.get_by_test_id("message").last
    await expect(message.locator(".block").last).to_be_visible()
    return message


@pytest.mark.parametrize(
    ("name", "rows"),
    [*((f"card_{kind}", 1) for kind in ("mail", "tool", "code", "high_risk", "turn", "in_doubt")), ("burst", 6)],
)
async def test_card_buttons_stand_in_one_row_on_a_phone(
    slack: LocalSlack, open_page: OpenPage, name: str, rows: int
) -> None:
    """Three of them, each as high as a thumb, none beside the screen; of a batch those of each row."""
    message = await shown(slack, open_page, name)
    groups = await message.locator(".actions").all()
    assert len(groups) == rows
    for group in groups:
        controls = await boxes(group.get_by_role("button"))
        assert len(controls) == 3 or (name == "burst" and group == groups[-1])
        assert len({(box["y"], box["height"]) for box in controls}) == 1
        assert all(before["x"] + before["width"] < after["x"] for before, after in pairwise(controls))
        assert controls[-1]["x"] + controls[-1]["width"] <= PHONE["width"]
        assert min(box["height"] for box in controls) >= THUMB


@pytest.mark.parametrize("name", ["card_tool_done", "card_mail_sent", "burst_settled"])
async def test_details_button_stands_beside_the_decision(slack: LocalSlack, open_page: OpenPage, name: str) -> None:
    """The button takes no row of its own."""
    message = await shown(slack, open_page, name)
    for section in await message.locator(".section:has(.accessory)").all():
        (words,), (details,) = await boxes(section.locator(".section-main")), await boxes(section.get_by_role("button"))
        assert words["x"] + words["width"] < details["x"]
        assert details["x"] + details["width"] <= PHONE["width"]
        assert details["y"] < words["y"] + words["height"]
        assert details["height"] >= THUMB
