"""One or two `web` that workspaces install by OAuth, over a local Slack with two workspaces."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import aiohttp
from cryptography.fernet import Fernet
from yarl import URL

from bot.__main__ import serve
from bot.installations.records import InstallationRecords, Vault
from bot.settings import WebSettings
from countersign import usecases
from countersign.domain.ids import RunId, UserId, WorkerId, WorkspaceId
from countersign.domain.requests import Request
from countersign.store.installations import Installations
from countersign.store.redis.connection import connect
from countersign.store.store import Store
from countersign.usecases.ports import Announcement, Lease, TeamInfo
from localslack import LocalSlack
from localslack.workspace import Message
from tests.free_ports import free_port
from tests.longest_wait import PATIENCE
from tests.sample_requests import ALICE, GENERAL, question
from tests.store_fixtures import NoQueue

PUBLIC = "https://approvals.example.com"
KEY = Fernet.generate_key().decode()
T = TypeVar("T")


@dataclass
class Office:
    """The webs that run, by their ports, and their workspaces.

    Each answers probes at the port of the same place in `ops_ports`.
    """

    first: LocalSlack
    second: LocalSlack
    redis_url: str
    namespace: str
    ports: list[int] = field(default_factory=list)
    ops_ports: list[int] = field(default_factory=list)

    @asynccontextmanager
    async def web(self, **settings: Any) -> AsyncIterator[int]:
        """One more `web`, behind signed HTTP; its port."""
        given: dict[str, Any] = {
            "redis_url": self.redis_url,
            "namespace": self.namespace,
            "slack_client_id": self.first.config.client_id,
            "slack_client_secret": self.first.config.client_secret,
            "slack_redirect_url": f"{PUBLIC}/slack/oauth_redirect",
            "slack_signing_secret": self.first.signing_secret,
            "slack_api_url": self.first.api_url,
            "encryption_keys": KEY,
            "reviewers": "members",
            "own_requests": True,
            "port": 0,
            "ops_port": free_port(),
        }
        given |= settings
        stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
        work = asyncio.create_task(serve(WebSettings(**given), stop, ready.set_result))
        await asyncio.wait({work, ready}, return_when=asyncio.FIRST_COMPLETED)
        if not ready.done():
            await work
        port: int = ready.result()
        self.ports.append(port)
        self.ops_ports.append(given["ops_port"])
        url = f"http://127.0.0.1:{port}/slack/events"
        if given["slack_signing_secret"]:
            self.first.events_urls.append(url)
        try:
            yield port
        finally:
            if given["slack_signing_secret"]:
                self.first.events_urls.remove(url)
            self.ports.remove(port)
            self.ops_ports.remove(given["ops_port"])
            stop.set()
            await work

    async def install(self, slack: LocalSlack, *, invite: bool = True, **how: Any) -> tuple[int, str]:
        """Install the app as an admin does in their browser; the page at the end."""
        browser = Browser(self.ports[0])
        back = slack.allow(await browser.begin(), **how)
        page = await browser.end(back)
        if invite:
            for channel in ("#approvals", "#general"):
                slack.invite("U0BOT", channel)
        return page

    async def served(self, slack: LocalSlack) -> None:
        """Wait until commands of this workspace are answered, by every web."""
        for _ in self.ports * 3:
            await fact(lambda: _answered(slack))

    @asynccontextmanager
    async def store(self, slack: LocalSlack) -> AsyncIterator[Store]:
        """The store of a workspace, as everything of it sees it."""
        async with connect(self.redis_url) as client:
            yield Store(client, f"{self.namespace}-{slack.workspace.id}")

    @asynccontextmanager
    async def records(self, *keys: str) -> AsyncIterator[InstallationRecords]:
        """The installations, as a web with these keys reads them."""
        async with connect(self.redis_url) as client:
            yield InstallationRecords(Installations(Store(client, self.namespace)), Vault(keys or (KEY,)))


async def _answered(slack: LocalSlack) -> bool:
    reply = await slack.user("alice").command("/agent status", channel="#general")
    return reply.ok and "The app is not" not in reply.text


@dataclass
class Browser:
    """The browser of somebody who installs the app; it keeps the cookie."""

    port: int
    cookie: str = ""

    async def begin(self) -> str:
        """Open the first page; the address at Slack that it leads to."""
        async with aiohttp.ClientSession() as session:
            address = f"http://127.0.0.1:{self.port}/slack/install"
            async with session.get(address, allow_redirects=False) as page:
                assert page.status == 302, await page.text()
                assert "HttpOnly" in page.headers["Set-Cookie"] and "SameSite=Lax" in page.headers["Set-Cookie"]
                self.cookie = page.headers["Set-Cookie"].partition(";")[0]
                return page.headers["Location"]

    async def end(self, back: str) -> tuple[int, str]:
        """Follow Slack's way back; the page that it ends with."""
        address = URL(f"http://127.0.0.1:{self.port}" + back.removeprefix(PUBLIC), encoded=True)
        async with aiohttp.ClientSession() as session, session.get(address, headers={"Cookie": self.cookie}) as page:
            if "Set-Cookie" in page.headers:
                self.cookie = page.headers["Set-Cookie"].partition(";")[0]
            return page.status, await page.text()


async def fact(look: Callable[[], Awaitable[T]]) -> T:
    """What `look` finds, once it finds something."""
    async with asyncio.timeout(PATIENCE):
        while not (found := await look()):  # noqa: ASYNC110 -- a fact of another task
            await asyncio.sleep(0.01)
    return found


async def asked(store: Store, slack: LocalSlack, name: str, content: str) -> Request:
    """A run of Alice's in this workspace that asks, as a worker does it."""
    email = TeamInfo("email", "writes a mail")
    await store.workers.announce(WorkerId("worker"), Announcement((email,)), timedelta(hours=1))
    workspace = WorkspaceId(slack.workspace.id)
    run = await usecases.start(
        store,
        NoQueue(),
        run=RunId(name),
        workspace=workspace,
        channel=GENERAL,
        requester=UserId(ALICE),
        team="email",
        task=content,
    )
    lease = Lease(run.id, 1, "worker")
    await usecases.begin(store, lease)
    return await usecases.ask(store, lease, question(content, title=content))


async def card_of(slack: LocalSlack, content: str) -> Message:
    """The card with these words, with its buttons."""
    return await slack.wait_message("#approvals", lambda m: "Approve" in m.buttons and content in str(m.blocks))
