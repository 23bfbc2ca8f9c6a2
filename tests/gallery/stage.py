"""The stage: a local Slack, web and worker as processes, a browser, and the pictures that it takes."""

import asyncio
import io
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from PIL import Image
from playwright.async_api import Browser, Locator, Page, ViewportSize, async_playwright
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.views.block_kit import Drawing
from countersign.domain import api_keys
from countersign.domain.events import Event, EventType
from countersign.store.embedded_server import EmbeddedRedis
from countersign.store.programs import ApiKeys
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from demo.mailbox import Mailbox
from localslack import LocalSlack, text_of
from localslack.config import read_manifest
from localslack.fixtures import UNHURRIED
from localslack.workspace import Message
from tests import browser
from tests.free_ports import free_port
from tests.gallery.reading import PHONE_HEIGHT, Reading, Reviewer
from tests.processes import HERE, Deployment, deployment
from tests.slack.socket_bot import events

POLICY: Final = "version: 1\nrisks:\n  release: high\n"
"""What a reviewer of high risk meets: the release of the deploy team."""
SHARPER: Final = 1.25
"""Pixels of a picture for each of the phone's."""
QUALITY: Final = 66
WAITS_MS: Final = 60_000
LONGEST: Final = 1600
"""Pixels of a picture's height; what is below is cut."""
_HIDDEN: Final = "node => node.scrollHeight - node.clientHeight"
"""What has to be scrolled to."""
_ENDS: Final = (EventType.RUN_FINISHED, EventType.RUN_FAILED, EventType.RUN_STOPPED)


@dataclass(frozen=True)
class Shot:
    """Two pictures of one thing."""

    name: str
    caption: str


@dataclass
class Chapter:
    """A part of the page."""

    title: str
    text: str = ""
    shots: list[Shot] = field(default_factory=list)


