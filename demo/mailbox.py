"""The demo's mailbox: a real SMTP server on loopback, and a page of its mails.

    python -m demo.mailbox --smtp-port 1025 --http-port 8025 --maildir .data/mailbox

So the demo ends where the real thing does: the approved mail went over SMTP and can be read, byte for byte.
"""

import argparse
import asyncio
import contextlib
import mailbox
import signal
import sys
from asyncio import StreamReaderProtocol
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP

from .mailbox_page import CSP, Letter, list_html, page_html

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
LOOPBACK = "127.0.0.1"


class Mailbox:
    """Take mail by SMTP into a Maildir and serve a page of it; both on loopback only."""

    def __init__(self, maildir: Path, smtp_port: int = 0, http_port: int = 0) -> None:
        """Port 0 takes any free one; after `start` the attributes hold the real ports."""
        self.maildir = maildir
        self.smtp_port = smtp_port
        self.http_port = http_port
        self._smtp: asyncio.Server | None = None
        self._web: web.AppRunner | None = None
        self._closing = False
        self._changed = asyncio.Event()

    @property
    def page(self) -> str:
        return f"http://{LOOPBACK}:{self.http_port}/"

    async def start(self) -> None:
        """Listen. OSError if a port is taken; then nothing is left open."""
        await asyncio.to_thread(_create, self.maildir)
        loop = asyncio.get_running_loop()
        try:
            self._smtp = await loop.create_server(self._session, LOOPBACK, self.smtp_port)
            self.smtp_port = self._smtp.sockets[0].getsockname()[1]
            app = web.Application(middlewares=[_only_from_here])
            app.on_response_prepare.append(_unframed)
            pages = {"/": self._show_page, "/list": self._show_list, "/events": self._stream_changes}
            app.add_routes([web.get(path, handler) for path, handler in pages.items()])
            app.on_shutdown.append(self._end_streams)
            self._web = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
            await self._web.setup()
            site = web.TCPSite(self._web, LOOPBACK, self.http_port)
            await site.start()
            self.http_port = self._web.addresses[0][1]
        except OSError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close both servers. What arrived stays in the Maildir."""
        if self._smtp is not None:
            self._smtp.close()
            await self._smtp.wait_closed()
            self._smtp = None
        if self._web is not None:
            await self._web.cleanup()
            self._web = None

    def _session(self) -> StreamReaderProtocol:
        """One SMTP connection.

        The name is given because looking it up may take seconds without DNS.
        """
        protocol: StreamReaderProtocol = SMTP(
            self, hostname="localhost", enable_SMTPUTF8=True, loop=asyncio.get_running_loop()
        )
        return protocol

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Called by aiosmtpd with the whole content.

        The answer is given after the mail is in the Maildir.
        """
        try:
            await asyncio.to_thread(_keep, self.maildir, envelope.content)
        except OSError as failure:
            return f"452 The mail could not be stored: {failure.strerror}"
        self._notify()
        return "250 Stored in the demo's mailbox"

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def _letters(self) -> list[Letter]:
        return await asyncio.to_thread(_letters, self.maildir)

    async def _show_page(self, request: web.Request) -> web.Response:
        return _html(page_html(await self._letters()))

    async def _show_list(self, request: web.Request) -> web.Response:
        return _html(list_html(await self._letters()))

    async def _stream_changes(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events.

        One at once, so that nothing is missed between page and stream, then one per change.
        """
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await stream.prepare(request)
        with contextlib.suppress(ConnectionResetError):
            while not self._closing:
                changed = self._changed
                await stream.write(b"data: changed\n\n")
                await changed.wait()
        return stream

    async def _end_streams(self, app: web.Application) -> None:
        self._closing = True
        self._notify()


@web.middleware
async def _only_from_here(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Keep other sites' pages in the same browser from reading mails."""
    try:
        host = request.url.host
    except ValueError:
        host = None
    if host not in (LOOPBACK, "localhost"):
        raise web.HTTPForbidden(text="The mailbox answers at its own address only.")
    return await handler(request)


async def _unframed(_: web.Request, response: web.StreamResponse) -> None:
    """Keep other sites from showing any answer of ours; a page has a policy of its own."""
    response.headers.setdefault("Content-Security-Policy", "frame-ancestors 'none'")


def _html(text: str) -> web.Response:
    headers = {"Content-Security-Policy": CSP, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    return web.Response(text=text, content_type="text/html", headers=headers)


def _create(maildir: Path) -> None:
    maildir.parent.mkdir(parents=True, exist_ok=True)
    mailbox.Maildir(maildir, create=True)


def _keep(maildir: Path, content: bytes) -> None:
    mailbox.Maildir(maildir, create=True).add(content)


def _letters(maildir: Path) -> list[Letter]:
    """Return all mails, newest first."""
    box = mailbox.Maildir(maildir, create=True)
    letters: list[tuple[float, str, Letter]] = []
    for key in box.keys():  # noqa: SIM118  (a Maildir is not a dict: iterating it gives the messages)
        with contextlib.suppress(KeyError, FileNotFoundError):
            message = box.get_message(key)
            letters.append((message.get_date(), key, Letter.read(box.get_bytes(key))))
    return [letter for _, _, letter in sorted(letters, key=lambda item: item[:2], reverse=True)]


async def serve(maildir: Path, smtp_port: int, http_port: int) -> int:
    """Run until SIGINT or SIGTERM; gives the exit code."""
    box = Mailbox(maildir, smtp_port, http_port)
    try:
        await box.start()
    except OSError as failure:
        print(f"The mailbox could not start: {failure}. Choose other ports or another folder.", file=sys.stderr)
        return 1
    stop = asyncio.Event()
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signal_number, stop.set)
    print(f"Mailbox: {box.page} (SMTP on {LOOPBACK}:{box.smtp_port})", flush=True)
    await stop.wait()
    await box.stop()
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m demo.mailbox", description="A mailbox for the demo.")
    parser.add_argument("--smtp-port", type=int, default=1025, help="port of the SMTP server; 0 takes a free one")
    parser.add_argument("--http-port", type=int, default=8025, help="port of the page; 0 takes a free one")
    parser.add_argument("--maildir", type=Path, required=True, help="folder that keeps the mails")
    arguments = parser.parse_args()
    sys.exit(asyncio.run(serve(arguments.maildir, arguments.smtp_port, arguments.http_port)))


if __name__ == "__main__":
    main()
