"""Several workspaces over one Redis.

Each has a namespace of its own: `<NAMESPACE>-<workspace>`.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from typing import NamedTuple

from countersign.domain.ids import WorkspaceId
from countersign.store.installations import Installations
from countersign.store.job_queue import Queue
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines
from countersign.usecases.ports import Message

from .installations import oauth
from .installations.records import Installation, InstallationRecords, Vault
from .installations.renewal import Renewal, RenewedClient
from .installations.workspace_registry import Newest, Opened, WorkspaceRegistry
from .settings import REDIRECT_PATH, WebSettings
from .slack.app import Clients, slack_clients
from .slack.connection_limits import Asgi
from .workspace import at_work, opened, store_of


class Installed(NamedTuple):
    """All workspaces, the clients without a token, and the pages of OAuth.

    `stores`: of those that are served now.
    """

    registry: WorkspaceRegistry
    clients: Clients
    pages: dict[str, Asgi]
    stores: dict[WorkspaceId, Store]


def namespace_of(settings: WebSettings, workspace: WorkspaceId) -> str:
    """The namespace of a workspace, which its workers have as NAMESPACE."""
    return f"{settings.namespace}-{workspace}"


@asynccontextmanager
async def installed(settings: WebSettings, store: Store, owner: str) -> AsyncIterator[Installed]:
    """Serve every workspace that installs the app by OAuth, until the block ends."""
    assert settings.slack_client_id and settings.slack_client_secret
    assert settings.slack_redirect_url and settings.encryption_keys
    client_id, secret = settings.slack_client_id, settings.slack_client_secret.get_secret_value()
    records = InstallationRecords(Installations(store), Vault(settings.encryption_keys.get_secret_value().split(",")))

    stores: dict[WorkspaceId, Store] = {}

    def store_for(workspace: WorkspaceId) -> Store:
        return store_of(settings, store.client, namespace_of(settings, workspace))

    @asynccontextmanager
    async def serve(installation: Installation, newest: Newest) -> AsyncIterator[Opened]:
        async with slack_clients(installation.token, settings.slack_api_url, RenewedClient) as clients:
            speaking = [getattr(clients, field.name) for field in fields(clients)]
            for client in speaking:
                client.newest = newest
            async with opened(settings, store_for(installation.workspace), clients, owner) as workspace:
                stores[installation.workspace] = workspace.store
                try:
                    yield Opened(workspace.app, speaking)
                finally:
                    del stores[installation.workspace]

    @asynccontextmanager
    async def keep_deadlines(workspace: WorkspaceId) -> AsyncIterator[None]:
        here = store_for(workspace)
        async with AsyncExitStack() as stack:
            queue = await stack.enter_async_context(Queue(settings.redis_url.get_secret_value(), here.keys.namespace))
            wakeups = await stack.enter_async_context(Wakeups(here))
            work = deadlines.keep(here, queue, wakeups, _nobody_sees)
            await stack.enter_async_context(at_work("deadlines", work))
            yield

    async with slack_clients("", settings.slack_api_url) as clients, AsyncExitStack() as stack:
        for client in (getattr(clients, field.name) for field in fields(clients)):
            client.token = None
        renewal = Renewal(records, clients.posts, client_id, secret)
        install_url = settings.slack_redirect_url.removesuffix(REDIRECT_PATH) + oauth.INSTALL_PATH
        registry = WorkspaceRegistry(records, renewal, clients.posts, install_url, serve, keep_deadlines)
        flow = oauth.flow(
            records,
            clients.posts,
            client_id,
            secret,
            settings.slack_redirect_url,
            settings.approvals_channel,
            registry.refresh,
        )
        await stack.enter_async_context(at_work("workspaces", registry.run()))
        await stack.enter_async_context(at_work("renewal", registry.renew()))
        pages = oauth.pages(flow)
        yield Installed(registry, clients, {oauth.INSTALL_PATH: pages, REDIRECT_PATH: pages}, stores)


async def _nobody_sees(card: Message) -> bool:
    """Say that no card can be seen, so that silence approves nothing.

    The app is not in that workspace.
    """
    return False
