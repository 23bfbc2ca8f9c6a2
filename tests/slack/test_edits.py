"""Edit and approve, and options: what is sent counts as it was shown, or is refused where the person reads it."""

import json
import os
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from bot.slack.handlers.context import Services
from bot.slack.views import approval_card, edit_modal
from countersign import usecases
from countersign.domain.calls import Call, canonical, code_in
from countersign.domain.errors import InvalidInput
from countersign.domain.events import EventType
from countersign.domain.ids import UserId, digest_of
from countersign.domain.requests import Decision, Question, Request, Status
from countersign.store.store import Store
from countersign.usecases.ports import Change, Lease, Put
from localslack import LocalSlack
from tests.browser import OpenPage
from tests.sample_requests import GENERAL, call, choice, editable, request
from tests.slack.sample_views import code, mail
from tests.slack.socket_bot import Show, events, redis_away
from tests.store_fixtures import configure

BOB, CAROL = UserId("U0BOB"), UserId("U0CAROL")
SECRET = "hunter2hunter2"
KEY = f"{'all is well' * 4}\n" * 54 + "-----BEGIN PRIVATE KEY-----\n" + f"{'MIIEvQIBADANBgkq' * 4}\n" * 30
"""A key whose first line ends where the text is cut for two inputs."""
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
        await configure(store, **changes)
    return await usecases.ask(store, lease, asked)


async def now(store: Store, request: Request) -> Request:
    seen = await store.request(request.id)
    assert seen is not None
    return seen.value


async def decision(store: Store, request: Request) -> Decision:
    found = (await now(store, request)).decision
    assert found is not None
    return found


