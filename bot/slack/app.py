"""Connect to Slack: clients, our identity, the Bolt app, Socket Mode.

Everything is passed as parameters. Bolt also reads the environment: if SLACK_CLIENT_ID happened to be set, Bolt would
turn OAuth on and drop the token, so these variables are hidden from it.
"""

import asyncio
import json
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_async_handlers import (
    AsyncConnectionErrorRetryHandler,
    AsyncRateLimitErrorRetryHandler,
    AsyncServerErrorRetryHandler,
)
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from countersign import metrics
from countersign.domain.errors import WrongSettings
from countersign.domain.ids import UserId, WorkspaceId
from countersign.logs import OF_SLACK

from .. import slack_errors
from ..slack_proxy import proxy_for

SCOPES: Final = frozenset(
    {
        "channels:history",
        "channels:read",
        "chat:write",
        "commands",
        "files:write",
        "groups:history",
        "groups:read",
        "im:history",
        "im:write",
        "usergroups:read",
        "users:read",
    }
)
"""Scopes of the bot's token; the manifest asks for the same."""
_TRY_AGAIN: Final = 5.0
_BOLT_READS: Final = ("SLACK_CLIENT_ID", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET")
_CONNECTIONS: Final = 2
"""Slack refreshes each connection about once an hour, and Bolt closes the old one first: the other takes the clicks."""
DRAWING: Final = 40
"""Largest number of concurrent drawing calls."""
_PATIENCE: Final = 30.0
"""Seconds to wait for Slack's answer to a call."""
MOST_CONNECTIONS: Final = 10
"""Socket Mode connections that Slack allows an app, in all of its processes."""
LIMITED_FOR: Final = 3600.0
"""Seconds for which health tells of dropped events: Slack counts them by the hour."""
_PING: Final = 3.0
"""Seconds between pings of a Socket Mode connection; a dead one is replaced after four."""
_ORG_WIDE: Final = (
    "SLACK_BOT_TOKEN: it belongs to an installation for a whole organization, which names no single workspace. "
    "Install the app by OAuth instead (SLACK_CLIENT_ID): then each workspace of the organization is served."
)
_log = logging.getLogger(__name__)
_link_log = logging.getLogger(f"{__name__}.link")

Check = Callable[[], Awaitable[bool]]


class TokenRefused(WrongSettings):
    """Slack refuses the bot's token; `code` is its error."""

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__([f"SLACK_BOT_TOKEN: Slack refuses it ({code}). {slack_errors.advice(code)}"])

    @property
    def final(self) -> bool:
        """Tell whether a person must act before Slack can accept the token."""
        return self.code in slack_errors.FINAL | {"invalid_auth", "not_authed", "token_expired"}


class CountedClient(AsyncWebClient):
    """Client that counts its calls by method and error."""

    async def api_call(self, *args: Any, **kwargs: Any) -> AsyncSlackResponse:
        """Call as slack-sdk does."""
        method, code = str(args[0] if args else kwargs["api_method"]), "cancelled"
        try:
            answer = await super().api_call(*args, **kwargs)
            code = "ok"
        except SlackApiError as refused:
            code = slack_errors.code(refused)
            raise
        except Exception:
            code = "no_answer"
            raise
        finally:
            metrics.slack_called(method, code)
        return answer


@dataclass(frozen=True, slots=True)
class Clients:
    """Clients over two pools of connections.

    Drawing has its own pool, so that clicks never wait for it. `reads` opens windows and looks people up; `homes` and
    `posts` draw. `posts` does not retry: before a post is repeated, its sender checks whether Slack took it.
    """

    reads: AsyncWebClient
    homes: AsyncWebClient
    posts: AsyncWebClient


@dataclass(frozen=True, slots=True)
class Identity:
    """The owner of the bot's token. `home` is the workspace's address."""

    workspace: WorkspaceId
    bot_user: UserId
    bot: str
    home: str
    token: str

    @property
    def names(self) -> frozenset[str]:
        """The names under which Slack shows our messages."""
        return frozenset({self.bot_user, self.bot}) - {""}


@asynccontextmanager
async def slack_clients(
    token: str, api_url: str, kind: type[AsyncWebClient] = CountedClient, team: WorkspaceId | None = None
) -> AsyncIterator[Clients]:
    """Open the clients; their connections are closed at the end.

    `api_url` is the address of Slack or of a local Slack. `team`: the workspace to use with an organization's token.
    """
    base_url = api_url if api_url.endswith("/") else api_url + "/"
    # The time limit starts when a call is sent, not while it waits for a connection.
    patience = aiohttp.ClientTimeout(sock_connect=_PATIENCE, sock_read=_PATIENCE)
    async with (
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_PATIENCE)) as session,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=DRAWING), timeout=patience) as drawing,
    ):
        retries = [
            AsyncConnectionErrorRetryHandler(max_retry_count=1),
            AsyncServerErrorRetryHandler(max_retry_count=1),
            AsyncRateLimitErrorRetryHandler(max_retry_count=1),
        ]
        clients = Clients(
            kind(token=token, base_url=base_url, session=session, retry_handlers=retries),
            kind(token=token, base_url=base_url, session=drawing, retry_handlers=retries),
            kind(token=token, base_url=base_url, session=drawing, retry_handlers=[]),
        )
        for client in (clients.reads, clients.homes, clients.posts):
            client.proxy = proxy_for(base_url)
            client.default_params |= {"team_id": team} if team else {}
        yield clients


