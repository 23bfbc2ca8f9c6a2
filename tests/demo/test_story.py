"""`make demo` as a newcomer plays it: the real processes, a real browser, and each of the example teams.

With `PICTURES=<folder>` in the environment it leaves screenshots there.
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from agents import registry
from tests.browser import OpenPage
from tests.free_ports import free_ports
from tests.longest_wait import PATIENCE

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent.parent.parent


@asynccontextmanager
async def the_demo(data: Path) -> AsyncIterator[tuple[str, str, list[str]]]:
    """Addresses of Slack and of the mailbox, and everything that was printed."""
    port = free_ports(10)
    demo = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "demo", "--data", str(data), "--port", str(port)),
        cwd=HERE,
        env={k: v for k, v in os.environ.items() if k not in ("REDIS_URL", "SMTP_URL", "REVIEWERS")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert demo.stdout is not None
    lines: list[str] = []
    try:
        async with asyncio.timeout(PATIENCE):
            while not any("Ctrl-C" in line for line in lines):
                line = await demo.stdout.readline()
                assert line, "".join(lines)
                lines.append(line.decode())
        slack, mail = (re.search(rf"{name} +(http\S+)", "".join(lines)) for name in ("Slack", "Mailbox"))
        assert slack
        assert mail
        yield slack[1], mail[1], lines
    finally:
        demo.send_signal(signal.SIGINT)
        lines += (await demo.stdout.read()).decode().splitlines()
        assert await demo.wait() == 0, "\n".join(lines)


class Screen:
    """Two people at screens of one width: alice asks in #general, bob reviews in #approvals."""

    def __init__(self, alice: Page, bob: Page, name: str) -> None:
        self.alice = alice
        self.bob = bob
        self._name = name
        self._task = ""
        self._pictures = 0

    async def start(self, task: str) -> None:
        """Type the task as a command."""
        self._task = task.partition(" ")[2]
        composer = self.alice.get_by_test_id("composer")
        await composer.fill(f"/agent {task}")
        await composer.press("Enter")

    async def card(self, *texts: str) -> Locator:
        """The card in #approvals that bob can decide now."""
        card = _decidable(self.bob)
        for text in texts:
            await expect(card).to_contain_text(text)
        await self.picture(self.bob, card)
        return card

    async def tap(self, card: Locator, button: str) -> None:
        """Tap a button of the card."""
        await card.get_by_role("button", name=button, exact=True).click()

    async def choose(self, card: Locator, item: str) -> None:
        """Choose an item of the card's menu."""
        await card.get_by_role("button", name="More actions").click()
        await card.page.get_by_role("menuitem", name=item).click()

    async def submit(self, page: Page, field: str = "", words: str = "") -> None:
        """Fill a field of the window in, and submit it."""
        window = page.get_by_test_id("modal")
        if field:
            await window.get_by_role("textbox", name=field).fill(words)
        await self.picture(page)
        await window.get_by_test_id("modal-submit").click()
        await expect(window).to_have_count(0)

    async def settled(self, *texts: str) -> None:
        """Read the last card of #approvals, settled."""
        card = self.bob.get_by_test_id("message").last
        for text in texts:
            await expect(card).to_contain_text(text)
        await expect(card.get_by_role("button", name="Approve")).to_have_count(0)
        await self.picture(self.bob, card)

    async def thread(self) -> Locator:
        """Open the thread of the run."""
        head = self.alice.get_by_test_id("messages").get_by_test_id("message").filter(has_text=self._task)
        await head.get_by_test_id("reply-link").click()
        return self.alice.get_by_test_id("thread")

    async def ended(self, state: str, *texts: str) -> None:
        """Read the run's thread to its end, and close it."""
        thread = await self.thread()
        head, end = thread.get_by_test_id("message").first, thread.get_by_text("Answered by DemoModel")
        await expect(head).to_contain_text(state)
        await expect(end).to_have_count(1)
        for text in texts:
            await expect(thread).to_contain_text(text)
        await self.picture(self.alice, head)
        await self.picture(self.alice, thread.get_by_test_id("message").last)
        await thread.get_by_test_id("thread-close").click()

    async def picture(self, page: Page, shown: Locator | None = None) -> None:
        """Take the screen with this in it; nothing leaves the screen to the side."""
        if shown is not None:
            await shown.scroll_into_view_if_needed()
        wide = await page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide[0] <= wide[1]
        self._pictures += 1
        if folder := os.environ.get("PICTURES"):
            await page.screenshot(path=Path(folder) / f"{self._name}-{self._pictures:02}.png")


def _decidable(page: Page) -> Locator:
    more = page.get_by_role("button", name="More actions")
    return page.get_by_test_id("message").filter(has=more).last


