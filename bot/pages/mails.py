"""Mails that tell people what waits for them on the pages.

A mail holds no word of a request, only links, and a link only opens its page. People get mails if the file of people
names their address. Several requests that come together are one mail. Where the mail server is away, the mail is sent
when it is back; a process that dies between a mail and its note sends it again.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import formatdate, make_msgid
from typing import Final
from urllib.parse import unquote, urlsplit

import aiosmtplib

from countersign.domain.decision_attempts import waits_for
from countersign.domain.errors import CountersignError, StoreUnavailable
from countersign.domain.ids import RequestId, UserId
from countersign.domain.people import why_nobody
from countersign.domain.requests import Request
from countersign.store.sign_ins import MailNotes

from .desk import Desk, reader_of
from .people_file import PeopleFile

MOST_LINKS: Final = 15
"""Requests in one mail; the inbox has them all."""
_EVERY: Final = 5.0
_LEASE: Final = timedelta(seconds=60)
_WITHIN: Final = 20.0
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MailServer:
    """The server that takes mails, by PAGES_MAIL_URL.

    `sender` is PAGES_MAIL_FROM.
    """

    host: str
    port: int
    at_once: bool
    user: str
    password: str
    sender: str

    @classmethod
    def at(cls, url: str, sender: str) -> "MailServer":
        """Read an address like `smtp://user:password@mail.example.com:587`.

        ValueError if it isn't one.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.query or parts.path not in ("", "/"):
            raise ValueError("must look like smtp://user:password@mail.example.com:587, or smtps://… for TLS at once")
        at_once = parts.scheme == "smtps"
        port = parts.port or (465 if at_once else 587)
        user, password = unquote(parts.username or ""), unquote(parts.password or "")
        return cls(parts.hostname, port, at_once, user, password, sender)

    async def send(self, to: str, subject: str, text: str) -> None:
        """Send a mail; a password goes over TLS alone, or to this machine."""
        mail = EmailMessage(SMTP_POLICY)
        mail["From"], mail["To"], mail["Subject"] = self.sender, to, subject
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain=self.sender.partition("@")[2])
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(text)
        needs_tls = bool(self.user) and self.host not in _LOOPBACK and not self.at_once
        await aiosmtplib.send(
            mail,
            hostname=self.host,
            port=self.port,
            username=self.user or None,
            password=self.password or None,
            use_tls=self.at_once,
            start_tls=True if needs_tls else None,
            timeout=_WITHIN,
        )


class Mails:
    """The mails of one workspace."""

    def __init__(
        self, desk: Desk, people: PeopleFile, notes: MailNotes, server: MailServer, pages: str, owner: str
    ) -> None:
        self._desk = desk
        self._people = people
        self._notes = notes
        self._server = server
        self._pages = pages
        self._owner = owner
        self._seen = ""

    async def run(self) -> None:
        """Send until cancelled, while this process holds the lease."""
        while True:
            try:
                if await self._notes.lease.claim(self._owner, _LEASE):
                    await self.send()
                else:
                    self._seen = ""
            except StoreUnavailable as away:
                _log.warning("%s Mails are sent when it is back.", away)
            await asyncio.sleep(_EVERY)

    async def send(self) -> None:
        """Tell each person what waits for them and was not told yet."""
        revision, addresses = await self._desk.overview.revision(), self._people.addresses(self._desk.workspace)
        seen = f"{revision} {sorted(addresses.items())}"
        if seen == self._seen:
            return
        whole = True
        for user, address in addresses.items():
            try:
                waiting = await self._waiting(user)
                new = [] if waiting is None else await self._notes.untold(user, waiting)
                whole = whole and waiting is not None
                if new:
                    if not await self._notes.lease.claim(self._owner, _LEASE):
                        return  # another process sends by now
                    await self._server.send(address, *_mail(self._pages, new))
                    await self._notes.told(user, new)
            except (aiosmtplib.SMTPException, OSError, TimeoutError) as away:
                whole = False
                _log.warning("A mail to %s was not sent (%s); it is tried again.", user, type(away).__name__)
            except StoreUnavailable:
                raise
            except CountersignError as wrong:
                whole = False
                _log.warning("What waits for %s was not read: %s", user, wrong)
        self._seen = seen if whole else ""

    async def _waiting(self, user: UserId) -> list[RequestId] | None:
        """List what waits for this person, the newest first; None if Slack did not say who they are."""
        reader = await reader_of(self._desk, user)
        if not reader.actor.checked:
            return None
        if why_nobody(reader.actor, self._desk.workspace) is not None:
            return []

        def fits(request: Request) -> bool:
            return waits_for(request, reader.actor, reader.now)

        found = await self._desk.overview.waiting(reader.names, user, fits, MOST_LINKS)
        return [one.id for one in found.requests]


def _mail(pages: str, requests: Sequence[RequestId]) -> tuple[str, str]:
    """Write subject and text; nothing in them comes from a request but its id."""
    number = len(requests)
    count = "1 request waits" if number == 1 else f"{number} requests wait"
    lines = [f"{pages}/requests/{request}" for request in requests]
    text = "\n".join(
        [
            f"{count} for your answer:",
            "",
            *lines,
            "",
            f"All of them: {pages}/",
            "",
            "A link only opens the page. Nothing is decided before you press a button there.",
            "",
        ]
    )
    return f"{count} for you", text
