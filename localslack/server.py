"""The HTTP server: one loopback port for the APIs, Socket Mode and the page."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from . import api_files
from .api_chat import respond
from .errors import Json, SlackError
from .page import Page
from .platform import Platform
from .user_actions import UserActions
from .web_api import WebApi

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOPBACK = ("127.0.0.1", "::1", "localhost")
STATIC = Path(__file__).parent / "static"


@web.middleware
async def _only_from_here(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep other sites' pages in the same browser from clicking here."""
    try:
        host = request.url.host or ""
    except ValueError:
        host = ""
    origin = request.headers.get("Origin")
    if host not in LOOPBACK or (origin and origin != f"http://{request.host}"):
        raise web.HTTPForbidden(text="localslack answers its own page and local programs only.")
    return await handler(request)


async def _unframed(_: web.Request, response: web.StreamResponse) -> None:
    """Keep other sites from showing a page of ours, in which a click would count."""
    response.headers["Content-Security-Policy"] = "frame-ancestors 'none'"


class Server:
    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.actions = UserActions(platform)
        self.api = WebApi(platform)
        self.page = Page(platform, self.actions)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Binds the port.

        Raises ValueError for a host that is not loopback, OSError for a port in use.
        """
        config = self.platform.config
        if config.host not in LOOPBACK:
            raise ValueError(f"localslack listens on loopback only, not on {config.host}: it has no passwords.")
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[_only_from_here])
        app.on_response_prepare.append(_unframed)
        app.router.add_route("*", "/api/{method}", self.api.handle)
        app.router.add_get("/link/", self.platform.socket.handle)
        app.router.add_post("/upload/v1/{file}", self._upload)
        app.router.add_get("/files/{file}/{name}", self._file)
        app.router.add_post("/actions/{token}", self._respond)
        app.router.add_post("/commands/{token}", self._respond)
        app.router.add_get("/oauth/v2/authorize", self._authorize)
        app.router.add_post("/oauth/v2/authorize", self._allow)
        app.router.add_get("/", self._index)
        app.router.add_get("/archives/{channel}/{message}", self._index)
        app.router.add_get("/page/live", self.page.live)
        app.router.add_post("/page/act", self.page.act)
        if STATIC.is_dir():
            app.router.add_static("/static", STATIC)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, config.host, config.port)
        try:
            await site.start()
        except OSError:
            await self._runner.cleanup()
            raise
        port = self._runner.addresses[0][1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        self.platform.base_url = f"http://{host}:{port}"

    async def stop(self) -> None:
        await self.platform.stop()
        await self.page.stop()
        if self._runner is not None:
            await self._runner.cleanup()
        await asyncio.sleep(0)

    async def _index(self, request: web.Request) -> web.StreamResponse:
        if not (STATIC / "index.html").is_file():
            return web.Response(text="localslack runs; its page is not installed.")
        return web.FileResponse(STATIC / "index.html")

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        """Receive the bytes of a file, at an address that may fail separately."""
        content = await api_files.content_of(request)
        file = request.match_info["file"]

        def work() -> Json:
            return api_files.receive(self._with_file(file), file, content)

        def refuse(error: SlackError) -> web.Response:
            return web.Response(status=404 if error.code == "not_found" else 400, text=str(error))

        return await self.api.answer(request, "upload", {"file": file, "bytes": len(content)}, work, refuse)

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["file"]
        file = self._with_file(name).workspace.files.get(name)
        if file is None or not file.complete:
            raise web.HTTPNotFound(text="file_not_found")
        # As a download in plain text, so that a file from an app is never run by the browser as this page.
        kind = file.mimetype if file.mimetype.startswith("image/") and "svg" not in file.mimetype else "text/plain"
        headers = {"Content-Type": f"{kind}; charset=utf-8", "X-Content-Type-Options": "nosniff"}
        return web.Response(body=file.content, headers=headers)

    def _with_file(self, file: str) -> Platform:
        return next((p for p in self.platform.oauth.platforms if file in p.workspace.files), self.platform)

    async def _authorize(self, request: web.Request) -> web.Response:
        """Slack's page that asks whether to install the app."""
        try:
            return web.Response(text=self.platform.oauth.page(dict(request.query)), content_type="text/html")
        except SlackError as error:
            return web.Response(status=400, text=str(error))

    async def _allow(self, request: web.Request) -> web.Response:
        """The answer to it, of Alice, who is an admin."""
        oauth, form = self.platform.oauth, await request.post()
        platform = next((p for p in oauth.platforms if p.workspace.id == form.get("workspace")), self.platform)
        try:
            raise web.HTTPFound(oauth.allow(platform, dict(request.query), "alice"))
        except SlackError as error:
            return web.Response(status=400, text=str(error))

    async def _respond(self, request: web.Request) -> web.Response:
        """A response URL.

        Answers as Slack does, in plain words, 404 when it is used up or too old.
        """
        try:
            answer: Json = await request.json()
        except ValueError:
            return web.Response(status=400, text="invalid_payload")

        def work() -> Json:
            token = request.match_info["token"]
            platforms = self.platform.oauth.platforms
            platform = next((p for p in platforms if p.response_urls.knows(token)), self.platform)
            respond(platform, platform.response_urls.spend(token), answer)
            return {"ok": True}

        def refuse(error: SlackError) -> web.Response:
            gone = error.code in ("used_url", "expired_url", "invalid_url")
            return web.Response(status=404 if gone else 400, text=error.code)

        return await self.api.answer(request, "response_url", answer, work, refuse)
