"""The page as people use it, in a real browser, with a small Bolt app behind it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from localslack import Command, LocalSlack
from localslack.fixtures import UNHURRIED
from tests.browser import OpenPage
from tests.localslack.slack_cases import APPROVE, TEXT, Connect, Json, actions, button, field, modal, plain, section

EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\'"&amp;'
LONG = "https://example.com/" + "very" * 60
CONFIRM = {
    "title": plain("Sure?"),
    "text": plain("It cannot be undone."),
    "confirm": plain("Do it"),
    "deny": plain("Not yet"),
    "style": "danger",
}
REJECT = button("Reject", "reject", value="r-1", style="danger", confirm=CONFIRM)
CARD = [section("*May I?*"), actions(APPROVE, REJECT, block_id="decide")]
REASON = modal(field("why", "Reason", {**TEXT, "multiline": True}, hint=plain("The agents read it.")))
THINGS = {"options": [{"text": plain(word), "value": word.lower()} for word in ("Red", "Green", "Blue")]}


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    commands = (Command("/agent", "Start a task", "<team> <task>"), Command("/approvals", "Settings"))
    async with LocalSlack(commands=commands, **UNHURRIED) as running:
        yield running


@pytest.fixture
async def app(bolt: AsyncApp, connect: Connect) -> AsyncApp:
    """Approve opens a modal that refuses "no", Reject settles the card, /agent answers, Home says hello."""

    @bolt.action("approve")
    async def approve(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await client.views_open(trigger_id=body["trigger_id"], view=REASON)
        await ack()

    @bolt.action("reject")
    async def reject(ack: Any, body: Json, client: AsyncWebClient) -> None:
        where = {"channel": body["channel"]["id"], "ts": body["message"]["ts"]}
        await client.chat_update(**where, text="settled", blocks=[section(f"Rejected by <@{body['user']['id']}>")])
        await ack()

    @bolt.view("reason")
    async def submitted(ack: Any, view: Json) -> None:
        if view["state"]["values"]["why"]["text"]["value"] == "no":
            await ack(response_action="errors", errors={"why": "Say more than no."})
        else:
            await ack()

    @bolt.command("/agent")
    async def agent(ack: Any, body: Json) -> None:
        await ack(f"On it: {body['text']}")

    @bolt.event("app_home_opened")
    async def home(event: Json, client: AsyncWebClient) -> None:
        blocks = [section("Hello <@" + event["user"] + ">"), actions(button("Start", "start", value="s"))]
        await client.views_publish(user_id=event["user"], view={"type": "home", "blocks": blocks})

    @bolt.action({"action_id": "start"})
    @bolt.action({"action_id": "colour"})
    @bolt.action({"action_id": "more"})
    @bolt.action({"action_id": "ticks"})
    async def taken(ack: Any) -> None:
        await ack()

    await connect(bolt)
    return bolt


def at(slack: LocalSlack, user: str = "U0ALICE", channel: str = "C0GENERAL", more: str = "") -> str:
    return f"{slack.url}/?user={user}&channel={channel}{more}"


def message(page: Page, words: str) -> Locator:
    return page.locator("#messages").get_by_test_id("message").filter(has_text=words)


async def post(
    client: AsyncWebClient, blocks: list[Json] | None = None, channel: str = "C0GENERAL", **more: Any
) -> str:
    posted = await client.chat_postMessage(**{"text": "a card", "channel": channel, "blocks": blocks, **more})
    return str(posted["ts"])


async def test_message_is_sent_with_enter(slack: LocalSlack, open_page: OpenPage) -> None:
    page = await open_page(at(slack))
    composer = page.get_by_test_id("composer")
    await composer.fill("first line")
    await composer.press("Shift+Enter")
    await composer.press_sequentially("second *bold* line")
    await composer.press("Enter")
    await expect(message(page, "second bold line").locator("strong")).to_have_text("bold")
    await expect(composer).to_have_value("")
    said = await slack.wait_message("#general")
    assert (said.user, said.text) == ("U0ALICE", "first line\nsecond *bold* line")


async def test_slash_command_is_suggested_and_answered_privately(
    slack: LocalSlack, app: AsyncApp, open_page: OpenPage
) -> None:
    """An unknown one is refused and stays in the composer."""
    page = await open_page(at(slack))
    composer = page.get_by_test_id("composer")
    await composer.press_sequentially("/")
    offers = page.get_by_test_id("composer-offers").get_by_role("option")
    await expect(offers).to_have_count(2)
    await composer.press_sequentially("ag")
    await expect(offers).to_contain_text(["Start a task"])
    await composer.press("Tab")
    await expect(composer).to_have_value("/agent ")
    await composer.press_sequentially("email hello @bo")
    await expect(offers).to_contain_text(["Bob Brown"])
    await composer.press("Enter")
    await composer.press("Enter")
    answer = message(page, "On it: email hello @Bob Brown")
    await expect(answer).to_contain_text("Only visible to you")
    await composer.fill("/nonsense now")
    await composer.press("Enter")
    await expect(page.get_by_test_id("toast")).to_contain_text("/nonsense is not a valid command.")
    await expect(composer).to_have_value("/nonsense now")


async def test_button_with_confirm_asks_first(
    slack: LocalSlack, app: AsyncApp, client: AsyncWebClient, open_page: OpenPage
) -> None:
    await post(client, CARD)
    page = await open_page(at(slack))
    reject = page.get_by_role("button", name="Reject")
    await reject.click()
    confirm = page.get_by_test_id("confirm")
    await expect(confirm).to_contain_text("It cannot be undone.")
    await confirm.get_by_text("Not yet").click()
    await expect(confirm).to_have_count(0)
    await expect(reject).to_be_focused()
    await reject.click()
    assert not [kind for kind, _ in slack.deliveries if kind == "interactive"]
    await confirm.get_by_text("Do it").click()
    await expect(message(page, "Rejected by @Alice Adams")).to_be_visible()
    await expect(page.get_by_test_id("button")).to_have_count(0)


async def test_modal_shows_errors_and_accepts_corrections(
    slack: LocalSlack, app: AsyncApp, client: AsyncWebClient, open_page: OpenPage
) -> None:
    await post(client, CARD)
    page = await open_page(at(slack))
    await page.get_by_role("button", name="Approve").click()
    dialog = page.get_by_role("dialog", name="Why?")
    why, send, error = dialog.get_by_label("Reason"), dialog.get_by_text("Send"), dialog.get_by_test_id("input-error")
    await expect(why).to_be_focused()
    await send.click()
    await expect(error).to_have_text("Please complete this required field.")
    await why.fill("no")
    await send.click()
    await expect(error).to_have_text("Say more than no.")
    await expect(why).to_have_attribute("aria-invalid", "true")
    await expect(why).to_have_value("no")
    await why.fill("yes\nindeed")
    await why.press("Control+Enter")
    await expect(dialog).to_have_count(0)
    sent = [payload for _, payload in slack.deliveries if payload["type"] == "view_submission"]
    assert [s["view"]["state"]["values"]["why"]["text"]["value"] for s in sent] == ["no", "yes\nindeed"]
    assert slack.problems == []


async def test_escape_closes_a_modal_and_restores_the_focus(
    slack: LocalSlack, app: AsyncApp, client: AsyncWebClient, open_page: OpenPage
) -> None:
    await post(client, CARD)
    page = await open_page(at(slack))
    approve = page.get_by_role("button", name="Approve")
    await approve.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("modal")).to_be_visible()
    for _ in range(6):
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.closest('[data-testid=modal]') !== null")
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("modal")).to_have_count(0)
    await expect(approve).to_be_focused()
    assert slack.user("alice").modal is None


async def test_thread_opens_beside_its_channel(slack: LocalSlack, client: AsyncWebClient, open_page: OpenPage) -> None:
    ts = await post(client, CARD)
    await client.files_upload_v2(channel="C0GENERAL", content="all\nof it", filename="all.txt", thread_ts=ts)
    page = await open_page(at(slack))
    await message(page, "May I?").get_by_test_id("reply-link").click()
    thread = page.get_by_test_id("thread")
    await expect(thread.get_by_test_id("message")).to_have_count(2)
    await thread.get_by_text("Preview").click()
    await expect(thread.locator(".file-preview pre")).to_have_text("all\nof it")
    await thread.get_by_test_id("thread-composer").fill("I read it")
    await thread.get_by_test_id("thread-composer-send").click()
    await expect(thread).to_contain_text("2 replies")
    await expect(message(page, "May I?")).to_contain_text("2 replies")
    await expect(message(page, "I read it")).to_have_count(0)
    await page.reload()
    await expect(thread).to_contain_text("I read it")
    await thread.get_by_test_id("thread-composer").press("Escape")
    await expect(thread).to_be_hidden()


async def test_each_person_sees_their_own_messages(
    slack: LocalSlack, client: AsyncWebClient, open_page: OpenPage
) -> None:
    await client.chat_postEphemeral(channel="C0GENERAL", user="U0ALICE", text="only Alice")
    await slack.user("alice").say("hello @bob", channel="#random")
    page = await open_page(at(slack))
    await expect(message(page, "only Alice")).to_be_visible()
    await page.get_by_test_id("user-switcher").select_option("U0BOB")
    await expect(message(page, "only Alice")).to_have_count(0)
    await page.locator("[data-channel-id=C0RANDOM]").click()
    await expect(page.locator("#place-note")).to_have_text("Countersign is not in this channel")
    await expect(page.locator(".mention-me")).to_have_text("@Bob Brown")
    await page.get_by_test_id("composer").fill("hello Alice")
    await page.get_by_test_id("composer-send").click()
    await expect(message(page, "hello Alice")).to_contain_text("Bob Brown")
    # A guest who is not in that channel is shown one that they are in, also when nothing else happens.
    await page.get_by_test_id("user-switcher").select_option("U0GRETA")
    await expect(page.get_by_test_id("place-name")).to_have_text("general")
    await expect(page.get_by_test_id("toast")).to_contain_text("not for you")
    await page.reload()
    await expect(page.get_by_test_id("user-switcher")).to_have_value("U0GRETA")


async def test_unknown_user_in_the_address_becomes_a_default(slack: LocalSlack, open_page: OpenPage) -> None:
    page = await open_page(at(slack, user="U0NOBODY"))
    await expect(page.get_by_test_id("user-switcher")).to_have_value("U0ALICE")
    await expect(page.get_by_test_id("place-name")).to_have_text("general")


async def test_permalink_leads_to_its_message(slack: LocalSlack, client: AsyncWebClient, open_page: OpenPage) -> None:
    ts = await post(client, text="the card", channel="C0APPROVALS")
    for number in range(30):
        await slack.user("carol").say(f"noise {number}", channel="#approvals")
    reply = await post(client, text="the reply", channel="C0APPROVALS", thread_ts=ts)
    links = [
        (await client.chat_getPermalink(channel="C0APPROVALS", message_ts=each))["permalink"] for each in (ts, reply)
    ]
    await post(client, text=f"<{links[0]}|open the card> or <{links[1]}|the reply>")
    page = await open_page(at(slack))
    await page.get_by_text("open the card").click()
    await expect(page.get_by_test_id("place-name")).to_have_text("approvals")
    await expect(page.locator(".message-lit")).to_contain_text("the card")
    await expect(page.locator(".message-lit")).to_be_in_viewport()
    assert await page.locator(".message-lit .time").get_attribute("href") == links[0]
    await page.go_back()
    await page.get_by_text("the reply").click()
    await expect(page.get_by_test_id("thread").locator(".message-lit")).to_contain_text("the reply")


async def test_page_follows_other_peoples_actions(
    slack: LocalSlack, client: AsyncWebClient, open_page: OpenPage
) -> None:
    page = await open_page(at(slack))
    await expect(page.get_by_test_id("connection")).to_be_empty()
    await slack.user("bob").say("live from Bob", channel="#general")
    await expect(message(page, "live from Bob")).to_be_visible()
    ts = await post(client, CARD, channel="C0APPROVALS")
    approvals = page.locator("[data-channel-id=C0APPROVALS]")
    await expect(approvals.get_by_test_id("unread")).to_have_text("1")
    await approvals.click()
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await expect(approvals.get_by_test_id("unread")).to_have_count(0)
    await client.chat_update(channel="C0APPROVALS", ts=ts, text="Approved by Bob")
    await expect(message(page, "Approved by Bob")).to_contain_text("(edited)")
    await expect(page.get_by_test_id("button")).to_have_count(0)


async def test_typed_text_survives_other_peoples_actions(
    slack: LocalSlack, app: AsyncApp, client: AsyncWebClient, open_page: OpenPage
) -> None:
    ts = await post(client, CARD)
    page = await open_page(at(slack))
    composer = page.get_by_test_id("composer")
    await composer.fill("half a sent")
    await slack.user("bob").say("Bob is quick", channel="#general")
    await expect(message(page, "Bob is quick")).to_be_visible()
    await expect(composer).to_be_focused()
    await composer.press_sequentially("ence")
    await page.locator("[data-channel-id=C0RANDOM]").click()
    await expect(composer).to_have_value("")
    await page.go_back()
    await expect(composer).to_have_value("half a sentence")
    await page.get_by_role("button", name="Approve").click()
    why = page.get_by_label("Reason")
    await why.fill("because")
    slack.add_user("erin")
    await client.chat_update(channel="C0GENERAL", ts=ts, text="settled", blocks=[section("Settled meanwhile")])
    await expect(message(page, "Settled meanwhile")).to_be_attached()
    await expect(why).to_be_focused()
    await expect(why).to_have_value("because")


async def test_choices_reach_the_app_in_slacks_format(
    slack: LocalSlack, app: AsyncApp, client: AsyncWebClient, open_page: OpenPage
) -> None:
    select: Json = {"type": "static_select", "action_id": "colour", "placeholder": plain("Colour"), **THINGS}
    ticks: Json = {"type": "checkboxes", "action_id": "ticks", **THINGS}
    await post(
        client,
        [section("Choose", accessory={"type": "overflow", "action_id": "more", **THINGS}), actions(select, ticks)],
    )
    page = await open_page(at(slack))
    await page.get_by_role("combobox", name="Colour").click()
    await page.keyboard.type("gre")
    await page.keyboard.press("Enter")
    await page.get_by_label("Blue").check()
    await page.get_by_label("More actions").click()
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await slack.wait_for(lambda _: len(slack.deliveries) == 3)
    done = {payload["actions"][0]["action_id"]: payload["actions"][0] for _, payload in slack.deliveries}
    assert done["colour"]["selected_option"] == THINGS["options"][1]
    assert done["ticks"]["selected_options"] == [THINGS["options"][2]]
    assert done["more"]["selected_option"] == THINGS["options"][1]
    assert slack.problems == []


async def test_page_shows_the_apps_home(slack: LocalSlack, app: AsyncApp, open_page: OpenPage) -> None:
    page = await open_page(at(slack))
    await page.get_by_test_id("home-entry").click()
    await expect(page.get_by_test_id("home")).to_contain_text("Hello @Alice Adams")
    await page.get_by_role("button", name="Start").click()
    await slack.wait_for(lambda _: any(payload.get("type") == "block_actions" for _, payload in slack.deliveries))
    await page.reload()
    await expect(page.get_by_test_id("home")).to_contain_text("Hello @Alice Adams")
    await page.locator("[data-channel-id=C0GENERAL]").click()
    await expect(page.get_by_test_id("home")).to_be_hidden()


async def test_markup_in_text_is_escaped(
    slack: LocalSlack, bolt: AsyncApp, connect: Connect, client: AsyncWebClient, open_page: OpenPage
) -> None:
    @bolt.action("evil")
    async def evil(ack: Any, body: Json, client: AsyncWebClient) -> None:
        text = {**TEXT, "initial_value": EVIL, "multiline": True}
        view = modal(field("why", EVIL, text), section(EVIL), title=plain(EVIL[:24]))
        await client.views_open(trigger_id=body["trigger_id"], view=view)
        await ack()

    await connect(bolt)
    slack.add_user("mallory").user.real_name = EVIL
    rich = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": EVIL}]}
    link = {"type": "link", "url": "javascript:window.hacked=1", "text": "harmless"}
    blocks: list[Json] = [
        {"type": "header", "text": plain(EVIL)},
        section(EVIL, fields=[{"type": "mrkdwn", "text": EVIL}]),
        {"type": "rich_text", "elements": [rich, {"type": "rich_text_section", "elements": [link]}]},
        {"type": "markdown", "text": f"{EVIL} [harmless](javascript:window.hacked=1)"},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "<javascript:window.hacked=1|harmless>"}]},
        actions(button("Open " + EVIL[:40], "evil", confirm={**CONFIRM, "text": plain(EVIL)})),
    ]
    ts = await post(client, blocks)
    await client.files_upload_v2(channel="C0GENERAL", content=EVIL, filename="a.html", title=EVIL, thread_ts=ts)
    await slack.user("mallory").say(EVIL, channel="#general")
    page = await open_page(at(slack, more=f"&thread={ts}"))
    await expect(page.locator("#messages").get_by_text("<script>").first).to_be_visible()
    await expect(page.locator("#messages .rich-text .pre")).to_have_text(EVIL)
    await expect(page.get_by_test_id("thread").locator(".file-name")).to_have_text(EVIL)
    await page.locator("#messages").get_by_test_id("button").click()
    await page.get_by_test_id("confirm-yes").click()
    await expect(page.get_by_test_id("modal").locator("textarea")).to_have_value(EVIL)
    assert await page.evaluate("window.hacked === undefined")
    assert await page.locator("body img, body script, a[href^='javascript' i], iframe").count() == 0


async def test_phone_shows_everything_within_its_width(
    slack: LocalSlack, app: AsyncApp, client: AsyncWebClient, open_page: OpenPage
) -> None:
    boxes = {"type": "rich_text_preformatted", "elements": [{"type": "text", "text": LONG}]}
    card = [section(LONG), {"type": "rich_text", "elements": [boxes]}, *CARD]
    ts = await post(client, card)
    await post(client, text=LONG, thread_ts=ts)
    page = await open_page(at(slack), phone=True)
    await expect(page.get_by_role("button", name="Approve")).to_be_visible()
    await fits(page)
    await expect(page.get_by_test_id("channel").first).not_to_be_in_viewport()
    await page.get_by_test_id("drawer-open").tap()
    await expect(page.get_by_test_id("user-switcher")).to_be_focused()
    await expect(page.get_by_test_id("channel").first).to_be_in_viewport(ratio=1)
    await fits(page)
    await page.get_by_test_id("user-switcher").select_option("U0BOB")
    await expect(page.get_by_test_id("channel").first).not_to_be_in_viewport()
    await page.get_by_test_id("reply-link").tap()
    await covers(page, page.get_by_test_id("thread"))
    await fits(page)
    await page.get_by_test_id("thread-close").tap()
    await page.get_by_role("button", name="Approve").tap()
    await covers(page, page.get_by_test_id("modal"))
    await fits(page)
    await page.get_by_label("Reason").fill("fine")
    await page.get_by_test_id("modal-submit").tap()
    await expect(page.get_by_test_id("modal")).to_have_count(0)


async def fits(page: Page) -> None:
    """Nothing to scroll sideways, and every button that can be seen is high enough for a thumb."""
    wide = "[...document.querySelectorAll('body, #messages, #thread-messages, .dialog-body, .sidebar')]"
    assert await page.evaluate(f"{wide}.filter(n => n.scrollWidth > n.clientWidth).map(n => n.id || n.className)") == []
    assert await page.evaluate("document.documentElement.scrollWidth") == 390
    low = """[...document.querySelectorAll('button, a.button, select, .place')]
        .filter(n => n.checkVisibility({visibilityProperty: true}) && n.getBoundingClientRect().height < 44)
        .map(n => n.outerHTML)"""
    assert await page.evaluate(low) == []


async def covers(page: Page, pane: Locator) -> None:
    await expect(pane).to_be_visible()
    assert await pane.bounding_box() == {"x": 0, "y": 0, **(page.viewport_size or {})}
