"""A mail server that takes everything, counts it, and sometimes forgets to say so."""

import asyncio
from asyncio import StreamReaderProtocol
from email import message_from_bytes
from email.policy import default
from typing import Any, Self

from aiosmtpd.smtp import SMTP


class Sink:
    """SMTP on loopback. `names`: the Message-ID of every mail that was taken, in order, without angle brackets."""

    def __init__(self) -> None:
        self.port = 0
        self.names: list[str] = []
        self.forgetful = 0
        """So many mails are still taken without an answer."""
        self.forgotten = 0
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.get_running_loop().create_server(self._session, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def _session(self) -> StreamReaderProtocol:
        protocol: StreamReaderProtocol = SMTP(
            self, hostname="localhost", enable_SMTPUTF8=True, loop=asyncio.get_running_loop()
        )
        return protocol

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        """Called by aiosmtpd with the whole content."""
        mail = message_from_bytes(envelope.content, policy=default)
        self.names.append(str(mail["Message-ID"]).strip("<>"))
        if self.forgetful:
            self.forgetful -= 1
            self.forgotten += 1
            server.transport.abort()
        return "250 Taken"
