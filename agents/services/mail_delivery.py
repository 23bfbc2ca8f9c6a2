"""The delivery of an approved mail, once, with one of three known ends.

It was sent (a sentence says where to), it was certainly not sent (`ActionFailed`), or nobody knows (`OutcomeUnknown`):
the connection was lost after the content went out. Only the second may be tried again without asking people.
"""

import asyncio
import contextlib
import logging
from dataclasses import dataclass, field
from email.message import EmailMessage
from ipaddress import ip_address
from mailbox import Maildir
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

import aiosmtplib

from countersign.teams import ActionFailed, OutcomeUnknown

from .mail import envelope

log = logging.getLogger(__name__)

ANSWER_WITHIN = 60.0
"""Seconds that the server may take for one answer, also for the one after the content."""

URL_FORM = "smtp://user:password@host:587 or smtps://user:password@host:465"


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """The server that takes mail. The password is never part of its text form."""

    host: str
    port: int
    tls: Literal["at once", "when offered"]
    user: str | None
    password: str | None = field(repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_smtp_url(url: str) -> SmtpServer:
    """Read SMTP_URL; user and password may be percent-encoded.

    ValueError with a sentence that holds no password.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"SMTP_URL cannot be read; write {URL_FORM}.") from None
    if parts.scheme not in ("smtp", "smtps"):
        raise ValueError(f"SMTP_URL begins with “smtp://” or “smtps://”; write {URL_FORM}.")
    if not host or port == 0 or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"SMTP_URL names a host, maybe a port, and nothing after it; write {URL_FORM}.")
    if (parts.username is None) != (parts.password is None):
        raise ValueError(f"SMTP_URL has a user without a password or the reverse; write {URL_FORM}.")
    user = None if parts.username is None else unquote(parts.username)
    password = None if parts.password is None else unquote(parts.password)
    if parts.scheme == "smtps":
        return SmtpServer(host, port or 465, "at once", user, password)
    return SmtpServer(host, port or (587 if user else 25), "when offered", user, password)


def word_for(smtp_url: object) -> str:
    """Return the word for a mail that `deliver` was given, with this SMTP_URL or none."""
    return "sent" if smtp_url else "put in a folder"


async def deliver(message: EmailMessage, smtp_url: str | None, maildir: Path) -> str:
    """Send the message by SMTP, or else put it into a Maildir; say where it went.

    ActionFailed: certainly not sent, to nobody. OutcomeUnknown: may have been sent.
    """
    content = message.as_bytes()
    if smtp_url is None:
        path = await asyncio.to_thread(_keep, content, maildir)
        log.warning("SMTP_URL is not set: a mail was not sent but put into %s.", path)
        return f"SMTP_URL is not set, so the email was not sent; it was put into the folder {maildir}."
    try:
        server = parse_smtp_url(smtp_url)
    except ValueError as problem:
        raise ActionFailed(f"The email was not sent. {problem}") from None
    sender, recipients = envelope(message)
    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.tls == "at once",
        start_tls=None if server.tls == "when offered" else False,
        local_hostname=sender.partition("@")[2],
        timeout=ANSWER_WITHIN,
    )
    try:
        await _open(client, server, sender, recipients)
        await _hand_over(client, server, content)
        with contextlib.suppress(aiosmtplib.SMTPException, OSError):
            await client.quit(timeout=5.0)
    finally:
        client.close()
    log.info("A mail was sent through %s.", server)
    return f"The email was sent to {', '.join(recipients)}."


async def _open(client: aiosmtplib.SMTP, server: SmtpServer, sender: str, recipients: list[str]) -> None:
    """Open the connection up to the content: whatever fails here, nothing was sent."""
    try:
        await client.connect()
        if server.user is not None and server.password is not None:
            if client.get_transport_info("sslcontext") is None and not _is_loopback(server.host):
                raise ActionFailed(
                    f"The email was not sent: {server} offers no encryption, and the password of SMTP_URL is not "
                    "sent in the clear. Use smtps:// or a server that offers STARTTLS."
                )
            await client.login(server.user, server.password)
        await client.mail(sender)
        for recipient in recipients:
            # One refused recipient stops the mail for all: "sent" means sent as approved.
            await client.rcpt(recipient)
    except (aiosmtplib.SMTPException, OSError, ValueError) as failure:
        raise ActionFailed(f"The email was not sent: {server} says: {_words(failure)}") from failure


async def _hand_over(client: aiosmtplib.SMTP, server: SmtpServer, content: bytes) -> None:
    try:
        await client.data(content)
    except aiosmtplib.SMTPDataError as answer:
        if 400 <= answer.code < 600:
            raise ActionFailed(f"The email was not sent: {server} says: {_words(answer)}") from answer
        raise _in_doubt(server, answer) from answer
    except (aiosmtplib.SMTPException, OSError) as failure:
        raise _in_doubt(server, failure) from failure


def _in_doubt(server: SmtpServer, failure: Exception) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"Nobody knows whether the email was sent: {server} had been given it when this happened: {_words(failure)} "
        "Please ask the recipient, or look into the server's log, before it is sent again."
    )


def _words(failure: Exception) -> str:
    if isinstance(failure, aiosmtplib.SMTPResponseException):
        text = f"{failure.code} {failure.message}"
    else:
        text = str(failure) or type(failure).__name__
    return text if text.endswith(".") else text + "."


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _keep(content: bytes, maildir: Path) -> Path:
    try:
        maildir.parent.mkdir(parents=True, exist_ok=True)
        box = Maildir(maildir, create=True)
        return maildir / "new" / box.add(content)
    except OSError as failure:
        raise ActionFailed(
            f"The email could not be put into the folder {maildir}: {failure}. Nothing was sent."
        ) from failure