class Stage:
    """Where scenes play, and what came of them."""

    def __init__(self, slack: LocalSlack, there: Deployment, folder: Path, desktop: Page, phone: Page) -> None:
        self.slack = slack
        self.there = there
        self.chapters: list[Chapter] = []
        self.readings: list[Reading] = []
        self._folder = folder
        self._pages = {"desktop": desktop, "phone": phone}
        self._seen: set[tuple[str, str]] = set()

    def chapter(self, title: str, text: str = "") -> None:
        """Begin a part of the page."""
        self.chapters.append(Chapter(title, text))

    async def start(self, task: str, who: str = "alice", channel: str = "#general") -> Message:
        """Start a task by the command; returns the head of its thread."""
        reply = await self.slack.user(who).command(f"/agent {task}", channel)
        assert reply.ok, reply
        words = task.partition(" ")[2]
        return await self._message(
            lambda m: m.from_app and not m.is_reply and m.channel != "C0APPROVALS" and words in text_of(m),
            f"the head of “{words}”",
        )

    async def over(self, head: Message) -> Message:
        """The head of a run, once nothing happens any more."""
        events = await self._events()
        run = next(event.run for event in reversed(events) if event.type is EventType.RUN_QUEUED)
        while not any(event.run == run and event.type in _ENDS for event in events):
            await asyncio.sleep(0.1)
            events = await self._events()
        await self.settle()
        return self.now(head)

    async def _events(self) -> list[Event]:
        async with connect(self.there.common["REDIS_URL"]) as client:
            return await events(Store(client, self.there.common["NAMESPACE"]))

    def now(self, message: Message) -> Message:
        """The message as it stands."""
        return self.slack.channel(message.channel).posts[message.ts].copy()

    async def settle(self) -> None:
        """Return once Slack has heard nothing new for a second."""
        calls = -1
        while calls != len(self.slack.calls):
            calls = len(self.slack.calls)
            await asyncio.sleep(1)

    async def card(self, *parts: str) -> Message:
        """The next card with these words that can be decided, wherever it is posted."""

        def match(message: Message) -> bool:
            new = (message.channel, message.ts) not in self._seen
            decidable = any(e["block_id"].startswith("decide") for e in message.elements)
            return new and decidable and all(part in text_of(message) for part in parts)

        card = await self._message(match, f"a card with {parts}")
        self._seen.add((card.channel, card.ts))
        return card

    async def settled(self, card: Message) -> Message:
        """The card once nothing can be decided on it any more, with what came of it."""

        def match(message: Message) -> bool:
            over = not any(e["block_id"].startswith("decide") for e in message.elements)
            return (message.channel, message.ts) == (card.channel, card.ts) and over

        await self._message(match, "the settled card")
        await self.settle()
        return self.now(card)

    async def _message(self, match: Callable[[Message], bool], what: str) -> Message:
        def find() -> Message | None:
            rooms = self.slack.workspace.channels.values()
            every = [message for room in rooms for message in room.posts.values() if message.from_app]
            return next((message.copy() for message in reversed(every) if match(message)), None)

        return await self.slack.wait_for(lambda _: find(), timeout=40, description=what)

    def reviewer(self, kind: str, card: Message, who: str = "") -> Reviewer:
        """Somebody who may decide it: a reviewer in #approvals, elsewhere whoever asked."""
        there = self.slack.channel(card.channel).name == "approvals"
        made = Reviewer(self.slack, who or ("bob" if there else "alice"), kind, card)
        self.readings.append(made.reading)
        return made

    async def message(self, name: str, caption: str, message: Message, who: str = "bob") -> None:
        """Picture a message, whole."""
        thread = message.thread_ts if message.is_reply else None
        place = {"channel": message.channel, "thread": thread}

        async def take(page: Page, kind: str) -> None:
            row = page.locator(f'[data-testid="message"][data-ts="{message.ts}"]').last
            await row.wait_for()
            await self._clip(page, row, name, kind)

        await self._both(take, name, caption, who, place)

    async def measured(self, reviewer: Reviewer, name: str, caption: str) -> None:
        """Picture the card of a reviewer, and measure it on the phone."""
        await self.message(name, caption, reviewer.card, reviewer.person.user.name)
        with Image.open(self._folder / f"{name}-phone.webp") as picture:
            reviewer.reading.height = picture.height / SHARPER / PHONE_HEIGHT

    async def menu(self, name: str, caption: str, card: Message, who: str = "bob") -> None:
        """Picture a card with its menu open."""

        async def take(page: Page, kind: str) -> None:
            message = page.locator(f'[data-testid="message"][data-ts="{card.ts}"]').last
            await message.get_by_role("button", name="More actions").last.click()
            await page.get_by_role("menuitem").first.wait_for()
            self._keep(await page.screenshot(animations="disabled"), name, kind)

        await self._both(take, name, caption, who, {"channel": card.channel})

    async def window(self, name: str, caption: str, who: str = "bob", channel: str = "C0APPROVALS") -> None:
        """Picture the window that is open: on a phone it is the whole screen."""

        async def take(page: Page, kind: str) -> None:
            modal = page.get_by_test_id("modal")
            await modal.wait_for()
            body = modal.locator(".dialog-body")
            await self._tall(page, await body.evaluate(_HIDDEN))
            await self._clip(page, modal, name, kind)

        await self._both(take, name, caption, who, {"channel": channel})

    async def opened(self, name: str, caption: str, card: Message, button: str, who: str = "bob") -> None:
        """Picture the window behind a card's button, and close it."""
        person = self.slack.user(who)
        await person.click(card, button)
        await person.wait_modal()
        await self.settle()
        await self.window(name, caption, who, card.channel)
        await person.close()

    async def posted(self, channel: str, drawing: Drawing) -> Message:
        """Post a drawing as the app; return the message."""
        client = AsyncWebClient(self.slack.bot_token, base_url=f"{self.slack.api_url.rstrip('/')}/")
        place = self.slack.channel(channel)
        answer = await client.chat_postMessage(channel=place.id, text=drawing.text, blocks=drawing.blocks)
        return place.posts[answer["ts"]].copy()

    async def thread(self, name: str, caption: str, head: Message, who: str = "alice") -> None:
        """Picture a thread."""

        async def take(page: Page, kind: str) -> None:
            pane = page.get_by_test_id("thread")
            await pane.locator('[data-testid="message"]').first.wait_for()
            await self._tall(page, await pane.locator(".messages").evaluate(_HIDDEN))
            await self._clip(page, pane, name, kind)

        await self._both(take, name, caption, who, {"channel": head.channel, "thread": head.ts})

    async def home(self, name: str, caption: str, who: str) -> None:
        """Picture somebody's Home."""
        person = self.slack.user(who)
        await person.open_home()
        await self.slack.wait_for(lambda _: person.home, description="the Home")
        await self.settle()

        async def take(page: Page, kind: str) -> None:
            home = page.get_by_test_id("home")
            await home.locator(".block").first.wait_for()
            await self._tall(page, await home.evaluate(_HIDDEN))
            await self._clip(page, page.locator(".main"), name, kind)

        await self._both(take, name, caption, who, {"channel": "C0GENERAL", "home": "1"})

    async def channel(self, name: str, caption: str, channel: str, who: str) -> None:
        """Picture a channel as it stands."""

        async def take(page: Page, kind: str) -> None:
            await page.locator('[data-testid="message"]').last.wait_for()
            self._keep(await page.screenshot(animations="disabled"), name, kind)

        await self._both(take, name, caption, who, {"channel": self.slack.channel(channel).id})

    async def view(self, who: str, message: Message, *, size: ViewportSize, thread: bool = False) -> Page:
        """Show a person a message in its channel or thread, on a screen of this size."""
        page = self._pages["desktop"]
        await page.set_viewport_size(size)
        place = {"user": self.slack.user(who).id, "channel": message.channel}
        await page.goto(f"{self.slack.url}/?{urlencode(place | ({'thread': message.ts} if thread else {}))}")
        row = page.locator(f'[data-testid="message"][data-ts="{message.ts}"]').last
        await row.wait_for()
        await page.evaluate("document.fonts.ready.then(() => true)")
        await row.evaluate("node => node.scrollIntoView({block: 'end'})")
        return page

    async def _both(
        self,
        take: Callable[[Page, str], Awaitable[None]],
        name: str,
        caption: str,
        who: str,
        place: Mapping[str, str | None],
    ) -> None:
        """Go to the place on both screens, and take the picture there."""

        async def one(kind: str, page: Page) -> None:
            query = urlencode({"user": self.slack.user(who).id, **{key: one for key, one in place.items() if one}})
            await page.goto(f"{self.slack.url}/?{query}")
            await page.locator('#connection:not(:text("Connecting"))').wait_for(state="attached")
            await page.evaluate("document.fonts.ready.then(() => true)")
            await take(page, kind)
            await self._tall(page, 0)

        await asyncio.gather(*(one(kind, page) for kind, page in self._pages.items()))
        self.chapters[-1].shots.append(Shot(name, caption))

    async def _tall(self, page: Page, more: int) -> None:
        """Make the page so much higher than a screen, so that all of it is in the picture."""
        base = browser.PHONE if page is self._pages["phone"] else browser.DESKTOP
        height = min(base["height"] + max(more, 0), LONGEST)
        await page.set_viewport_size({"width": base["width"], "height": height})

    async def _clip(self, page: Page, locator: Locator, name: str, kind: str) -> None:
        box = await locator.bounding_box()
        height = (page.viewport_size or browser.DESKTOP)["height"]
        if box is not None and box["height"] > height - 120:
            base = browser.PHONE if kind == "phone" else browser.DESKTOP
            await self._tall(page, int(box["height"]) + 200 - base["height"])
        await locator.evaluate("node => node.scrollIntoView({block: 'center'})")
        self._keep(await locator.screenshot(animations="disabled"), name, kind)

    def _keep(self, picture: bytes, name: str, kind: str) -> None:
        with Image.open(io.BytesIO(picture)) as image:
            image.convert("RGB").save(self._folder / f"{name}-{kind}.webp", quality=QUALITY, method=6)


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """A stage whose pictures go into the folder; everything ends with the block."""
    program = browser.program_on_path()
    if program is None:
        raise SystemExit(f"No browser found: none of {', '.join(browser.NAMES)} is on PATH.")
    async with AsyncExitStack() as stack:
        data = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = await stack.enter_async_context(EmbeddedRedis(data / "redis"))
        manifest = read_manifest(HERE / "manifest.yml")
        manifest["bot_events"] |= {"message.channels"}  # replies in a conversation's thread
        slack = await stack.enter_async_context(LocalSlack(**manifest, **UNHURRIED))
        there = await stack.enter_async_context(deployment(slack, server.url, "gallery", data))
        mails = Mailbox(data / "mailbox")
        await mails.start()
        stack.push_async_callback(mails.stop)
        await _programs(slack, there, data, f"smtp://127.0.0.1:{mails.smtp_port}")
        address = stack.enter_context(browser.running(program, data / "chromium"))
        playwright = await stack.enter_async_context(async_playwright())
        chromium = await playwright.chromium.connect_over_cdp(address)
        stack.push_async_callback(chromium.close)
        desktop, phone = await asyncio.gather(_page(chromium, phone=False), _page(chromium, phone=True))
        yield Stage(slack, there, folder, desktop, phone)


