"""The Web API: reads a call, checks its token, applies faults, answers, logs."""

import asyncio
import base64
import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from aiohttp import web

from . import api_agents, api_blocks, api_chat, api_conversations, api_files, api_users, api_views
from .errors import Json, RateLimited, SlackError
from .faults import API_KINDS
from .methods import TIER_2, TIER_4, Arguments, Method
from .oauth import ORGANIZATION
from .platform import Call, Platform
from .rate_limits import RateLimits

METHODS: dict[str, Method] = {
    **api_agents.METHODS,
    **api_blocks.METHODS,
    **api_chat.METHODS,
    **api_files.METHODS,
    **api_users.METHODS,
    **api_conversations.METHODS,
    **api_views.METHODS,
    "auth.teams.list": Method(lambda platform, args: _teams(platform, args), TIER_2, reads=True),
    "oauth.v2.access": Method(lambda platform, args: platform.oauth.access(args.values), TIER_4, reads=True),
}
# Number of calls kept for tests to inspect.
REMEMBERED = 20_000
_WITHOUT_TOKEN = {"api.test", "blocks.validate", "oauth.v2.access"}
_APP_TOKEN = {"apps.connections.open"}


def _teams(platform: Platform, args: Arguments) -> Json:
    """List the workspaces that have the organization's app."""
    teams = [{"id": one.workspace.id, "name": one.workspace.name} for one in platform.oauth.granted]
    page, cursor = args.page(teams)
    return {"teams": page, "response_metadata": {"next_cursor": cursor}}


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
        by_json = request.content_type == "application/json"
        reply = await self.answer(
            request, method, values, lambda: self._call(method, values, token, by_json, request.remote)
        )
        if (scopes := self.platform.oauth.scopes_of(token)) is not None:
            reply.headers["X-OAuth-Scopes"] = ",".join(sorted(scopes))
        return reply

    async def answer(
        self,
        request: web.Request,
        method: str,
        values: Json,
        work: Callable[[], Json],
        refuse: Callable[[SlackError], web.Response] = lambda error: web.json_response(error.body()),
    ) -> web.Response:
        """Perform one call under the armed faults, and log it.

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
                        with suppress(TimeoutError):
                            async with asyncio.timeout(fault.seconds):
                                await fault.over.wait()
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
            self._limits.take(method, METHODS[method].tier if method in METHODS else None, values)
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

    def _call(self, name: str, values: Json, token: str, by_json: bool, address: str | None) -> Json:
        config, platform, scopes = self.platform.config, self.platform, self.platform.config.scopes
        allowed = platform.allowed_addresses
        if (method := METHODS.get(name)) is None:
            raise SlackError("unknown_method", req_method=name)
        if name not in _WITHOUT_TOKEN:
            if not token:
                raise SlackError("not_authed")
            if allowed is not None and address not in allowed:
                raise SlackError("invalid_auth")
            if name in _APP_TOKEN:
                if token != config.app_token:
                    self.platform.oauth.grant_of(token)
                    raise SlackError("not_allowed_token_type")
            elif token == config.app_token:
                raise SlackError("not_allowed_token_type")
            else:
                grant = self.platform.oauth.grant_of(token)
                platform, scopes = (
                    self.platform.oauth.meant(grant, name, str(values.get("team_id") or "")),
                    grant.scopes,
                )
                if grant.org and name == "auth.test":
                    whole = {"team_id": ORGANIZATION, "enterprise_id": ORGANIZATION, "is_enterprise_install": True}
                    return {"ok": True, **method.call(platform, Arguments(values)), **whole}
                if platform.migrating:
                    raise SlackError("org_login_required")
        if scopes is not None and method.scopes and not scopes & set(method.scopes):
            raise SlackError("missing_scope", needed=method.scopes[0], provided=",".join(sorted(scopes)))
        if by_json and method.reads:
            raise SlackError("invalid_arguments", ["[ERROR] missing required field: this method takes no JSON"])
        return {"ok": True, **method.call(platform, Arguments(values))}


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
