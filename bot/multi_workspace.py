"""Several workspaces over one Redis.

Each has a namespace of its own: `<NAMESPACE>-<workspace>`.
"""

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import fields
from typing import Any, Final, NamedTuple

from countersign.domain.errors import StoreUnavailable
from countersign.domain.ids import ChannelId, RequestId, WorkspaceId
from countersign.http_port import Asgi
from countersign.store.installations import Installations
from countersign.store.store import Store
from countersign.store.wakeups import Wakeups
from countersign.usecases import deadlines
from countersign.usecases.ports import Message

from .api.port import ApiPort
from .installations import oauth
from .installations.records import Installation, InstallationRecords, Vault
from .installations.renewal import Renewal, RenewedClient
from .installations.workspace_registry import Newest, Opened, WorkspaceRegistry
from .pages.site import Pages
from .settings import REDIRECT_PATH, WebSettings
from .slack.app import Clients, slack_clients
from .worker_areas import WorkerAreas
from .workspace import at_work, opened, store_of

_NAME: Final = re.compile(r"\bq[a-z0-9]{1,40}\b")
"""What may be a request's id in a button."""


class Installed(NamedTuple):
    """All workspaces, the clients without a token, and the pages of OAuth.

    `stores`: the stores of the workspaces served now.
    """

    registry: WorkspaceRegistry
    clients: Clients
    pages: dict[str, Asgi]
    stores: dict[WorkspaceId, Store]


def namespace_of(settings: WebSettings, workspace: WorkspaceId) -> str:
    """Return the namespace of a workspace, which its workers set as NAMESPACE."""
    return f"{settings.namespace}-{workspace}"


@asynccontextmanager
async def installed(
    settings: WebSettings, store: Store, owner: str, port: ApiPort, reviewing: Pages | None = None
) -> AsyncIterator[Installed]:
    """Serve every workspace that installs the app by OAuth, until the block ends.

    `reviewing`: the pages on which their people review, if there are any.
    """
    assert settings.slack_client_id and settings.slack_client_secret
    assert settings.slack_redirect_url and settings.encryption_keys
    client_id, secret = settings.slack_client_id, settings.slack_client_secret.get_secret_value()
    records = InstallationRecords(Installations(store), Vault(settings.encryption_keys.get_secret_value().split(",")))

    stores: dict[WorkspaceId, Store] = {}

    def store_for(workspace: WorkspaceId) -> Store:
        return store_of(settings, store.client, namespace_of(settings, workspace))

    @asynccontextmanager
    async def serve(team: WorkspaceId, installation: Installation, newest: Newest) -> AsyncIterator[Opened]:
        of_many = team if installation.is_organization else None
        async with slack_clients(installation.token, settings.slack_api_url, RenewedClient, of_many) as clients:
            speaking = [getattr(clients, field.name) for field in fields(clients)]
            for client in speaking:
                client.newest = newest
            async with opened(settings, store_for(team), clients, owner, port, of_many, reviewing) as workspace:
                stores[team] = here = workspace.store

                async def has_card(body: dict[str, Any]) -> bool:
                    at, names = body.get("container") or {}, _NAME.findall(str(body.get("actions")))
                    channel, ts = ChannelId.named(str(at.get("channel_id"))), str(at.get("message_ts"))
                    try:
                        if channel is not None and await here.message_request(team, channel, ts) is not None:
                            return True  # it may be older than its request
                        requests = filter(None, map(RequestId.named, names[:20]))
                        return any([await here.request(name) is not None for name in requests])  # or not indexed yet
                    except StoreUnavailable:
                        return False

                try:
                    yield Opened(workspace.app, speaking, workspace.answers, has_card)
                finally:
                    del stores[team]

    @asynccontextmanager
    async def keep_deadlines(workspace: WorkspaceId) -> AsyncIterator[None]:
        here = store_for(workspace)
        async with AsyncExitStack() as stack:
            queue = await stack.enter_async_context(WorkerAreas(settings.redis_url.get_secret_value(), here))
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