async def _programs(slack: LocalSlack, there: Deployment, data: Path, smtp: str) -> None:
    """Start web and worker, with an interface for programs, to which the environment has the key."""
    policy = data / "approvals.yaml"
    await asyncio.to_thread(policy.write_text, POLICY)
    port = free_port()
    await asyncio.gather(
        there.web(API_PORT=str(port), POLICY=str(policy), KEEP_EVENTS="forever", THREAD_REPLIES="yes"),
        there.worker(DOCKER_HOST="tcp://127.0.0.1:1", SMTP_URL=smtp),
    )
    async with connect(there.common["REDIS_URL"]) as client:
        store = Store(client, there.common["NAMESPACE"])
        issued = api_keys.issue("rollouts", ("C0GENERAL",), await store.now())
        await ApiKeys(store).put(issued.key)
    os.environ |= {"COUNTERSIGN_URL": f"http://127.0.0.1:{port}", "COUNTERSIGN_KEY": issued.token}


async def _page(chromium: Browser, *, phone: bool) -> Page:
    context = await chromium.new_context(
        viewport=browser.PHONE if phone else browser.DESKTOP,
        device_scale_factor=SHARPER if phone else 1,
        is_mobile=phone,
        has_touch=phone,
        reduced_motion="reduce",
        locale="en-US",
    )
    context.set_default_timeout(WAITS_MS)
    return await context.new_page()
