"""Handing a mail over: exactly what was approved, and afterwards nobody guesses whether it was sent."""

import asyncio
import contextlib
import logging
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from mailbox import Maildir
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult

from agents.services.mail import Mail, parse, to_message
from agents.services.mail_delivery import deliver, parse_smtp_url
from countersign.domain.errors import ActionFailed, OutcomeUnknown
from tests.idle_clock import on_idle_clock

BODY = "Hello,\n\n.\n..two dots\nFrom here: Grüße 👩\n" + "long " * 300 + "\n\n"


def message(body: str = BODY) -> EmailMessage:
    mail = parse(f"To: Jörg <bob@x.org>, ann@x.org\nCc: bob@x.org, c@x.org\nSubject: Grüße\n\n{body}")
    assert isinstance(mail, Mail)
    return to_message(mail, "Agents <agents@example.com>", "<m-1@example.com>", datetime(2025, 3, 1, tzinfo=UTC))


class Inbox:
    """An aiosmtpd handler that keeps what arrives; a test may make it misbehave at one point."""

    def __init__(self) -> None:
        self.sender = ""
        self.recipients: list[str] = []
        self.content: list[bytes] = []
        self.encrypted = False
        self.logins: list[tuple[bytes, bytes]] = []
        self.on_recipient: Callable[[Any, str], str] | None = None
        self.on_content: Callable[[Any], str] | None = None

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        answer = "250 OK" if self.on_recipient is None else self.on_recipient(server, address)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.sender, self.recipients = envelope.mail_from, envelope.rcpt_tos
        self.content.append(envelope.content)
        self.encrypted = session.ssl is not None or server.transport.get_extra_info("sslcontext") is not None
        return "250 OK" if self.on_content is None else self.on_content(server)

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss", handled=False)


