"""A real browser for tests: one Chromium for all of them, a page of its own for each.

Chromium runs for the whole session; each test speaks to it from its own event loop, so that servers which a test
starts on that loop answer while the test looks at them.
"""

import contextlib
import os
import queue
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, ViewportSize, async_playwright, expect

from tests.longest_wait import PATIENCE

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
    # No page that a test opens is hostile to another: one process for each is enough, and none in reserve.
    "--disable-site-isolation-trials",
    # Nor does anybody type an address: the line for it would bring a page of 400 scripts along with each window.
    "--disable-features=SpareRendererForSitePerProcess,WebUIOmniboxPopup,WebUIOmniboxFullPopup,WebUIOmniboxAimPopup",
    "--renderer-process-limit=1",
    "--remote-debugging-port=0",
)
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
STARTS_WITHIN = PATIENCE
WAITS_MS = PATIENCE * 1000

OpenPage = Callable[..., Awaitable[Page]]
"""`await open_page(url, phone=False)`: a page with cookies and storage of its own."""


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address where one Chromium takes orders; skips when there is none on PATH."""
    program = program_on_path()
    if program is None:
        pytest.skip(f"No browser found: none of {', '.join(NAMES)} is on PATH (Debian: apt-get install chromium).")
    with running(program, tmp_path_factory.mktemp("chromium")) as address:
        yield address


def program_on_path() -> str | None:
    """The browser of this machine, if any."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextlib.contextmanager
def running(program: str, profile: Path) -> Iterator[str]:
    """One Chromium, by the address where it takes orders."""
    process = subprocess.Popen(
        [program, *ARGUMENTS, f"--user-data-dir={profile}", "about:blank"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},  # libfaketime hangs Chromium
    )
    try:
        yield _address(process, Path(program))
    finally:
        _end(process)


def _address(running: "subprocess.Popen[str]", program: Path) -> str:
    """What Chromium says on its standard error; the rest of it is read and thrown away."""
    found: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert running.stderr is not None
        for line in running.stderr:
            if match := re.match(r"DevTools listening on (ws://\S+)", line):
                found.put(match[1])
        found.put(None)

    threading.Thread(target=read, daemon=True).start()
    with contextlib.suppress(queue.Empty):
        if address := found.get(timeout=STARTS_WITHIN):
            return address
    raise RuntimeError(f"{program.name} did not start within {STARTS_WITHIN:g} s.")


def _end(running: "subprocess.Popen[str]") -> None:
    running.terminate()
    try:
        running.wait(timeout=5)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
    if running.stderr is not None:
        running.stderr.close()


@pytest_asyncio.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        connected = await playwright.chromium.connect_over_cdp(chromium)
        try:
            yield connected
        finally:
            await connected.close()


@pytest_asyncio.fixture
async def open_page(browser: Browser) -> AsyncIterator[OpenPage]:
    """Opens pages; fails a test whose page wrote an error to its console."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []
    expect.set_options(timeout=WAITS_MS)

    async def opened(url: str, *, phone: bool = False) -> Page:
        size = PHONE if phone else DESKTOP
        context = await browser.new_context(viewport=size, is_mobile=phone, has_touch=phone)
        contexts.append(context)
        context.set_default_timeout(WAITS_MS)
        page = await context.new_page()
        page.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: errors.append(str(error)))
        await page.goto(url)
        return page

    yield opened
    for context in contexts:
        await context.close()
    assert errors == []
