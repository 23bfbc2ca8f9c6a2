"""The demo's mailbox: mail by SMTP comes in, the page shows it, and nothing that a mail says can act on the page."""

import asyncio
import re
import signal
import smtplib
import sys
from collections.abc import AsyncIterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from aiohttp import ClientSession
from hypothesis import given
from hypothesis import strategies as st
from playwright.async_api import Browser

from demo.mailbox import Mailbox
from demo.mailbox_page import Letter, list_html
from tests.longest_wait import PATIENCE


def mail(subject: str, body: str = "Words.\n", to: str = "vendor@example.com") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "agents@example.com", to, subject
    message.set_content(body)
    return message


async def send(box: Mailbox, message: EmailMessage) -> None:
    def over_smtp() -> None:
        with smtplib.SMTP("127.0.0.1", box.smtp_port, local_hostname="localhost") as client:
            client.send_message(message)

    await asyncio.to_thread(over_smtp)


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Mailbox]:
    it = Mailbox(tmp_path / "data" / "mail")
    await it.start()
    yield it
    await it.stop()


async def test_page_refuses_foreign_host_names(box: Mailbox, http: ClientSession, subtests: pytest.Subtests) -> None:
    """R29: a browser that a name led here says which name that was."""
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1", ""]:
        for path in ["/", "/list", "/events"]:
            with subtests.test(host=host, path=path):
                async with http.get(f"http://127.0.0.1:{box.http_port}{path}", headers={"Host": host}) as answer:
                    assert answer.status in (400, 403)


@pytest.mark.parametrize("path", ["/", "/list", "/none"])
async def test_mailbox_page_cannot_be_framed(box: Mailbox, http: ClientSession, path: str) -> None:
    """R9"""
    async with http.get(f"http://127.0.0.1:{box.http_port}{path}") as answer:
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.fixture
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def page(http: ClientSession, box: Mailbox, path: str = "") -> str:
    async with http.get(box.page + path) as answer:
        assert answer.status == 200
        return await answer.text()


async def test_empty_mailbox_says_so(box: Mailbox, http: ClientSession) -> None:
    assert "No email yet" in await page(http, box)


async def test_mails_are_shown_newest_first(box: Mailbox, http: ClientSession) -> None:
    for subject in ("First", "Second", "Grüße 👩"):
        await send(box, mail(subject, f"About {subject}.\n\nBye\n"))
    shown = await page(http, box)
    assert re.findall("<h2>(.*?)</h2>", shown) == ["Grüße 👩", "Second", "First"]
    assert "About Grüße 👩.\n\nBye" in shown
    assert "<dt>To</dt><dd>vendor@example.com</dd>" in shown
    assert "<dt>From</dt><dd>agents@example.com</dd>" in shown


async def test_mail_content_is_escaped(box: Mailbox, http: ClientSession) -> None:
    """R15: text from people and models is data."""
    await send(box, mail("<img src=x onerror=alert(1)>", "</pre><script>alert(1)</script>&amp;"))
    shown = await page(http, box)
    assert "<img" not in shown
    assert "<script>alert" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;" in shown


async def test_mailbox_page_runs_only_its_own_script(box: Mailbox, http: ClientSession) -> None:
    async with http.get(box.page) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy


async def test_mails_survive_a_restart(box: Mailbox, http: ClientSession) -> None:
    await send(box, mail("Kept"))
    again = Mailbox(box.maildir)
    await again.start()
    try:
        assert "Kept" in await page(http, again)
    finally:
        await again.stop()


async def test_stream_announces_a_new_mail(box: Mailbox, http: ClientSession) -> None:
    async with http.get(box.page + "events") as events:
        assert (await events.content.readuntil(b"\n\n")) == b"data: changed\n\n"
        await send(box, mail("News"))
        assert (await events.content.readuntil(b"\n\n")) == b"data: changed\n\n"
        assert "News" in await page(http, box, "list")


async def test_open_stream_does_not_delay_the_stop(tmp_path: Path, http: ClientSession) -> None:
    box = Mailbox(tmp_path / "mail")
    await box.start()
    async with http.get(box.page + "events") as events:
        await events.content.readuntil(b"\n\n")
        async with asyncio.timeout(PATIENCE):
            await box.stop()


async def test_mailbox_listens_on_loopback_only(box: Mailbox) -> None:
    assert box._smtp is not None and box._web is not None
    addresses = [one.getsockname()[0] for one in box._smtp.sockets] + [one[0] for one in box._web.addresses]
    assert set(addresses) == {"127.0.0.1"}


async def test_failed_start_leaves_no_port_open(box: Mailbox, tmp_path: Path) -> None:
    """The port of SMTP is closed again if that of HTTP is in use."""
    second = Mailbox(tmp_path / "other", 0, box.http_port)
    with pytest.raises(OSError, match="address already in use"):
        await second.start()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", second.smtp_port)


def test_html_and_broken_mails_are_shown_as_text() -> None:
    html = EmailMessage()
    html["Subject"] = "Rich"
    html.set_content("<b>bold</b>", subtype="html")
    assert "&lt;b&gt;bold" in list_html([Letter.read(html.as_bytes())])
    broken = b"Subject: Odd\nContent-Type: text/plain; charset=nothing\n\nWords \xff"
    assert Letter.read(broken).subject == "Odd"
    assert "Words" in Letter.read(broken).body


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"To: ", b"Subject: =?", b"Content-Type: ", b"From: <", b"Date: ", b"Message-ID: <"]),
)
def test_any_bytes_become_a_readable_mail(content: bytes, start: bytes) -> None:
    assert "<article>" in list_html([Letter.read(start + content)])


async def test_phone_browser_shows_new_mail_without_reloading(box: Mailbox, browser: Browser) -> None:
    """The page fits the width of the screen."""
    view = await browser.new_page(viewport={"width": 375, "height": 700})
    try:
        complaints: list[str] = []
        view.on("console", lambda line: complaints.append(line.text))
        await view.goto(box.page)
        await view.get_by_text("No email yet").wait_for()
        await send(box, mail("A discount of 10%", "Hello,\n\n" + "long" * 60 + "\n", "a" * 60 + "@example.com"))
        await view.get_by_role("heading", name="A discount of 10%").wait_for()
        assert await view.evaluate("document.documentElement.scrollWidth") <= 375
        assert complaints == []
    finally:
        await view.close()


async def test_mailbox_command_serves_until_terminated(tmp_path: Path, http: ClientSession) -> None:
    arguments = ["-m", "demo.mailbox", "--smtp-port", "0", "--http-port", "0", "--maildir", str(tmp_path / "mail")]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        line = (await process.stdout.readline()).decode()
        found = re.fullmatch(r"Mailbox: (http://127\.0\.0\.1:\d+/) \(SMTP on 127\.0\.0\.1:(\d+)\)\n", line)
        assert found is not None, line
        async with http.get(found[1]) as answer:
            assert "No email yet" in await answer.text()
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_mailbox_command_reports_a_port_in_use(box: Mailbox, tmp_path: Path) -> None:
    arguments = ["-m", "demo.mailbox", "--smtp-port", str(box.smtp_port), "--maildir", str(tmp_path / "mail")]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stderr=asyncio.subprocess.PIPE)
    _, errors = await process.communicate()
    assert process.returncode == 1
    assert errors.decode().startswith("The mailbox could not start: ")
    assert "Traceback" not in errors.decode()
