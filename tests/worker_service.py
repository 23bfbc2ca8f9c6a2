"""The interface of `web` for workers over real HTTP, without Slack."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bot.api import endpoints
from bot.api.endpoints import CONNECTIONS, Interface
from bot.slack import http
from countersign.domain import api_keys
from countersign.domain.api_keys import WORKERS
from countersign.domain.ids import ChannelId, UserId, WorkspaceId
from countersign.domain.requests import Question
from countersign.runs.area import Area, WebAddress
from countersign.runs.service import HttpService
from countersign.store.programs import ApiKeys
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups


@dataclass(frozen=True, slots=True)
class Served:
    """The interface, its address, and the key of all workers."""

    interface: Interface
    address: WebAddress

    @asynccontextmanager
    async def service(self) -> AsyncIterator[HttpService]:
        """`web` as a worker calls it."""

        async def resolve() -> WebAddress:
            return self.address

        async with HttpService(resolve) as service:
            yield service


@asynccontextmanager
async def served(store: Store, wakeups: Wakeups, workspace: WorkspaceId, *channels: ChannelId) -> AsyncIterator[Served]:
    """Serve the workspace of this store; the app is in these channels."""

    async def known(*, anew: bool = False) -> dict[str, ChannelId]:
        return {channel.lower(): channel for channel in channels}

    keys = ApiKeys(store)
    interface = Interface(store, keys, wakeups, known, workspace, UserId("U0BOT"), _any_form)
    issued = api_keys.issue_worker(WORKERS, (), await store.now())
    await keys.put(issued.key)
    async with http.serving(endpoints.app(interface), "127.0.0.1", 0, CONNECTIONS) as port:
        try:
            yield Served(interface, WebAddress((f"http://127.0.0.1:{port}",), issued.token))
        finally:
            interface.stop()


def _any_form(_: Question) -> None:
    return None


@asynccontextmanager
async def said(area: Area, web: Served) -> AsyncIterator[None]:
    """Say in the area where `web` is, for as long as the block lasts."""

    async def keep() -> None:
        while True:
            await area.put_address(web.address.urls[0], web.address.key)
            await asyncio.sleep(5)

    task = asyncio.create_task(keep())
    try:
        yield
    finally:
        task.cancel()
