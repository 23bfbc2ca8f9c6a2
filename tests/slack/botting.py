"""A bot in Socket Mode at a local Slack, over a real store: what `python -m bot` wires, without the process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from slack_bolt.async_app import AsyncApp

from bot.slack import app
from bot.slack.handlers.context import Desk
from bot.slack.people.directory import Directory
from bot.slack.projector.home_publisher import Homes
from bot.slack.projector.message_sync import Place, Poster
from bot.slack.views.block_kit import Drawing
from countersign.domain.events import Event
from countersign.domain.ids import UserId
from countersign.domain.requests import Request
from countersign.store.overview import Overview
from countersign.store.ownership import EVENTS
from countersign.store.store import Store
from localslack import LocalSlack
from localslack.person import Person
from localslack.workspace import Message
from tests.making import HERE, OURS
from tests.patience import PATIENCE
from tests.storing import NoQueue


@asynccontextmanager
async def a_desk(slack: LocalSlack, store: Store) -> AsyncIterator[tuple[Desk, AsyncApp, app.Clients]]:
    """All but the way in."""
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(app.slack_clients(slack.bot_token, slack.api_url))
        identity = await app.identify(clients.reads)
        directory = Directory(clients.reads, identity.workspace, patience=PATIENCE)
        stack.push_async_callback(directory.close)
        poster = Poster(clients.posts, store, identity.workspace, identity.home, identity.names)
        homes = Homes(store, Overview(store), directory, clients.reads, identity.workspace, poster.link)
        desk = Desk(store, NoQueue(), directory, clients.reads, frozenset({UserId("U0DAVE")}), poster.link, homes)
        stack.push_async_callback(desk.drain)
        yield desk, app.build(clients, identity, desk, None), clients


@asynccontextmanager
async def a_bot(slack: LocalSlack, store: Store) -> AsyncIterator[Desk]:
    """One web process's listeners, connected."""
    async with (
        a_desk(slack, store) as (desk, bolt, clients),
        app.socket_mode(bolt, slack.app_token, clients.reads),
    ):
        await slack.wait_connected(1)
        yield desk


Show = Callable[[Request], Awaitable[Message]]


async def post(slack: LocalSlack, store: Store, bot: Desk, drawing: Drawing, request: Request) -> Message:
    poster = Poster(bot.client, store, HERE, slack.url, OURS)
    place = Place(request.rules.approvals_channel)
    posted = await poster.show(f"card/{request.id}", place, drawing, request=request.id)
    assert posted is not None
    return await slack.wait_message("#approvals", lambda m: m.ts == posted.ts)


@asynccontextmanager
async def away(store: Store) -> AsyncIterator[None]:
    """The store's Redis does not answer, as long as this lasts."""
    real = store.client.connection_pool
    nowhere = redis.asyncio.Redis.from_url("redis://127.0.0.1:1/0", retry=Retry(NoBackoff(), 1))
    store.client.connection_pool = nowhere.connection_pool
    try:
        yield
    finally:
        store.client.connection_pool = real
        await nowhere.aclose()


async def told(person: Person, times: int) -> str:
    """What only this person reads, once something was told them that many times: the newest."""
    await person.slack.wait_for(lambda _: len(person.ephemerals) >= times)
    return person.ephemerals[-1].text


async def events(store: Store) -> list[Event]:
    return [EVENTS.load(fields[b"event"]) for _, fields in await store.client.xrange(store.keys.events)]