async def identify(client: AsyncWebClient, team: WorkspaceId | None = None) -> Identity:
    """Return our identity, waiting while Slack is away.

    `team`: the workspace that is served with an organization's token.

    TokenRefused if Slack refuses the token, WrongSettings if scopes are missing.
    """
    while True:
        try:
            answer = await client.auth_test()
        except SlackApiError as refused:
            code = slack_errors.code(refused)
            if refused.response.status_code < 500 and code not in slack_errors.TRANSIENT:
                raise TokenRefused(code) from None
            _log.warning("Slack does not say who we are (%s); asking again in %s s.", code, _TRY_AGAIN, extra=OF_SLACK)
        except (aiohttp.ClientError, TimeoutError, OSError) as away:
            _log.warning("Slack cannot be reached (%r); trying again in %s s.", away, _TRY_AGAIN, extra=OF_SLACK)
        else:
            _check_scopes(answer.headers)
            if answer.get("is_enterprise_install") and team is None:
                raise WrongSettings([_ORG_WIDE])
            return Identity(
                team or WorkspaceId(answer["team_id"]),
                UserId(answer["user_id"]),
                str(answer.get("bot_id") or ""),
                str(answer["url"]),
                str(client.token),
            )
        await asyncio.sleep(_TRY_AGAIN)


class App(AsyncApp):
    """Bolt's app, without the messages that no handler reads."""

    _limited: tuple[str, float] = ("", 0.0)

    @property
    def limited(self) -> str:
        """Return a sentence about events that Slack dropped, "" if it dropped none lately."""
        sentence, at = self._limited
        return sentence if time.monotonic() - at < LIMITED_FOR else ""

    async def async_dispatch(self, req: AsyncBoltRequest) -> BoltResponse:
        """Drop every message that is not a person's reply in a thread.

        Slack sends the app's own messages too (docs/slack.md).
        """
        body = req.body
        if body.get("type") == "app_rate_limited":
            self._note_limit(body)
            return BoltResponse(status=200, body="")
        event = body.get("event")
        if isinstance(event, dict) and event.get("type") == "message" and not _is_reply(event):
            return BoltResponse(status=200, body="")
        return await super().async_dispatch(req)

    def _note_limit(self, body: dict[str, Any]) -> None:
        workspace, minute = str(body.get("team_id"))[:40], body.get("minute_rate_limited")
        at = (
            f" at {datetime.fromtimestamp(minute, UTC):%H:%M} UTC"
            if isinstance(minute, int) and 0 < minute < 2**32
            else ""
        )
        sentence = (
            f"Slack dropped events of workspace {workspace}{at}, because there were more than 30,000 in an hour. "
            "Clicks and commands are not affected. Remove message.channels and message.groups from the app, or invite "
            "it to fewer channels."
        )
        self._limited = sentence, time.monotonic()
        metrics.events_limited(workspace)
        _log.error("%s", sentence)


def _is_reply(event: dict[str, Any]) -> bool:
    """Tell whether a person wrote this in a thread.

    Other subtypes are edits, deletions, files, and people who join.
    """
    by_a_person = not event.get("bot_id") and event.get("subtype") in (None, "thread_broadcast")
    return by_a_person and bool(event.get("thread_ts")) and event.get("thread_ts") != event.get("ts")


def build(clients: Clients, identity: Identity) -> App:
    """Build the Bolt app; `routes.register` gives it its handlers.

    It verifies no signature: over HTTP it is served by `http` alone, which does.
    """
    result = AuthorizeResult(
        enterprise_id=None,
        team_id=identity.workspace,
        bot_id=identity.bot,
        bot_user_id=identity.bot_user,
        bot_token=identity.token,
    )

    async def authorize() -> AuthorizeResult:
        return result

    ours = AsyncWebClient(base_url=clients.reads.base_url, session=clients.reads.session)
    ours.proxy = clients.reads.proxy
    with _without_bolt_variables():
        app = App(
            name="slack_bolt.app",  # Bolt sets this logger's level to the root's, so it must not be one of ours
            client=ours,
            authorize=authorize,
            process_before_response=True,  # each of our handlers returns with its ack and continues in its own task
            request_verification_enabled=False,  # `http` has verified the signature
            ssl_check_enabled=False,  # `http` answers it
            ignoring_self_events_enabled=False,  # the app's own arrival must come through; `App` drops its messages
            attaching_function_token_enabled=False,  # Slack's workflows call no function of ours
        )
    return app


