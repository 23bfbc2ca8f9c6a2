"""`make demo` as a newcomer plays it: the real processes, a real browser, and the mail at the end.

With `PICTURES=<folder>` in the environment it leaves screenshots there.
"""

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser import PHONE, OpenPage
from tests.longest_wait import PATIENCE

pytestmark = pytest.mark.slow

HERE = Path(__file__).resolve().parent.parent.parent


def seven_free_ports() -> int:
    """The first of seven free ports in a row."""
    for first in range(20_000 + 7 * (os.getpid() % 2_000), 60_000, 7):
        sockets = []
        try:
            sockets = [socket.create_server(("127.0.0.1", port)) for port in range(first, first + 7)]
            return first
        except OSError:
            continue
        finally:
            for opened in sockets:
                opened.close()
    raise AssertionError("no seven free ports in a row")


@asynccontextmanager
async def the_demo(data: Path) -> AsyncIterator[tuple[str, str, list[str]]]:
    """Addresses of Slack and of the mailbox, and everything that was printed."""
    port = seven_free_ports()
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


async def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("PICTURES"):
        await page.screenshot(path=Path(folder) / f"{name}.png")


async def test_the_readmes_story(open_page: OpenPage, tmp_path: Path) -> None:
    """Asking for changes brings another draft, Approve sends it, and the thread and the mailbox tell so."""
    async with the_demo(tmp_path) as (slack, mailbox, lines):
        alice = await open_page(f"{slack}?user=U0ALICE&channel=C0GENERAL")
        bob = await open_page(f"{slack}?user=U0BOB&channel=C0APPROVALS")
        composer = alice.get_by_test_id("composer")
        await composer.fill("/agent email tell the vendor we need 10% off")
        await composer.press("Enter")

        first = bob.get_by_test_id("message").filter(has=bob.get_by_role("button", name="Approve"))
        await expect(first).to_contain_text("10%")
        await picture(bob, "card")
        await first.get_by_role("button", name="Request changes").click()
        modal = bob.get_by_test_id("modal")
        await modal.get_by_role("textbox").fill("make it shorter")
        await picture(bob, "respond")
        await modal.get_by_test_id("modal-submit").click()
        await expect(modal).to_have_count(0)

        await expect(bob.get_by_text("Changes requested by")).to_be_visible()
        await expect(first).to_have_count(1)
        await first.get_by_role("button", name="Approve").click()
        await expect(bob.get_by_text("Approved by")).to_be_visible()
        await expect(bob.get_by_role("button", name="Approve")).to_have_count(0)
        await picture(bob, "settled")

        await alice.get_by_test_id("reply-link").click()
        thread = alice.get_by_test_id("thread")
        await expect(thread).to_contain_text("Sent")
        await expect(thread).to_contain_text("Approved by")
        await picture(alice, "thread")
        letters = await open_page(mailbox)
        await expect(letters.get_by_text("vendor").first).to_be_visible()
        await picture(letters, "mailbox")
        thread_address = await alice.evaluate("location.href")
        for address, name in ((thread_address, "thread-phone"), (bob.url, "settled-phone")):
            page = await open_page(address, phone=True)
            await expect(page.get_by_text("Approved by").last).to_be_visible()
            assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
            await picture(page, name)
            await page.close()
        for page in (alice, bob, letters):
            await page.close()
    assert not [line for line in lines if "Traceback" in line or "ERROR" in line], "\n".join(lines)
