"""Mails that tell people what waits for them, over a real SMTP server."""

import asyncio
from asyncio import StreamReaderProtocol
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiosmtpd.smtp import SMTP, AuthResult

from bot.pages.desk import Desk
from bot.pages.mails import Mails, MailServer
from bot.pages.people_file import PeopleFile
from bot.pages.providers import Provider
from bot.slack.handlers.context import Services
from countersign import usecases
from countersign.domain.errors import WrongSettings
from countersign.store.sign_ins import MailNotes
from countersign.store.store import Store
from countersign.usecases.ports import Lease
from tests.pages.reviewer import PUBLIC
from tests.sample_requests import HERE, question
from tests.store_fixtures import NoQueue, new_run, update_lists


@dataclass
class Mailbox:
    """A mail server on this machine, and what it took; it refuses mails while it is `full`."""

    port: int = 0
    full: bool = False
    mails: list[EmailMessage] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)

    def log_in(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.logins.append(mechanism)
        return AuthResult(success=True)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.full:
            return "452 Too much mail; try again later"
        mail = message_from_bytes(envelope.content, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 Taken"


@pytest.fixture
async def mailbox() -> AsyncIterator[Mailbox]:
    box = Mailbox()

    def session() -> StreamReaderProtocol:
        protocol: StreamReaderProtocol = SMTP(
            box,
            hostname="localhost",
            loop=asyncio.get_running_loop(),
            authenticator=box.log_in,
            auth_require_tls=False,
        )
        return protocol

    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", 0)
    box.port = server.sockets[0].getsockname()[1]
    yield box
    server.close()
    await server.wait_closed()


@pytest.fixture
def mails(store: Store, bot: Services, provider: Provider, people_file: Path, mailbox: Mailbox) -> Mails:
    """Bob and Alice have an address; Carol has none."""
    entries = yaml.safe_load(people_file.read_text())
    for entry in entries:
        if entry["user"] in ("U0BOB", "U0ALICE"):
            entry["mail"] = f"{entry['user'].lower()}@example.com"
    people_file.write_text(yaml.safe_dump(entries))
    desk = Desk(HERE, store, NoQueue(), bot.homes.overview, bot.directory, bot.link, bot.admins)
    server = MailServer.at(f"smtp://127.0.0.1:{mailbox.port}", "countersign@example.com")
    return Mails(desk, PeopleFile(people_file, (provider,)), MailNotes(store), server, PUBLIC, "web-1")


async def test_a_mail_names_what_waits_once(store: Store, lease: Lease, mails: Mails, mailbox: Mailbox) -> None:
    """R15, R26: two requests are one mail, which holds links and no word of a request."""
    await mails.send()
    assert mailbox.mails == []
    asked = [
        await usecases.ask(
            store, await new_run(store, f"r{number}"), question("Secret plan", title="Click http://evil")
        )
        for number in range(2)
    ]
    await update_lists(store)
    await mails.send()
    await mails.send()
    (mail,) = mailbox.mails
    text = mail.get_content()
    assert (mail["To"], mail["From"]) == ("u0bob@example.com", "countersign@example.com")
    assert mail["Subject"] == "2 requests wait for you"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert all(f"{PUBLIC}/requests/{one.id}" in text for one in asked)
    assert "Secret plan" not in str(mail) and "evil" not in str(mail)
    third = await usecases.ask(store, lease, question())
    await update_lists(store)
    await mails.send()
    assert mailbox.mails[-1]["Subject"] == "1 request waits for you"
    assert f"{PUBLIC}/requests/{third.id}" in mailbox.mails[-1].get_content()


async def test_a_mail_waits_for_its_server(store: Store, lease: Lease, mails: Mails, mailbox: Mailbox) -> None:
    """R5: a refused mail is tried again, and sent once."""
    await usecases.ask(store, lease, question())
    await update_lists(store)
    mailbox.full = True
    await mails.send()
    mailbox.full = False
    await mails.send()
    await mails.send()
    assert [mail["To"] for mail in mailbox.mails] == ["u0bob@example.com"]


@pytest.mark.parametrize("mail", ["bob", "bob@x, eve@evil.example", "bob@x\nBcc: eve@evil.example", "bob@@x", "bób@x"])
def test_a_wrong_address_is_refused(tmp_path: Path, mail: str) -> None:
    file = tmp_path / "people.yaml"
    file.write_text(yaml.safe_dump([{"issuer": "https://x", "subject": "b", "user": "U0BOB", "mail": mail}]))
    with pytest.raises(WrongSettings, match="plain address"):
        PeopleFile(file, ())


@pytest.mark.parametrize("url", ["http://x", "smtp://", "smtp://x/path", "mail.example.com:25"])
def test_a_wrong_server_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="must look like"):
        MailServer.at(url, "countersign@example.com")


async def test_a_password_stays_at_home_without_tls(mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that offers no encryption gets neither the password nor the mail."""
    monkeypatch.setattr("bot.pages.mails._LOOPBACK", ())
    server = MailServer.at(f"smtp://bob:secret@127.0.0.1:{mailbox.port}", "countersign@example.com")
    with pytest.raises(Exception, match="STARTTLS"):
        await server.send("bob@example.com", "hello", "hello")
    assert (mailbox.mails, mailbox.logins) == ([], [])
