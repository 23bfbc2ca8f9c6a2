"""Pages that a browser reaches, people who sign in there, and their passkeys.

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
from countersign.domain.requests import Question, Request, Status
from countersign.store.sign_ins import SignIns
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from demo.login import CLIENT, PEOPLE, Login
from localslack import LocalSlack
from tests.browser import OpenPage
from tests.free_ports import free_port
from tests.sample_requests import HERE
from tests.slack.test_projector import running_projector
from tests.store_fixtures import NoQueue


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
