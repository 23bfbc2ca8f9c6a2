"""Edit and approve, and options: what is sent counts as it was shown, or is refused where the person reads it."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from bot.slack.handlers.context import Desk
from bot.slack.views import cards
from bot.slack.views.card_controls import Handle
from countersign import usecases
from countersign.domain.calls import Call, canonical
from countersign.domain.events import EventType
from countersign.domain.ids import Digest, UserId
from countersign.domain.requests import Decision, Question, Request, Status
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, Put
from localslack import LocalSlack
from tests.browser import OpenPage
from tests.making import call, choice, editable
from tests.slack.botting import Show, away, events, post
from tests.storing import configured

BOB, CAROL = UserId("U0BOB"), UserId("U0CAROL")
SECRET = "hunter2hunter2"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "order": {"type": "integer", "description": "Number of the order"},
        "amount": {"type": "number", "minimum": 0, "maximum": 100},
        "reason": {"type": "string"},
        "password": {"type": "string"},
    },
    "required": ["order", "amount"],
}


def refund(**arguments: Any) -> Question:
    given = {"order": 17, "amount": 20, "reason": "broken", "password": SECRET, **arguments}
    return replace(call(), call=Call("refund", canonical(given), json.dumps(SCHEMA)))


async def ask(store: Store, lease: Lease, asked: Question, **changes: Any) -> Request:
    if changes:
        await configured(store, **changes)
    return await usecases.ask(store, lease, asked)


async def now(store: Store, request: Request) -> Request:
    seen = await store.request(request.id)
    assert seen is not None
    return seen.value


async def decision(store: Store, request: Request) -> Decision:
    found = (await now(store, request)).decision
    assert found is not None
    return found


async def test_a_changed_call_is_approved_with_what_was_changed_and_why(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13, R15, R18: the decision carries all arguments, the secret among them, which no window ever held."""
    asked = await ask(store, lease, refund())
    shown = await show(asked)
    bob = slack.user("bob")
    await bob.click(shown, "Edit")
    view = await bob.wait_modal("Number of the order")
    assert SECRET not in json.dumps(view.full())
    assert "password (hidden)" in json.dumps(view.json)
    assert await bob.submit({"amount": "10.5", "Why": "half of it is enough"}) == {}
    made = await decision(store, asked)
    assert (made.outcome, made.by, made.words) == (Status.EDITED, (BOB,), "half of it is enough")
    assert json.loads(made.arguments) == {"order": 17, "amount": 10.5, "reason": "broken", "password": SECRET}
    settled = json.dumps(cards.card(await now(store, asked), run=(await run_of(store, asked)), run_link=None).blocks)
    assert "amount: 20 \\u2192 10.5" in settled
    assert SECRET not in settled


async def run_of(store: Store, request: Request) -> Any:
    found = await store.run(request.run)
    assert found is not None
    return found.value


async def test_a_form_sent_as_it_came_counts_nothing_and_can_be_sent_again(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7, R25."""
    asked = await ask(store, lease, refund())
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal()
    told = await bob.submit()
    assert "You changed nothing" in told["field_0"]
    assert "You changed nothing" in (await bob.submit({"Why": "it is right"}))["field_0"]
    assert await bob.submit({"reason": "lost"}) == {}
    assert (await now(store, asked)).status is Status.EDITED
    assert [e.type for e in await events(store)].count(EventType.ATTEMPT_REFUSED) == 2


async def test_what_the_tool_would_not_take_stands_under_its_field(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7: Slack asks the rest of the numbers' limits itself; nothing is decided."""
    question = refund()
    assert question.call is not None
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "reason": {"enum": ["broken"] * 150}}}
    asked = await ask(store, lease, replace(question, call=replace(question.call, schema=json.dumps(schema))))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal()
    assert "Must be at most 100" in (await bob.submit({"amount": "101"}))["field_1"]
    told = await bob.submit({"amount": "100", "reason": '"lost"'})
    assert list(told) == ["field_2"]
    assert "This must be one of: broken" in told["field_2"]
    assert (await now(store, asked)).status is Status.PENDING


