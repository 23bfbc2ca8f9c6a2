"""OAuth: the two pages by which a workspace installs the app.

https://docs.slack.dev/authentication/installing-with-oauth. The state is checked twice: this service made it, in the
last ten minutes; and the same browser brings it back, by a cookie that ends with the installation. Slack's code counts
once.
"""

import html
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
from slack_bolt.adapter.asgi.http_request import AsgiHttpRequest
from slack_bolt.adapter.asgi.http_response import AsgiHttpResponse
from slack_bolt.async_app import AsyncBoltRequest
from slack_bolt.error import BoltError
from slack_bolt.oauth.async_callback_options import AsyncCallbackOptions, AsyncFailureArgs, AsyncSuccessArgs
from slack_bolt.oauth.async_oauth_flow import AsyncOAuthFlow
from slack_bolt.oauth.async_oauth_settings import AsyncOAuthSettings
from slack_bolt.response import BoltResponse
from slack_sdk.oauth.installation_store import Installation as SlackInstallation
from slack_sdk.oauth.installation_store.async_installation_store import AsyncInstallationStore
from slack_sdk.oauth.state_store.async_state_store import AsyncOAuthStateStore
from slack_sdk.oauth.state_utils import OAuthStateUtils
from slack_sdk.web.async_client import AsyncWebClient

from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.ids import WorkspaceId
from countersign.http_port import Asgi, Receive, Scope, Send

from ..slack.app import SCOPES
from .records import Installation, InstallationRecords, Vault

INSTALL_PATH: Final = "/slack/install"
WITHIN: Final = timedelta(minutes=10)
"""Between the two pages; Slack's codes are good as long."""
_AGAIN: Final = '<a href="install">Install again</a>.'
_FAILED: Final = {
    "access_denied": "The installation was cancelled; nothing was changed.",
    "invalid_browser": "This page was not opened by the browser in which the installation began. Nothing was changed.",
    "invalid_state": "This installation is older than ten minutes, or was not begun here. Nothing was changed.",
    "missing_code": "Slack sent no code. Nothing was changed.",
    "invalid_code": "Slack does not know this code any more, or it is another app's. Nothing was changed.",
    "away": "Slack did not answer. Nothing was changed.",
}
_log = logging.getLogger(__name__)
_of_bolt: Final = logging.getLogger(f"{__name__}.bolt")


def _quoted(record: logging.LogRecord) -> bool:
    """Quote Bolt's log lines: they contain codes that anybody may send."""
    message = record.getMessage()
    if " with code: " in message:
        message = "Slack refused the code of an installation: " + message.rpartition(" - error: ")[2]
    record.msg, record.args = "%.300r", (message,)
    return True


_of_bolt.addFilter(_quoted)


class InstallationRefused(BoltError):
    """Error: the installation is refused; the text is for the person who made it."""


class _Installations(AsyncInstallationStore):
    """Stores the installations that Slack grants.

    Bolt never reads them here: the task that serves a workspace has its token.
    """

    def __init__(self, records: InstallationRecords) -> None:
        self._records = records

    async def async_save(self, installation: SlackInstallation) -> None:
        """Store an installation; InstallationRefused if it cannot be served."""
        owner, name = installation.team_id, installation.team_name
        if installation.is_enterprise_install:
            owner, name = installation.enterprise_id, installation.enterprise_name
        if not owner:
            raise InstallationRefused("Slack names neither a workspace nor an organization.")
        granted = installation.bot_scopes or []
        missing = SCOPES - set(granted.split(",") if isinstance(granted, str) else granted)
        if missing or not installation.bot_token:
            raise InstallationRefused(
                f"The app was not given {', '.join(sorted(missing)) or 'a bot token'}, and needs all of it."
            )
        ends_at = installation.bot_token_expires_at
        new = Installation(
            WorkspaceId(owner),
            str(name or owner),
            installation.bot_token,
            installation.bot_refresh_token or "",
            datetime.fromtimestamp(ends_at, UTC) if ends_at else None,
        )
        try:
            await self._records.install(new)
        except StoreUnavailable as away:
            _log.error("Workspace %s was not installed: %s", new, away)
            raise InstallationRefused(
                "The store cannot be reached just now. Nothing was changed; please try again."
            ) from away
        _log.info("Workspace %s is installed.", new)


class _States(AsyncOAuthStateStore):
    """States that this service made.

    Redis holds none of them, so opening the page many times fills no memory. slack-sdk's own stateless store gives
    everybody who begins in the same second the same state.
    """

    def __init__(self, vault: Vault) -> None:
        self._vault = vault

    async def async_issue(self, *args: Any, **kwargs: Any) -> str:
        """Make a state, which is another one each time."""
        return self._vault.state()

    async def async_consume(self, state: str) -> bool:
        """Tell whether this service made the state, in time."""
        return self._vault.made(state, WITHIN)