@asynccontextmanager
async def smtp(inbox: Inbox, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[int]:
    """A real SMTP server on loopback; gives its port. `tls` encrypts from the first byte."""
    loop = asyncio.get_running_loop()
    open_sessions: list[asyncio.Task[None]] = []

    def session() -> SMTP:
        return Tracked(inbox, hostname="localhost", loop=loop, **options)

    class Tracked(SMTP):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            if self._handler_coroutine is not None:
                open_sessions.append(self._handler_coroutine)

    server = await loop.create_server(session, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
        await asyncio.gather(*open_sessions, return_exceptions=True)


@asynccontextmanager
async def scripted(*answers: bytes | None) -> AsyncIterator[int]:
    """A server that gives these answers: the first as greeting, each next to one line (after 354: to the content).

    None closes the connection. After the last answer it says nothing more and waits for the client to leave.
    """

    talks: list[asyncio.Task[None] | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.current_task())
        content = False
        for number, answer in enumerate(answers):
            if number and not await (reader.readuntil(b"\r\n.\r\n") if content else reader.readline()):
                break
            if answer is None:
                break
            writer.write(answer + b"\r\n")
            content = answer.startswith(b"354")
        else:
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    await asyncio.gather(*(one for one in talks if one is not None))


def to(port: int, folder: Path) -> Awaitable[str]:
    return deliver(message(), f"smtp://127.0.0.1:{port}", folder)


async def test_mail_is_sent_exactly_as_approved(tmp_path: Path) -> None:
    """R13: what is sent is what was shown."""
    inbox = Inbox()
    async with smtp(inbox) as port:
        said = await to(port, tmp_path / "mail")
    assert said == "The email was sent to bob@x.org, ann@x.org, c@x.org."
    assert (inbox.sender, inbox.recipients) == ("agents@example.com", ["bob@x.org", "ann@x.org", "c@x.org"])
    assert inbox.content == [message().as_bytes()]
    received = message_from_bytes(inbox.content[0], policy=default)
    payload = received.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().replace("\r\n", "\n") == BODY
    assert str(received["Message-ID"]) == "<m-1@example.com>"
    assert not (tmp_path / "mail").exists()


async def test_mail_without_a_server_goes_to_a_maildir(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With a warning in the log."""
    folder = tmp_path / "data" / "mail"
    with caplog.at_level(logging.WARNING):
        said = await deliver(message(), None, folder)
    assert said == f"SMTP_URL is not set, so the email was not sent; it was put into the folder {folder}."
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert [one.as_bytes() for one in Maildir(folder)] == [message().as_bytes().replace(b"\r\n", b"\n")]


async def test_unwritable_maildir_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ActionFailed, match="could not be put") as caught:
        await deliver(message(), None, tmp_path / "file" / "mail")
    assert not isinstance(caught.value, OutcomeUnknown)


async def certainly_not_sent(port: int, folder: Path, says: str) -> None:
    with pytest.raises(ActionFailed, match=says) as caught:
        await to(port, folder)
    assert type(caught.value) is ActionFailed
    assert str(caught.value).startswith("The email was not sent")


async def test_refused_connection_means_not_sent(tmp_path: Path) -> None:
    async with scripted(b"220 hello") as port:
        pass
    await certainly_not_sent(port, tmp_path, "Error connecting")


async def test_one_refused_recipient_stops_the_mail_for_all(tmp_path: Path) -> None:
    inbox = Inbox()
    inbox.on_recipient = lambda server, address: "550 Nobody here" if address == "c@x.org" else "250 OK"
    async with smtp(inbox) as port:
        await certainly_not_sent(port, tmp_path, "550 Nobody here")
    assert inbox.content == []


@pytest.mark.parametrize("answer", ["451 Try later", "554 Spam"])
async def test_mail_content_refused_by_the_server_was_not_sent(answer: str, tmp_path: Path) -> None:
    inbox = Inbox()
    inbox.on_content = lambda server: answer
    async with smtp(inbox) as port:
        await certainly_not_sent(port, tmp_path, answer)


EHLO = (b"220 hello", b"250 OK")
ENVELOPE = (*EHLO, b"250 sender", b"250 one", b"250 two", b"250 three")


@pytest.mark.parametrize(
    "answers",
    [(None,), (b"554 Go away",), (b"220 hello", None), (*EHLO, None), (*ENVELOPE[:4], None), (*ENVELOPE, b"452 Full")],
    ids=["at once", "greeting", "hello", "sender", "recipient", "data refused"],
)
async def test_failure_before_the_mail_content_means_not_sent(
    answers: tuple[bytes | None, ...], tmp_path: Path
) -> None:
    async with scripted(*answers) as port:
        await certainly_not_sent(port, tmp_path, "127.0.0.1")


async def nobody_knows(port: int, folder: Path) -> None:
    with pytest.raises(OutcomeUnknown, match="Nobody knows whether the email was sent") as caught:
        await to(port, folder)
    assert "before it is sent again" in str(caught.value)


async def test_connection_lost_after_the_content_is_an_unknown_outcome(tmp_path: Path) -> None:
    inbox = Inbox()

    def drop(server: Any) -> str:
        server.transport.abort()
        return "250 OK"

    inbox.on_content = drop
    async with smtp(inbox) as port:
        await nobody_knows(port, tmp_path)
    assert len(inbox.content) == 1


@pytest.mark.parametrize("answer", [None, b"250", b"299 What", b"nonsense"], ids=["close", "bare", "odd", "nonsense"])
async def test_only_a_clear_reply_to_the_content_counts(answer: bytes | None, tmp_path: Path) -> None:
    async with scripted(*ENVELOPE, b"354 Go", answer, b"221 Bye") as port:
        if answer == b"250":
            assert "was sent" in await to(port, tmp_path)
        else:
            await nobody_knows(port, tmp_path)


def test_unanswered_mail_content_is_an_unknown_outcome(tmp_path: Path) -> None:
    """R4: a timeout after the content leaves open whether the mail was sent."""

    async def sending() -> None:
        async with scripted(*ENVELOPE, b"354 Go") as port:
            await nobody_knows(port, tmp_path)

    on_idle_clock(sending())


def test_server_that_never_greets_means_not_sent(tmp_path: Path) -> None:
    async def sending() -> None:
        async with scripted() as port:
            with pytest.raises(ActionFailed, match="Timed out") as caught:
                await to(port, tmp_path)
        assert type(caught.value) is ActionFailed

    on_idle_clock(sending())


async def test_server_closing_without_goodbye_has_the_mail(tmp_path: Path) -> None:
    """It had acknowledged the content."""
    async with scripted(*ENVELOPE, b"354 Go", b"250 Stored", None) as port:
        assert "was sent" in await to(port, tmp_path)


async def test_smtp_login_is_used_and_its_failure_sends_nothing(tmp_path: Path) -> None:
    """The error keeps the password out."""
    inbox = Inbox()
    async with smtp(inbox, authenticator=inbox.login, auth_require_tls=False) as port:
        assert "was sent" in await deliver(message(), f"smtp://us%40er:p%40ss@127.0.0.1:{port}", tmp_path)
        with pytest.raises(ActionFailed) as caught:
            await deliver(message(), f"smtp://user:geheim@127.0.0.1:{port}", tmp_path)
    assert inbox.logins[0] == (b"us@er", b"p@ss")
    assert len(inbox.content) == 1
    assert "geheim" not in str(caught.value)


async def test_password_is_not_sent_unencrypted_to_another_machine(tmp_path: Path) -> None:
    """The mail is not sent, and the error says why."""
    inbox = Inbox()
    async with smtp(inbox, authenticator=inbox.login, auth_require_tls=False) as port:
        # 0.0.0.0 reaches this machine, but is not a loopback address.
        with pytest.raises(ActionFailed, match="not sent in the clear"):
            await deliver(message(), f"smtp://user:geheim@0.0.0.0:{port}", tmp_path)
    assert inbox.logins == []


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key in one file, made for this session."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=127.0.0.1"
    made = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(folder / "key"), "-out", str(folder / "cert")]
    subprocess.run([*command.split(), *made], check=True, capture_output=True)
    (folder / "both").write_bytes((folder / "key").read_bytes() + (folder / "cert").read_bytes())
    return folder / "both"


def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context


async def test_smtps_encrypts_from_the_first_byte(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    inbox = Inbox()
    async with smtp(inbox, tls=server_tls(certificate)) as port:
        assert "was sent" in await deliver(message(), f"smtps://127.0.0.1:{port}", tmp_path)
    assert inbox.encrypted


async def test_starttls_is_used_when_it_is_offered(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    inbox = Inbox()
    async with smtp(inbox, tls_context=server_tls(certificate)) as port:
        assert "was sent" in await to(port, tmp_path)
    assert inbox.encrypted


async def test_untrusted_certificate_means_not_sent(certificate: Path, tmp_path: Path) -> None:
    inbox = Inbox()
    async with smtp(inbox, tls=server_tls(certificate)) as port:
        with pytest.raises(ActionFailed, match="certificate") as caught:
            await deliver(message(), f"smtps://127.0.0.1:{port}", tmp_path)
    assert type(caught.value) is ActionFailed
    assert inbox.content == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("smtp://mail.x.org", "SmtpServer(host='mail.x.org', port=25, tls='when offered', user=None)"),
        ("smtp://u:p@mail.x.org", "SmtpServer(host='mail.x.org', port=587, tls='when offered', user='u')"),
        ("smtps://u%3A:p@mail.x.org/", "SmtpServer(host='mail.x.org', port=465, tls='at once', user='u:')"),
        ("smtp://[::1]:2525", "SmtpServer(host='::1', port=2525, tls='when offered', user=None)"),
    ],
)
def test_smtp_address_is_parsed(url: str, shown: str) -> None:
    assert repr(parse_smtp_url(url)) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.x.org",
        "http://geheim@x",
        "smtp://",
        "smtp://u@x.org",
        "smtp://u:geheim@x:port",
        "smtp://u:geheim@x:99999",
        "smtp://u:geheim@x:0",
        "smtp://u:geheim@x/path",
        "smtp://u:geheim@x?tls=no",
        "smtp://u:gehe/im@x",
        "smtp://u:geheim@[x",
    ],
)
async def test_invalid_smtp_address_is_refused_without_its_password(url: str, tmp_path: Path) -> None:
    """R15: neither in the message nor in its cause."""
    with pytest.raises(ActionFailed, match="SMTP_URL") as caught:
        await deliver(message(), url, tmp_path)
    assert "geheim" not in str(caught.value)
    assert caught.value.__suppress_context__
