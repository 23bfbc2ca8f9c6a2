"""The pages in a real browser, with a passkey of Chromium's virtual authenticator.

With `PICTURES=<folder>` in the environment it leaves screenshots there.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

import pytest
import yaml
from playwright.async_api import CDPSession, Page, expect

from bot.pages.desk import Desk
from bot.pages.people_file import PeopleFile
from bot.pages.providers import Provider
from bot.pages.sign_in_pages import CALLBACK
from bot.pages.site import Pages
from bot.slack import http
from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain.proof import Proof
from countersign.domain.requests import Question, Request, Status
from countersign.store.sign_ins import SignIns
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from demo.login import CLIENT, PEOPLE, Login
from localslack import LocalSlack
from tests.browser import OpenPage
from tests.free_ports import free_port
from tests.sample_requests import HERE, call, choice, editable, question
from tests.slack.test_projector import all_drawn, running_projector
from tests.store_fixtures import NoQueue, configure

pytestmark = pytest.mark.slow


@dataclass
class Served:
    """Pages that a browser reaches, beside a Slack whose cards are drawn."""

    url: str
    slack: LocalSlack
    store: Store
    lease: Lease
    open_page: OpenPage
    asked: int = 0
    pages: list[Page] = field(default_factory=list)

    async def ask(self, asked: Question) -> Request:
        """Have the run ask, beside what it asked before."""
        self.asked += 1
        return await usecases.ask(self.store, self.lease, replace(asked, asked=self.asked))

    async def status(self, request: Request) -> Status:
        seen = await self.store.request(request.id)
        assert seen is not None
        return seen.value.status

    async def sign_in(self, name: str, *, phone: bool = False, scheme: Literal["light", "dark"] = "light") -> Page:
        """Open the inbox as somebody."""
        page = await self.open_page(self.url, phone=phone)
        self.pages.append(page)
        await page.emulate_media(color_scheme=scheme)
        await page.get_by_role("button", name=name).click()
        await expect(page.get_by_role("heading", name="Inbox")).to_be_visible()
        return page


@pytest.fixture
async def served(
    slack: LocalSlack, store: Store, lease: Lease, bot: Services, open_page: OpenPage, tmp_path: Path
) -> AsyncIterator[Served]:
    port = free_port()
    url = f"http://localhost:{port}"
    async with AsyncExitStack() as stack:
        login = Login(url + CALLBACK)
        await login.start()
        stack.push_async_callback(login.stop)
        file = tmp_path / "people.yaml"
        file.write_text(
            yaml.safe_dump(
                [{"issuer": login.issuer, "subject": f"demo-{name}", "user": user} for name, user in PEOPLE.items()]
            )
        )
        provider = Provider(name="Demo login", issuer=login.issuer, client_id=CLIENT)
        site = Pages(url, [provider], PeopleFile(file, (provider,)), SignIns(store), timedelta(0))
        desk = Desk(HERE, store, NoQueue(), bot.homes.overview, bot.directory, bot.link, bot.admins)
        stack.enter_context(site.serving(desk))
        await stack.enter_async_context(http.serving(site, "127.0.0.1", port))
        await stack.enter_async_context(running_projector(slack, store, directory=bot.directory))
        it = Served(url, slack, store, lease, open_page)
        yield it
        for page in it.pages:
            await page.goto("about:blank")  # an open page asks again and again


@asynccontextmanager
async def authenticator(page: Page) -> AsyncIterator[CDPSession]:
    """A passkey of this page's device, which verifies its person."""
    session = await page.context.new_cdp_session(page)
    await session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "internal",
        "hasResidentKey": True,
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    await session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    yield session
    await session.detach()


async def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        await page.screenshot(path=f"{folder}/{name}.png", full_page=True)


async def enrol(page: Page, url: str, person: str) -> None:
    """Enrol this device's passkey, with a fresh login."""
    await page.goto(f"{url}/passkeys")
    await page.get_by_label("Name", exact=True).fill("Work laptop")
    await page.get_by_role("button", name="Add a passkey").click()
    await page.get_by_role("link", name="Sign in again with Demo login").click()
    await page.get_by_role("button", name=person).click()
    await page.get_by_role("button", name="Create the passkey").click()
    await expect(page.get_by_text("Work laptop", exact=True)).to_be_visible()


@pytest.mark.parametrize(("phone", "scheme"), [(False, "light"), (True, "dark")])
async def test_a_reviewer_enrols_approves_edits_and_rejects(
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


async def test_an_open_inbox_follows_what_others_decide(served: Served) -> None:
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


async def test_the_pages_work_with_the_keyboard_alone(served: Served) -> None:
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
