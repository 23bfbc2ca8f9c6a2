"""A real Chromium for the tests of the page, found on the PATH; without one these tests are skipped and say so."""

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from playwright.async_api import Browser, ConsoleMessage, Page, async_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE_MS = 5_000

Open = Callable[..., Awaitable[Page]]


def chromium() -> str | None:
    """The browser's program, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip(f"no browser on the PATH (looked for {', '.join(NAMES)}): the page was not tested")
    async with async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=program, args=list(ARGUMENTS))
        try:
            yield running
        finally:
            await running.close()


@pytest.fixture
async def open_page(browser: Browser) -> AsyncIterator[Open]:
    """`await open_page(url, width=…, height=…)`; a page that complained in its console fails the test."""
    complaints: list[str] = []

    def listen(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    async def opened(url: str, *, width: int = 1280, height: int = 800) -> Page:
        is_phone = width < 600
        context = await browser.new_context(
            viewport={"width": width, "height": height}, has_touch=is_phone, is_mobile=is_phone
        )
        context.set_default_timeout(PATIENCE_MS)
        page = await context.new_page()
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(url)
        return page

    yield opened
    assert complaints == []
