"""The Web API: reads a call, checks its token, applies faults, answers, logs."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from . import api_agents, api_chat, api_conversations, api_files, api_users, api_views
from .arguments import Arguments
from .errors import Json, RateLimited, SlackError
from .faults import API_KINDS
from .platform import Call, Platform
from .rate_limits import RateLimits

Method = Callable[[Platform, Arguments], Json]

METHODS: dict[str, Method] = {
    **api_agents.METHODS,
    **api_chat.METHODS,
    **api_files.METHODS,
    **api_users.METHODS,
    **api_conversations.METHODS,
    **api_views.METHODS,
    "oauth.v2.access": lambda platform, args: platform.oauth.access(args.values),
}
# Methods that read take a query or a form; of a JSON body Slack reads nothing: "Accepted content types" on each
# method's page, https://docs.slack.dev/reference/methods
NOT_BY_JSON = frozenset(
    {
        "chat.getPermalink",
        "conversations.history",
        "conversations.info",
        "conversations.list",
        "conversations.members",
        "conversations.replies",
        "files.getUploadURLExternal",
        "files.info",
        "oauth.v2.access",
        "usergroups.list",
        "usergroups.users.list",
        "users.conversations",
        "users.info",
        "users.list",
    }
)
# The one scope (or any of several) that a method needs: https://docs.slack.dev/reference/scopes
SCOPES: dict[str, tuple[str, ...]] = {
    "agents.sessions.setStatus": ("chat:write",),
    "chat.appendStream": ("chat:write",),
    "chat.startStream": ("chat:write",),
    "chat.stopStream": ("chat:write",),
    "chat.postMessage": ("chat:write",),
    "chat.update": ("chat:write",),
    "chat.delete": ("chat:write",),
    "chat.postEphemeral": ("chat:write",),
    "conversations.history": ("channels:history", "groups:history", "im:history", "mpim:history"),
    "conversations.replies": ("channels:history", "groups:history", "im:history", "mpim:history"),
    "conversations.info": ("channels:read", "groups:read", "im:read", "mpim:read"),
    "conversations.list": ("channels:read", "groups:read", "im:read", "mpim:read"),
    "conversations.members": ("channels:read", "groups:read", "im:read", "mpim:read"),
    "conversations.join": ("channels:join",),
    "conversations.open": ("im:write", "mpim:write", "channels:manage", "groups:write"),
    "users.info": ("users:read",),
    "users.list": ("users:read",),
    "users.conversations": ("channels:read", "groups:read", "im:read", "mpim:read"),
    "usergroups.list": ("usergroups:read",),
    "usergroups.users.list": ("usergroups:read",),
    "files.getUploadURLExternal": ("files:write",),
    "files.completeUploadExternal": ("files:write",),
    "files.info": ("files:read",),
    "reactions.add": ("reactions:write",),
}
# So many calls are kept for a test to look at.
REMEMBERED = 20_000
_WITHOUT_TOKEN = {"api.test", "oauth.v2.access"}
_APP_TOKEN = {"apps.connections.open"}


class WebApi:
    """`under_way`: the methods of the calls that a fault delays just now."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        config = platform.config
        self.under_way: list[str] = []
        self._limits = RateLimits(config.rates, config.clock, hurry=config.hurry)

    async def handle(self, request: web.Request) -> web.Response:
        """One call of `/api/<method>`."""
        method = request.match_info["method"]
        values, token = await _read(request)
        unread = method in NOT_BY_JSON and request.content_type == "application/json"
        return await self.answer(request, method, values, lambda: self._call(method, values, token, unread))

    async def answer(
        self,
        request: web.Request,
        method: str,
        values: Json,
        work: Callable[[], Json],
        refuse: Callable[[SlackError], web.Response] = lambda error: web.json_response(error.body()),
    ) -> web.Response:
        """Does the work of one call under the armed faults, and logs it.

        `values` are its arguments; `refuse` words an error, as `/api/` does or as a response URL does.
        """
        at = self.platform.config.wall_clock()

        def log(status: int, result: Json | None) -> None:
            self.platform.calls.append(Call(method, values, at, status, result))
            del self.platform.calls[:-REMEMBERED]
            self.platform.changes.ring()

        def lost(result: Json | None) -> web.Response:
            """End the connection without a word, as when a network breaks."""
            log(0, result)
            if request.transport is not None:
                request.transport.close()
            return web.Response()

        reply_is_lost = False
        try:
            for fault in self.platform.faults.take(method, API_KINDS):
                if fault.kind == "delay":
                    self.under_way.append(method)
                    self.platform.changes.ring()
                    try:
                        await asyncio.sleep(fault.seconds)
                    finally:
                        self.under_way.remove(method)
                elif fault.kind == "ratelimited":
                    raise RateLimited(fault.retry_after)
                elif fault.kind == "server_error":
                    log(fault.status, None)
                    return web.Response(status=fault.status, text="upstream error")
                elif fault.kind == "error":
                    raise SlackError(fault.error)
                elif fault.kind == "lost_request":
                    return lost(None)
                else:
                    reply_is_lost = True
            self._limits.take(method, values)
            result, reply = work(), None
        except RateLimited as limited:
            result = limited.body()
            headers = {"Retry-After": str(limited.retry_after)}
            reply = web.json_response(result, status=429, headers=headers)
        except SlackError as error:
            result, reply = error.body(), refuse(error)
        if reply_is_lost:
            return lost(result)
        reply = reply or web.json_response(result)
        log(reply.status, result)
        return reply

    def _call(self, method: str, values: Json, token: str, unread: bool) -> Json:
        config, platform, scopes = self.platform.config, self.platform, self.platform.config.scopes
        if method not in METHODS:
            raise SlackError("unknown_method", req_method=method)
        if method not in _WITHOUT_TOKEN:
            if not token:
                raise SlackError("not_authed")
            if method in _APP_TOKEN:
                if token != config.app_token:
                    self.platform.oauth.grant_of(token)
                    raise SlackError("not_allowed_token_type")
            elif token == config.app_token:
                raise SlackError("not_allowed_token_type")
            else:
                grant = self.platform.oauth.grant_of(token)
                platform, scopes = grant.platform, grant.scopes
        needed = SCOPES.get(method)
        if scopes is not None and needed and not scopes & set(needed):
            provided = ",".join(sorted(scopes))
            raise SlackError("missing_scope", needed=needed[0], provided=provided)
        if unread:
            raise SlackError("invalid_arguments", ["[ERROR] missing required field: this method takes no JSON"])
        return {"ok": True, **METHODS[method](platform, Arguments(values))}


async def _read(request: web.Request) -> tuple[Json, str]:
    """The arguments of a call, from its query, form or JSON, and its token."""
    values: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = json.loads(await request.text() or "{}")
        except ValueError:
            body = {}
        values |= body if isinstance(body, dict) else {}
    elif request.method == "POST":
        form: dict[str, Any] = dict(await request.post())
        values |= form
    token = str(values.pop("token", ""))
    header = request.headers.get("Authorization", "")
    if header.startswith("Basic "):
        client, _, secret = base64.b64decode(header.removeprefix("Basic ")).decode().partition(":")
        return {**values, "client_id": client, "client_secret": secret}, ""
    return values, header.removeprefix("Bearer ").strip() or token