async def test_edited_call_is_approved_with_its_changes_and_reason(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13, R15, R18: the decision carries all arguments, the secret among them, which no window ever held."""
    asked = await ask(store, lease, refund())
    shown = await show(asked)
    bob = slack.user("bob")
    await bob.click(shown, "Edit")
    view = await bob.wait_modal("Number of the order")
    assert SECRET not in json.dumps(view.full())
    assert "Password (hidden)" in json.dumps(view.json)
    assert await bob.submit({"Amount": "10.5", "Why you changed it": "half of it is enough"}) == {}
    made = await decision(store, asked)
    assert (made.outcome, made.by, made.words) == (Status.EDITED, (BOB,), "half of it is enough")
    assert json.loads(made.arguments) == {"order": 17, "amount": 10.5, "reason": "broken", "password": SECRET}
    settled = json.dumps(
        approval_card.card(await now(store, asked), run=(await run_of(store, asked)), run_link=None).blocks
    )
    assert "Amount: 20 \\u2192 10.5" in settled
    assert SECRET not in settled


async def run_of(store: Store, request: Request) -> Any:
    found = await store.run(request.run)
    assert found is not None
    return found.value


async def test_unchanged_edit_form_is_refused_and_can_be_resent(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7, R25."""
    asked = await ask(store, lease, refund())
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal()
    told = await bob.submit()
    assert "You didn't change anything" in told["field_0"]
    assert "You didn't change anything" in (await bob.submit({"Why you changed it": "it is right"}))["field_0"]
    assert await bob.submit({"Reason": "lost"}) == {}
    assert (await now(store, asked)).status is Status.EDITED
    assert [e.type for e in await events(store)].count(EventType.ATTEMPT_REFUSED) == 2


async def test_refused_value_is_reported_under_its_field(
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
    assert "Must be at most 100" in (await bob.submit({"Amount": "101"}))["field_1"]
    told = await bob.submit({"Amount": "100", "Reason": '"lost"'})
    assert list(told) == ["field_2"]
    assert "This must be one of: broken" in told["field_2"]
    assert (await now(store, asked)).status is Status.PENDING


async def test_edited_message_is_approved_as_sent(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R13, R18: what is sent is what is approved, and the card shows the changed lines."""
    asked = await ask(store, lease, mail())
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal("Exactly what you enter here is approved")
    assert "You didn't change anything" in (await bob.submit({}))["field_0"]
    text = "To: vendor@example.com\n\n  Five percent off, <@U0EVE>.\n"
    assert await bob.submit({"Text": text, "Why you changed it": "Ten is too much."}) == {}
    made = await decision(store, asked)
    assert (made.outcome, made.content, made.words) == (Status.EDITED, text, "Ten is too much.")
    told = next(event for event in await events(store) if event.type is EventType.REQUEST_DECIDED)
    assert (told.data["digest"], told.data["edited"]) == (asked.digest, digest_of(asked.question.salt, text))


async def test_long_message_is_edited_in_one_part(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R13, R14: to the last blank, over the 3,000 characters that an input holds."""
    lines = [f"{n:03} all is well {'  ' * (n % 3)}" for n in range(400)]
    asked = await ask(store, lease, mail("\n".join(lines)))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    window = await bob.wait_modal("part 1 of 4")
    part = next(b for b in window.json["blocks"] if b.get("block_id") == "field_1")["element"]["initial_value"]
    assert await bob.submit({"field_1": part.replace("200 all is well", "200 is broken")}) == {}
    content = (await decision(store, asked)).content
    assert content == "\n".join(lines).replace("200 all is well", "200 is broken")
    assert content != asked.question.content


async def test_code_is_edited_block_by_block(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R13: no block becomes another language, and the other blocks stay as they are."""
    blocks = [{"language": "python", "code": "print(1)\n"}, {"language": "sh", "code": "rm -r build"}]
    made = Call("run code", canonical({"blocks": blocks}), "{}")
    asked = await ask(store, lease, replace(code(), content=code_in({"blocks": blocks}) or "", call=made))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal("Block 2, sh")
    assert await bob.submit({"Block 2, sh": "rm -r build/old"}) == {}
    blocks[1]["code"] = "rm -r build/old"
    assert (await decision(store, asked)).arguments == canonical({"blocks": blocks})


@pytest.mark.parametrize(
    "text",
    ["pay\u202e me", "the password=hunter2hunter2", "x" * 9000, KEY],
)
def test_message_that_a_window_would_alter_is_not_edited(text: str) -> None:
    """R13, R15: what hides, what is secret, on both sides of a cut too, and a line that no input holds."""
    with pytest.raises(InvalidInput, match="Nothing was decided"):
        edit_modal.edit(request(asked=mail(text)), GENERAL)


@pytest.mark.parametrize("button", ["Edit", "Choose", "eu"])
async def test_strangers_cannot_open_the_edit_form(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, button: str
) -> None:
    """R7, R9, R25."""
    question = {"Edit": refund(), "Choose": choice(*"abcdef"), "eu": choice("eu", "us")}[button]
    asked = await ask(store, lease, question)
    dave = slack.user("dave")
    await dave.click(await show(asked), button)
    await dave.wait_ephemeral("not a reviewer")
    assert dave.modal is None
    assert (await now(store, asked)).status is Status.PENDING
    assert EventType.ATTEMPT_REFUSED in [e.type for e in await events(store)]


async def test_call_without_a_form_says_why(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
    """R7."""
    question = refund()
    assert question.call is not None
    asked = await ask(store, lease, replace(question, call=replace(question.call, schema="")))
    await slack.user("bob").click(await show(asked), "Edit")
    await slack.user("bob").wait_ephemeral("Nothing was decided; you can approve it as it is")


@pytest.mark.parametrize(
    ("question", "button", "values", "block"),
    [
        (refund(), "Edit", {"Amount": "1"}, "field_0"),
        (choice(*"abcdef"), "Choose", {"options": "1. a"}, "options"),
        (refund(), "Request changes", {"answer": "shorter"}, "answer"),
    ],
    ids=["edit", "choose", "words"],
)
async def test_window_sent_after_another_decision_says_who_decided(
    slack: LocalSlack,
    store: Store,
    lease: Lease,
    show: Show,
    question: Question,
    button: str,
    values: dict[str, Any],
    block: str,
) -> None:
    """R3, R7, R9: judged again when it is sent."""
    shown = await show(await ask(store, lease, question))
    carol, bob = slack.user("carol"), slack.user("bob")
    await carol.click(shown, button)
    await carol.wait_modal()
    await bob.click(shown, "Answer in words" if question.options else "Request changes")
    await bob.wait_modal()
    assert await bob.submit({"answer": "neither"}) == {}
    [(where, sentence)] = (await carol.submit(values)).items()
    assert where == block and "Already decided by @bob at 20" in sentence
    assert "<" not in sentence


@pytest.mark.parametrize("what", ["edit", "choose"])
async def test_window_of_a_deactivated_reviewer_is_refused(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, bot: Services, what: str
) -> None:
    """R9."""
    asked = await ask(store, lease, refund() if what == "edit" else choice(*"abcdef"))
    carol = slack.user("carol")
    await carol.click(await show(asked), what.capitalize())
    await carol.wait_modal()
    slack.workspace.users["U0CAROL"].deleted = True
    bot.directory.lookups.forget()  # a minute passed
    told = await carol.submit({"Amount": "1"} if what == "edit" else {"options": "1. a"})
    assert "deactivated" in " ".join(told.values())
    assert (await now(store, asked)).status is Status.PENDING


@pytest.mark.parametrize("what", ["edit", "choose"])
async def test_window_sent_after_the_deadline_settles_the_request(
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
    told = await bob.submit({"Amount": "1"} if what == "edit" else {"options": "1. a"})
    assert "Time ran out at 20" in " ".join(told.values())
    assert (await now(store, asked)).status is Status.EXPIRED


async def test_edit_needs_the_box_that_confirms_reading(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R13: what is not in the form would be approved too."""
    asked = await ask(store, lease, replace(refund(), content="x" * 5000))
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal("The card has no room for all of it")
    assert "read" in await bob.submit({"Amount": "1"})
    assert await bob.submit({"Amount": "1", "read": ["yes"]}) == {}
    assert (await now(store, asked)).status is Status.EDITED


async def test_redis_outage_is_reported_in_the_form_which_stays(
    slack: LocalSlack, store: Store, lease: Lease, show: Show
) -> None:
    """R7: what was written is not lost."""
    asked = await ask(store, lease, refund())
    bob = slack.user("bob")
    await bob.click(await show(asked), "Edit")
    await bob.wait_modal()
    async with redis_away(store):
        told = await bob.submit({"Amount": "1"})
    assert "can't reach its database" in told["field_0"]
    assert await bob.submit() == {}
    assert json.loads((await decision(store, asked)).arguments)["amount"] == 1


async def test_option_is_chosen_with_one_click(slack: LocalSlack, store: Store, lease: Lease, show: Show) -> None:
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
async def test_many_options_are_chosen_in_a_window(
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


async def keep(page: Page, name: str) -> None:
    """A picture, where `PICTURES=<folder>` asks for some."""
    if folder := os.environ.get("PICTURES"):
        await page.screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize("phone", [True, False])
async def test_every_field_type_works_in_a_browser(
    slack: LocalSlack, store: Store, lease: Lease, show: Show, open_page: OpenPage, phone: bool
) -> None:
    """On a phone's width, too: everything is within it, and what is chosen there is what runs."""
    asked = await ask(store, lease, editable())
    await show(asked)
    page = await open_page(f"{slack.url}?user=U0BOB&channel=C0APPROVALS", phone=phone)
    await page.get_by_role("button", name="More actions").click()
    await page.get_by_role("menuitem", name="Edit…").click()
    form = page.get_by_test_id("modal")
    await expect(form).to_contain_text("Exactly what you enter here will run")
    await keep(page, f"edit_{phone}")
    assert await page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    await form.get_by_label("Amount").fill("10.25")
    await form.get_by_label("Address: Zip").fill("50667 Köln")
    await form.get_by_label("reason").click()
    await page.get_by_role("option", name="other").click()
    await form.get_by_role("button", name="Approve with changes").click()
    await expect(
        form.get_by_test_id("input-error").filter(has_text="must have at most 5 characters")
    ).to_be_in_viewport()
    await keep(page, f"edit_error_{phone}")
    await form.get_by_label("Address: City").fill("Bonn")
    await form.get_by_label("Address: Zip").fill("")
    await form.get_by_label("Copies").fill("ann@example.com\ncem@example.com")
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