async def test_where_two_must_agree_nobody_changes_it_alone(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R11: said before anything is written."""
    asked = await ask(store, lease, refund(), quorum=2)
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_ephemeral("needs 2 approvals of the same content")
    assert bob.modal is None


@pytest.mark.parametrize("button", ["Edit", "Choose", "eu"])
async def test_strangers_open_nothing(slack: LocalSlack, store: Store, lease: Lease, show: Show, button: str) -> None:
    """R7, R9, R25."""
    question = {"Edit": refund(), "Choose": choice(*"abcdef"), "eu": choice("eu", "us")}[button]
    asked = await ask(store, lease, question)
    dave = slack.user("dave")
    await dave.click(await show(asked), button)
    await dave.wait_ephemeral("You are not a reviewer")
    assert dave.modal is None
    assert (await now(store, asked)).status is Status.PENDING
    assert EventType.ATTEMPT_REFUSED in [e.type for e in await events(store)]


async def test_a_call_that_has_no_form_says_why(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R7."""
    question = refund()
    assert question.call is not None
    asked = await ask(store, lease, replace(question, call=replace(question.call, schema="")))
    await slack.user("bob").click(await show(asked), "Edit")
    await slack.user("bob").wait_ephemeral("Nothing was decided; you can approve it as it is")


@pytest.mark.parametrize("what", ["edit", "choose"])
async def test_a_window_open_while_somebody_else_decides_says_so_in_plain_words(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, what: str
) -> None:
    """R3, R7, R9: judged again when it is sent."""
    asked = await ask(store, lease, refund() if what == "edit" else choice(*"abcdef"))
    shown = await show(asked)
    carol = slack.user("carol")
    await carol.click(shown, what.capitalize())
    await carol.wait_modal()
    await slack.user("bob").click(shown, "Respond")
    await slack.user("bob").wait_modal()
    assert await slack.user("bob").submit({"answer": "neither"}) == {}
    told = await carol.submit({"amount": "1"} if what == "edit" else {"options": "1. a"})
    [(block, sentence)] = told.items()
    assert block in ("field_0", "options")
    assert "Already decided by @bob 20" in sentence
    assert "<" not in sentence


@pytest.mark.parametrize("what", ["edit", "choose"])
async def test_somebody_who_left_with_a_window_open_is_refused_when_it_is_sent(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, bot: Desk, what: str
) -> None:
    """R9."""
    asked = await ask(store, lease, refund() if what == "edit" else choice(*"abcdef"))
    carol = slack.user("carol")
    await carol.click(await show(asked), what.capitalize())
    await carol.wait_modal()
    slack.workspace.users["U0CAROL"].deleted = True
    bot.directory._answers.clear()  # a minute passed
    told = await carol.submit({"amount": "1"} if what == "edit" else {"options": "1. a"})
    assert "deactivated" in " ".join(told.values())
    assert (await now(store, asked)).status is Status.PENDING


@pytest.mark.parametrize("what", ["edit", "choose"])
async def test_a_window_sent_after_the_deadline_settles_and_is_told(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, what: str
) -> None:
    """R7, R17, R20: the store's clock says that it is over."""
    asked = await ask(store, lease, refund() if what == "edit" else choice(*"abcdef"))
    bob = slack.user("bob")
    await bob.click(await show(asked), what.capitalize())
    await bob.wait_modal()
    seen = await store.request(asked.id)
    assert seen is not None
    past = replace(seen.value, deadline=seen.now - timedelta(seconds=1))
    await store.commit(Change(requests=(Put(past, seen.version),)))
    told = await bob.submit({"amount": "1"} if what == "edit" else {"options": "1. a"})
    assert "Time ran out 20" in " ".join(told.values())
    assert (await now(store, asked)).status is Status.EXPIRED


async def test_a_form_of_other_content_decides_nothing(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk
) -> None:
    """R13: the form carries the digest of what it was made from."""
    asked = await ask(store, lease, refund())
    forged = replace(asked, digest=Digest("0" * 64))
    drawn = cards.card(forged, run=await run_of(store, asked), run_link=None)
    await slack.user("bob").click(await post(slack, store, bot, drawn, forged), "Edit")
    await slack.user("bob").wait_ephemeral("This request has changed since you saw it")


async def test_the_same_form_delivered_twice_counts_once(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, bot: Desk
) -> None:
    """R8."""
    asked = await ask(store, lease, refund())
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal()
    slack.faults.add("deliver_twice", on="view_submission")
    assert await bob.submit({"amount": "1"}) == {}
    await slack.wait_for(lambda _: len([d for d in slack.deliveries if d[1].get("type") == "view_submission"]) == 2)
    await bot.drain()
    kinds = [e.type for e in await events(store)]
    assert (kinds.count(EventType.REQUEST_DECIDED), kinds.count(EventType.ATTEMPT_REFUSED)) == (1, 0)


async def test_who_did_not_read_what_the_card_cannot_show_changes_nothing(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13: what is not in the form would be approved too."""
    asked = await ask(store, lease, replace(refund(), content="x" * 5000))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal("The card has no room for all of it")
    assert "read" in await bob.submit({"amount": "1"})
    assert await bob.submit({"amount": "1", "read": ["yes"]}) == {}
    assert (await now(store, asked)).status is Status.EDITED


async def test_a_store_that_is_away_is_told_in_the_form_which_stays(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7: what was written is not lost."""
    asked = await ask(store, lease, refund())
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal()
    async with away(store):
        told = await bob.submit({"amount": "1"})
    assert "The store cannot be reached" in told["field_0"]
    assert await bob.submit() == {}
    assert json.loads((await decision(store, asked)).arguments)["amount"] == 1


async def test_an_option_is_chosen_with_one_click(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R1: the option under whose label the click was."""
    asked = await ask(store, lease, choice("eu", "us"))
    ack = await slack.user("bob").click(await show(asked), "us")
    assert ack.ok
    made = await decision(store, asked)
    assert (made.outcome, made.chosen, made.by) == (Status.ANSWERED, ("us",), (BOB,))


@pytest.mark.parametrize(
    ("question", "chosen", "expected"),
    [
        (choice("eu", "us", "ap", several=True), ["3. ap", "1. eu"], ("eu", "ap")),
        (choice(*(f"region {n}" for n in range(20)), several=True), ["20. region 19"], ("region 19",)),
        (choice(*"abcdef"), "2. b", ("b",)),
        (choice(*(f"region {n}" for n in range(20))), "20. region 19", ("region 19",)),
    ],
)
async def test_many_options_and_several_are_chosen_in_a_window(
    slack: LocalSlack,
    store: Store,
    lease: Lease,
    show: Show,
    question: Question,
    chosen: Any,
    expected: tuple[str, ...],
) -> None:
    asked = await ask(store, lease, question)
    bob = slack.user("bob")
    await bob.click(await show(asked), "Choose")
    await bob.wait_modal()
    assert "required" in (await bob.submit())["options"]
    assert await bob.submit({"options": chosen}) == {}
    assert (await decision(store, asked)).chosen == expected


async def test_two_people_who_choose_the_same_make_a_quorum(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R11: and who changes their mind is counted once."""
    asked = await ask(store, lease, choice("eu", "us"), quorum=2)
    shown = await show(asked)
    bob, carol = slack.user("bob"), slack.user("carol")
    await bob.click(shown, "eu")
    await bob.wait_ephemeral("Your choice is counted: 1 of 2 people needed chose this")
    await carol.click(shown, "us")
    await carol.wait_ephemeral("1 of 2 people needed")
    assert (await now(store, asked)).status is Status.PENDING
    await bob.click(shown, "us")
    made = await decision(store, asked)
    assert (made.chosen, set(made.by)) == (("us",), {BOB, CAROL})


@pytest.mark.parametrize("option", [7, -1, True, "0"])
async def test_an_option_that_is_not_there_is_refused(
    slack: LocalSlack, store: Store, lease: Lease, bot: Desk, option: Any
) -> None:
    """R7."""
    asked = await ask(store, lease, choice("eu", "us"))
    drawn = cards.card(asked, run=await run_of(store, asked), run_link=None)
    handle = json.loads(Handle(asked.id, asked.digest).write())
    drawn.blocks[-1]["elements"][0]["value"] = json.dumps({**handle, "option": option})
    await slack.user("bob").click(await post(slack, store, bot, drawn, asked), "eu")
    await slack.user("bob").wait_ephemeral("Please choose one of the options")
    assert (await now(store, asked)).status is Status.PENDING


async def keep(page: Page, name: str) -> None:
    """A picture, where `PICTURES=<folder>` asks for some."""
    if folder := os.environ.get("PICTURES"):
        await page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize("phone", [True, False])
async def test_every_kind_of_field_is_shown_filled_in_and_sent_in_a_browser(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, open_page: OpenPage, phone: bool
) -> None:
    """On a phone's width, too: everything is within it, and what is chosen there is what runs."""
    asked = await ask(store, lease, editable())
    await show(asked)
    page = await open_page(f"{slack.url}?user=U0BOB&channel=C0APPROVALS", phone=phone)
    await page.get_by_role("button", name="Edit").click()
    form = page.get_by_test_id("modal")
    await expect(form).to_contain_text("What runs is what stands here")
    await keep(page, f"edit_{phone}")
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    await form.get_by_label("amount").fill("10.25")
    await form.get_by_label("address").fill('{"city": }')
    await form.get_by_label("reason").click()
    await page.get_by_role("option", name="other").click()
    await form.get_by_role("button", name="Approve with changes").click()
    await expect(form.get_by_test_id("input-error").filter(has_text="This is not JSON")).to_be_in_viewport()
    await keep(page, f"edit_error_{phone}")
    await form.get_by_label("address").fill('{"city": "Bonn"}')
    await form.get_by_label("copies").fill("ann@example.com\ncem@example.com")
    await form.get_by_role("button", name="Approve with changes").click()
    await expect(form).to_have_count(0)
    changed = json.loads((await decision(store, asked)).arguments)
    assert asked.question.call is not None
    assert changed == json.loads(asked.question.call.arguments) | {
        "amount": 10.25,
        "reason": "other",
        "address": {"city": "Bonn"},
        "copies": ["ann@example.com", "cem@example.com"],
    }


@pytest.mark.parametrize("phone", [True, False])
async def test_options_are_chosen_in_a_browser(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, open_page: OpenPage, phone: bool
) -> None:
    """As buttons on the card, as boxes to tick, and from a long menu."""
    one = await ask(store, lease, replace(choice("eu-west", "us-east", "ap-south"), agent="one"))
    some = await ask(store, lease, replace(choice("eu", "us", "very " * 40, several=True), agent="some"))
    many = await ask(store, lease, replace(choice(*(f"region {n}" for n in range(30)), several=True), agent="many"))
    page = await open_page(f"{slack.url}?user=U0BOB&channel=C0APPROVALS", phone=phone)
    await show(one)
    await expect(page.get_by_role("button", name="us-east")).to_be_visible()
    await keep(page, f"choose_card_{phone}")
    await page.get_by_role("button", name="us-east").click()
    await show(some)
    await page.get_by_role("button", name="Choose").last.click()
    form = page.get_by_test_id("modal")
    await form.get_by_label("1. eu").check()
    await form.get_by_label("3. very").check()
    await keep(page, f"choose_some_{phone}")
    await form.get_by_role("button", name="Choose").click()
    await expect(form).to_have_count(0)
    await show(many)
    await expect(page.get_by_text("30. region 29")).to_be_visible()
    await page.get_by_role("button", name="Choose").last.click()
    await form.get_by_label("Choose one or more").click()
    await page.get_by_role("option", name="7. region 6", exact=True).click()
    await keep(page, f"choose_many_{phone}")
    await page.keyboard.press("Escape")
    await form.get_by_role("button", name="Choose").last.click()
    await expect(form).to_have_count(0)
    made = [(await decision(store, asked)).chosen for asked in (one, some, many)]
    assert made == [("us-east",), ("eu", "very " * 40), ("region 6",)]