class _StateCookie(OAuthStateUtils):
    """A cookie that comes with Slack's redirect, and with no other site's request."""

    def build_set_cookie_for_new_state(self, state: str) -> str:
        return f"{super().build_set_cookie_for_new_state(state)}; SameSite=Lax"

    def build_set_cookie_for_deletion(self) -> str:
        return f"{super().build_set_cookie_for_deletion()}; SameSite=Lax"


class Flow(AsyncOAuthFlow):
    """Bolt's flow, without what a link could bring along to Slack's page."""

    async def build_authorize_url(self, state: str, request: AsyncBoltRequest) -> str:
        """Return the address of Slack's page; a `team` of the request is left out."""
        return self.settings.authorize_url_generator.generate(state=state)

    async def handle_callback(self, request: AsyncBoltRequest) -> BoltResponse:
        """Finish the installation after Slack's page, and show the result."""
        try:
            return await super().handle_callback(request)
        except (aiohttp.ClientError, TimeoutError, OSError, CountersignError) as away:
            _log.warning("An installation could not be finished: %r", away)
            return _page(503, f"{_FAILED['away']} {_AGAIN}")


def flow(
    records: InstallationRecords,
    client: AsyncWebClient,
    client_id: str,
    secret: str,
    redirect_url: str,
    channel: str,
    arrived: Callable[[], None],
) -> Flow:
    """Build the flow.

    `arrived` is called once a workspace is stored; `channel` is where its cards will go.
    """

    async def succeeded(args: AsyncSuccessArgs) -> BoltResponse:
        arrived()
        of, room, over = args.installation, html.escape(channel), settings.state_utils.build_set_cookie_for_deletion()
        if of.is_enterprise_install:
            profile = f"/manage/{of.enterprise_id}/integrations/profile/{of.app_id}/workspaces/add"
            return _page(
                200,
                f"The app is installed in {html.escape(of.enterprise_name or 'the organization')}. Two steps are left: "
                f'<a href="https://app.slack.com{html.escape(profile)}">add it to workspaces</a>, '
                f"and invite it to {room} in each.",
                over,
            )
        where = html.escape(of.team_name or "the workspace")
        return _page(200, f"The app is installed in {where}. One step is left there: invite it to {room}.", over)

    async def failed(args: AsyncFailureArgs) -> BoltResponse:
        words = str(args.error) if isinstance(args.error, InstallationRefused) else _FAILED.get(args.reason)
        _log.warning("An installation was refused (%.100r).", args.reason)  # any page may send one here
        return _page(
            args.suggested_status_code if words != _FAILED["access_denied"] else 200,
            f"{html.escape(words or f'Slack refused the installation ({args.reason}).')} {_AGAIN}",
        )

    address = urlsplit(str(client.base_url))
    settings = AsyncOAuthSettings(
        client_id=client_id,
        client_secret=secret,
        scopes=sorted(SCOPES),
        user_scopes=[],
        redirect_uri=redirect_url,
        install_path=INSTALL_PATH,
        install_page_rendering_enabled=False,
        callback_options=AsyncCallbackOptions(succeeded, failed),
        authorization_url=f"{address.scheme}://{address.netloc}/oauth/v2/authorize",
        installation_store=_Installations(records),
        state_store=_States(records.vault),
        state_expiration_seconds=int(WITHIN.total_seconds()),
        logger=_of_bolt,
    )
    settings.state_utils = _StateCookie(expiration_seconds=settings.state_expiration_seconds)
    return Flow(client=client, logger=_of_bolt, settings=settings)


def pages(flow: AsyncOAuthFlow) -> Asgi:
    """Return the two pages, for GET."""

    async def nothing() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        http_request = AsgiHttpRequest(scope, nothing)
        request = AsyncBoltRequest(body="", query=http_request.query_string, headers=http_request.get_headers())
        handle = flow.handle_installation if scope["path"] == INSTALL_PATH else flow.handle_callback
        reply = await handle(request)
        response = AsgiHttpResponse(status=reply.status, headers=reply.headers, body=reply.body)
        await send(dict(response.get_response_start()))
        await send(dict(response.get_response_body()))

    return answer


def _page(status: int, text: str, cookie: str = "") -> BoltResponse:
    body = f'<!doctype html><meta charset="utf-8"><title>Countersign</title><p>{text}</p>'
    response = BoltResponse(status=status, body=body, headers={"Content-Type": "text/html; charset=utf-8"})
    if cookie:
        response.headers["set-cookie"] = [cookie]
    return response
