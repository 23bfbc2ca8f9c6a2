"""A bot in Socket Mode at a local Slack, over a real store: what `python -m bot` wires, without the process."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from slack_bolt.async_app import AsyncApp

from bot.slack import app
from bot.slack.handlers.context import Services
from bot.slack.people.lookup_cache import LookupCache
from bot.slack.people.users_and_groups import Directory
from bot.slack.projector.clicked_cards import ClickedCards
from bot.slack.projector.home_publisher import HomePublisher
from bot.slack.projector.message_sync import Place, Poster
from bot.slack.routes import register
from bot.slack.slack_calls import GatedCalls
from bot.slack.views.block_kit import Drawing
from countersign.domain.events import Event
from countersign.domain.ids import UserId
from countersign.domain.requests import Request
from countersign.store.record_codecs import EVENTS
from countersign.store.redis.connection import RedisClient
from countersign.store.request_lists import Overview
from countersign.store.store import Store
from localslack import LocalSlack
from localslack.fixtures import HURRY
from localslack.person import Person
from localslack.workspace import Message
from tests.longest_wait import PATIENCE
from tests.sample_requests import HERE, OURS
from tests.store_fixtures import NoQueue


@asynccontextmanager
async def unconnected_bot(slack: LocalSlack, store: Store) -> AsyncIterator[tuple[Services, AsyncApp, app.Clients]]:
    """All but the way in."""
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(app.slack_clients(slack.bot_token, slack.api_url))
        identity = await app.identify(clients.reads)
        directory = Directory(clients.reads, identity.workspace, LookupCache(patience=PATIENCE))
        stack.push_async_callback(directory.close)
        poster = Poster(GatedCalls(clients.posts, HURRY), store, identity.workspace, identity.home, identity.names)
        homes = HomePublisher(store, Overview(store), directory, GatedCalls(clients.homes, HURRY), poster.link)
        cards = ClickedCards(store, poster, clients.reads.session)
        services = Services(
            store,
            NoQueue(),
            directory,
            clients.reads,
            frozenset({UserId("U0DAVE")}),
            poster.link,
            homes,
            cards,
            identity.bot_user,
        )
        stack.push_async_callback(services.drain)
        bolt = app.build(clients, identity)
        register(bolt, services)
        yield services, bolt, clients


@asynccontextmanager
async def connected_bot(slack: LocalSlack, store: Store) -> AsyncIterator[Services]:
    """One web process's listeners, connected."""
    async with (
        unconnected_bot(slack, store) as (services, bolt, clients),
        app.socket_mode(bolt, slack.app_token, clients.reads),
    ):
        await slack.wait_connected(1)
        yield services


Show = Callable[[Request], Awaitable[Message]]


async def post(slack: LocalSlack, store: Store, bot: Services, drawing: Drawing, request: Request) -> Message:
    poster = Poster(GatedCalls(bot.client, HURRY), store, HERE, slack.url, OURS)
    place = Place(request.rules.approvals_channel)
    posted = await poster.show(f"card/{request.id}", place, drawing, request=request.id)
    assert posted is not None
    return await slack.wait_message("#approvals", lambda m: m.ts == posted.ts)


@asynccontextmanager
async def redis_away(store: Store) -> AsyncIterator[None]:
    """The store's Redis does not answer, as long as this lasts."""
    real = store.client.connection_pool
    nowhere = RedisClient.from_url("redis://127.0.0.1:1/0", retry=Retry(NoBackoff(), 1))
    store.client.connection_pool = nowhere.connection_pool
    try:
        yield
    finally:
        store.client.connection_pool = real
        await nowhere.aclose()


async def newest_ephemeral(person: Person, times: int) -> str:
    """What only this person reads, once something was told them that many times: the newest."""
    await person.slack.wait_for(lambda _: len(person.ephemerals) >= times)
    return person.ephemerals[-1].text


async def confirm_loosening(person: Person) -> str:
    """Confirm the milder rules whose window opened; returns what its person alone reads then."""
    so_far = len(person.ephemerals)
    await person.wait_modal("This loosens the rules")
    assert await person.submit() == {}
    return await newest_ephemeral(person, so_far + 1)


async def events(store: Store) -> list[Event]:
    return [EVENTS.load(fields[b"event"]) for _, fields in await store.client.xrange(store.keys.events)]