async def check_app_token(client: AsyncWebClient, app_token: str) -> None:
    """Check that Slack accepts the token. WrongSettings if it refuses it for good."""
    try:
        await client.apps_connections_open(app_token=app_token)
    except SlackApiError as refused:
        if refused.response.status_code < 500 and slack_errors.code(refused) not in slack_errors.TRANSIENT:
            fix = "Make an app-level token with connections:write, and switch Socket Mode on."
            raise WrongSettings([f"SLACK_APP_TOKEN: Slack refuses it ({slack_errors.code(refused)}). {fix}"]) from None


@asynccontextmanager
async def socket_mode(app: AsyncApp, app_token: str, client: AsyncWebClient) -> AsyncIterator[Check]:
    """Keep a Socket Mode connection, and yield a check that it is up.

    WrongSettings if Slack refuses the token.
    """
    try:
        await check_app_token(client, app_token)
    except (aiohttp.ClientError, TimeoutError, OSError) as away:
        _log.warning("Slack cannot be reached (%r); trying again.", away)
    links = [
        AsyncSocketModeHandler(app, app_token, _link_log, web_client=client, ping_interval=_PING).client
        for _ in range(_CONNECTIONS)
    ]
    seen = _ConnectionCount()
    for link in links:
        link.proxy = client.proxy
        link.on_message_listeners.append(seen.heard)
    connecting = [asyncio.create_task(link.connect(), name="connect to Slack") for link in links]  # type: ignore[no-untyped-call]

    async def connected() -> bool:
        return any([await link.is_connected() for link in links])

    try:
        yield connected
    finally:
        left: list[asyncio.Future[Any] | None] = [*connecting]
        for task in connecting:
            task.cancel()
        for link in links:
            await link.close()  # type: ignore[no-untyped-call]
            left += [link.message_processor, link.current_session_monitor, link.message_receiver]
        await asyncio.gather(*(task for task in left if task is not None), return_exceptions=True)


class _ConnectionCount:
    """Count this app's connections as Slack reports them; warn where few are left."""

    def __init__(self) -> None:
        self._warned_of = 0

    async def heard(self, message: aiohttp.WSMessage) -> None:
        """Read the connection count from a message of Slack."""
        if '"num_connections"' not in message.data[:200] and '"too_many_websockets"' not in message.data[:200]:
            return
        news = json.loads(message.data)
        count = int(news.get("num_connections", MOST_CONNECTIONS + 1))
        if count > max(MOST_CONNECTIONS - _CONNECTIONS, self._warned_of):
            counted = f"{count} of" if count <= MOST_CONNECTIONS else "more than"
            _log.warning(
                "Slack counts %s %d Socket Mode connections of this app, and each `web` opens %d. Those that broke "
                "unnoticed count too, and what Slack sends into them is lost. Run fewer `web`, or use signed HTTP.",
                *(counted, MOST_CONNECTIONS, _CONNECTIONS),
            )
        self._warned_of = count


def _in_a_line(record: logging.LogRecord) -> bool:
    """Log a broken connection in one line, without a traceback.

    It is not a bug, and the connection is replaced. Everything else is logged unchanged.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, aiohttp.ClientConnectionError):
        record.exc_info = None
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
    return True


_link_log.addFilter(_in_a_line)


@contextmanager
def _without_bolt_variables() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in _BOLT_READS if name in os.environ}
    try:
        yield
    finally:
        os.environ |= kept


def scopes_of(headers: Mapping[str, str]) -> set[str] | None:
    """Read a token's scopes from Slack's answer; None if the answer lacks them."""
    granted = {k.lower(): v for k, v in headers.items()}.get("x-oauth-scopes")
    return None if granted is None else set(granted.replace(" ", "").split(",")) - {""}


def _check_scopes(headers: Mapping[str, str]) -> None:
    granted = scopes_of(headers)
    if granted is None:
        return
    if missing := sorted(SCOPES - granted):
        raise WrongSettings(
            [f"SLACK_BOT_TOKEN: the app lacks {', '.join(missing)}. Add them (see manifest.yml) and install it again."]
        )