async def _email(screen: Screen) -> None:
    await screen.start("email tell the vendor we need 10% off")
    first = await screen.card("10%", "vendor@example.com")
    await screen.choose(first, "Request changes…")
    await screen.submit(screen.bob, "What should change?", "make it shorter")
    again = await screen.card("Changed since the last version", "make it shorter")
    await screen.tap(again, "Approve")
    await screen.settled("Approved by", "sent")
    await screen.ended("Sent", "Changes requested by", "Approved by")


async def _code(screen: Screen) -> None:
    await screen.start("code add up 3, 4 and 35")
    await screen.tap(await screen.card("sum(thing)"), "Approve")
    await screen.tap(await screen.card("Changed since", "sum(things)"), "Approve")
    await screen.settled("Approved by", "ran")
    await screen.ended("Ran", "42", "output.txt")


async def _deploy(screen: Screen) -> None:
    await screen.start("deploy deploy shop 2.1")
    await screen.tap(await screen.card("Where should shop 2.1 go?"), "staging")
    await screen.tap(await screen.card("Carry out this plan", "1. "), "Approve")
    await screen.tap(await screen.card("Release shop 2.1 to staging?"), "Approve")
    await screen.settled("Approved by", "released")
    await screen.ended("Carried out", "Approved by")


async def _research(screen: Screen) -> None:
    await screen.start("research what is tea made from")
    await screen.tap(await screen.card("Sign off this report?"), "Approve")
    await screen.settled("Approved by", "kept")
    await screen.ended("Signed off", "Approved by")


async def _support(screen: Screen) -> None:
    await screen.start("support order 17 came broken, pay it back")
    await screen.tap(await screen.card("Refund 45.00 EUR for order 17?"), "Approve")
    await screen.tap(await screen.card("Send this email to carla@example.com?"), "Reject")
    await screen.submit(screen.bob, "Reason", "I will call her")
    await screen.settled("Rejected by", "I will call her")
    await screen.ended("Refunded", "Rejected by")


async def _invoices(screen: Screen) -> None:
    await screen.start("invoices pay what is due")
    card = await screen.card("4 of 4 pending")
    await screen.tap(card, "Approve 4")
    await screen.picture(screen.bob)
    await screen.bob.get_by_test_id("confirm-yes").click()
    await screen.settled("All decided", "Approved by", "paid")
    await screen.ended("Paid", "Approved by")


async def _chat(screen: Screen) -> None:
    await screen.start("chat find a date; delete the old list")
    thread = await screen.thread()
    card = _decidable(screen.alice)
    await expect(card).to_contain_text("Step 1 of 2")
    await screen.picture(screen.alice, card)
    await screen.tap(card, "Continue")
    await expect(card).to_contain_text("Step 2 of 2")
    reply = thread.get_by_test_id("thread-composer")
    await reply.fill("ask Ann")
    await reply.press("Enter")
    await expect(card).to_contain_text("Step 3 of 3: ask Ann")
    await screen.picture(screen.alice, card)
    await screen.tap(card, "Continue")
    await expect(card).to_contain_text("All 3 steps")
    await screen.tap(card, "End here")
    await thread.get_by_test_id("thread-close").click()
    await screen.ended("Finished", "Replied by", "Ended here by")


async def _access(screen: Screen) -> None:
    await screen.start("access read billing for carol, 2 hours")
    card = await screen.card("Give carol read access to billing?", "2 h")
    await screen.choose(card, "Edit…")
    await expect(screen.bob.get_by_test_id("modal").get_by_role("textbox").first).to_be_visible()
    await screen.submit(screen.bob, "Hours", "1")
    await screen.settled("Bob Brown", "granted", "2 → 1")
    await screen.ended("Granted", "carol has read access to billing until")


STORIES: dict[str, Callable[[Screen], Awaitable[None]]] = {
    **{"email": _email, "code": _code, "deploy": _deploy, "research": _research},
    **{"support": _support, "invoices": _invoices, "chat": _chat, "access": _access},
}


@pytest.mark.parametrize("width", ["desktop", "phone"])
async def test_each_example_team_plays_in_a_browser(open_page: OpenPage, tmp_path: Path, width: str) -> None:
    """From the command to the end of the thread, by the buttons and windows of the page; the mail is in the mailbox."""
    assert set(STORIES) == set(registry.find().working)
    phone = width == "phone"
    async with the_demo(tmp_path) as (slack, mailbox, lines):
        alice = await open_page(f"{slack}?user=U0ALICE&channel=C0GENERAL", phone=phone)
        bob = await open_page(f"{slack}?user=U0BOB&channel=C0APPROVALS", phone=phone)
        await expect(alice.get_by_text("type: /agent email tell the vendor")).to_be_visible()
        for team, story in STORIES.items():
            await story(Screen(alice, bob, f"{team}-{width}"))
        letters = await open_page(mailbox, phone=phone)
        await expect(letters.get_by_text("vendor").first).to_be_visible()
        for page in (alice, bob, letters):
            await page.close()
    assert not [line for line in lines if "Traceback" in line or "ERROR" in line], "\n".join(lines)
