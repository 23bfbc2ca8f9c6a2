"""The pages in a real browser, with a passkey of Chromium's virtual authenticator."""

from typing import Literal

import pytest
from playwright.async_api import expect

from countersign.domain.proof import Proof
from countersign.domain.requests import Status
from tests.pages.served_pages import Served, authenticator, enrol, picture
from tests.sample_requests import call, choice, editable, question
from tests.slack.test_projector import all_drawn
from tests.store_fixtures import configure

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("phone", "scheme"), [(False, "light"), (True, "dark")])
async def test_reviewer_enrols_approves_edits_and_rejects(
    served: Served, phone: bool, scheme: Literal["light", "dark"]
) -> None:
    """The story of a reviewer, at a desk and on a phone."""
    look = f"{'phone' if phone else 'desktop'}-{scheme}"
    page = await served.sign_in("Bob", phone=phone, scheme=scheme)
    await expect(page.get_by_text("Nothing is waiting for you.")).to_be_visible()
    await picture(page, f"{look}-inbox-empty")
    async with authenticator(page):
        await enrol(page, served.url, "Bob")
        await picture(page, f"{look}-passkeys")
        await configure(served.store, proof=Proof.PASSKEY)
        protected = await served.ask(call())
        await page.goto(served.url)
        link = page.get_by_role("link", name="Refund 20.00 EUR for order 17")
        await expect(link).to_be_visible()
        await picture(page, f"{look}-inbox")
        await link.click()
        await picture(page, f"{look}-request")
        await page.get_by_role("button", name="Approve", exact=True).click()
        await picture(page, f"{look}-confirm")
        await page.get_by_role("button", name="Approve with passkey").click()
        await expect(page.get_by_text("Approved by @bob")).to_be_visible()
        assert await served.status(protected) is Status.APPROVED
        await picture(page, f"{look}-approved")

        form = await served.ask(editable())
        await page.goto(f"{served.url}/requests/{form.id}")
        await page.get_by_text("Edit…").click()
        await page.get_by_label("Amount").fill("19.5")
        await picture(page, f"{look}-edit")
        await page.get_by_role("button", name="Approve with changes").click()
        await page.get_by_role("button", name="with passkey").click()
        await expect(page.get_by_text("Approved with changes by @bob")).to_be_visible()
        assert await served.status(form) is Status.EDITED

        await configure(served.store, proof=Proof.SLACK)
        mail = await served.ask(question())
        await page.goto(f"{served.url}/requests/{mail.id}")
        await page.get_by_text("Reject…").click()
        await page.get_by_label("Reason").fill("They refused last year.")
        await page.get_by_role("button", name="Reject", exact=True).click()
        await expect(page.get_by_text("Rejected by @bob")).to_be_visible()
        region = await served.ask(choice("eu", "us", "Mars"))
        await page.goto(f"{served.url}/requests/{region.id}")
        await picture(page, f"{look}-choice")
        await page.get_by_label("2. us").check()
        await page.get_by_role("button", name="Choose").click()
        await expect(page.get_by_text("Answered by @bob")).to_be_visible()
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.goto(served.url)
        await picture(page, f"{look}-inbox-decided")
        await page.goto(f"{served.url}/passkeys")
        await page.get_by_text("Rename or revoke…").click()
        await page.get_by_role("button", name="Revoke Work laptop").click()
        await expect(page.get_by_text("All your passkeys were revoked.")).to_be_visible()
        await picture(page, f"{look}-passkeys-revoked")


async def test_open_inbox_follows_other_peoples_decisions(served: Served) -> None:
    """A new request appears without a reload, and a decided one says by whom."""
    bob, carol = await served.sign_in("Bob"), await served.sign_in("Carol")
    request = await served.ask(question())
    await expect(bob.get_by_role("link", name="send this mail")).to_be_visible()
    await carol.goto(f"{served.url}/requests/{request.id}")
    await carol.get_by_role("button", name="Approve", exact=True).click()
    await expect(bob.locator(".gone").get_by_text("Approved by @carol")).to_be_visible()
    await picture(bob, "inbox-decided-meanwhile")
    other = await served.ask(call())
    await carol.goto(f"{served.url}/requests/{other.id}")
    await bob.goto(f"{served.url}/requests/{other.id}")
    await bob.get_by_role("button", name="Approve", exact=True).click()
    await expect(carol.get_by_text("Approved by @bob")).to_be_visible()
    await expect(carol.get_by_role("button", name="Approve", exact=True)).to_have_count(0)


async def test_people_decide_while_slack_is_away(served: Served) -> None:
    """Five requests while Slack takes nothing; afterwards each has one card, drawn as decided."""
    page = await served.sign_in("Bob")
    away = served.slack.faults.add("server_error", times=None)
    requests = [await served.ask(question(f"Mail {number}", title=f"send mail {number}")) for number in range(5)]
    for request in requests:
        await page.goto(served.url)
        await page.get_by_role("link", name=request.question.title).first.click()
        await page.get_by_role("button", name="Approve", exact=True).click()
        await expect(page.get_by_text("Approved by")).to_be_visible()
        assert await served.status(request) is Status.APPROVED
    await picture(page, "slack-away")
    served.slack.faults.active.remove(away)
    await all_drawn(served.slack, served.store)
    cards = served.slack.channel("#approvals").messages
    for request in requests:
        (card,) = [one for one in cards if request.question.title in one.text]
        assert "*Approved*" in card.text and "Approve" not in card.buttons


async def test_pages_work_with_the_keyboard_alone(served: Served) -> None:
    request = await served.ask(question())
    page = await served.sign_in("Bob")
    await expect(page.get_by_role("link", name="send this mail")).to_be_visible()
    for _ in range(12):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.className") == "row":
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Ten percent off, please.")).to_be_visible()
    for _ in range(12):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.textContent") == "Approve":
            break
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Approved by @bob")).to_be_visible()
    assert await served.status(request) is Status.APPROVED
