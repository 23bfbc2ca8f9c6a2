"""A mail as one text, which agents write, reviewers see, and a server gets.

The drafter answers in `FORMAT`; `parse` accepts that form and nothing else, so that no header can be smuggled past the
reviewer and the body that was approved is the body that is sent (R13). `agents.services.mail_delivery` sends it.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from email import message_from_bytes
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP, compat32
from email.utils import format_datetime

FORMAT = """\
Answer with the mail alone, in exactly this form, with nothing before or after it and no code fence:

To: name@example.com
Cc: another@example.com
Subject: what it is about

The words of the mail.

Leave the Cc line out when nobody is to get a copy. Several addresses are separated by commas."""
"""Part of the drafter's system message; the demo model knows by it that it is to write a mail."""

MAX_RECIPIENTS = 50
MAX_HEADER = 10_000
"""Characters of a line of addresses."""

MAX_SUBJECT = 250
"""Characters; a header line may hold 998 bytes (RFC 5322, 2.1.1)."""

_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@(?:localhost|{_LABEL}(?:\.{_LABEL})+)")
"""An address in plain ASCII: what looks like one mailbox is that mailbox, and any server takes it."""

_MAILBOX = re.compile(
    r"""\s*(?:(?:"(?P<quoted>(?:[^"\\]|\\.)*)"\s*|(?P<plain>[^"<>,;:@()\[\]\\]*))<(?P<angle>[^<>",;:()\s]*)>"""
    r"""|(?P<bare>[^<>",;:()\s]*))\s*"""
)
"""One address with or without a name. The standard library's parser mends what is wrong, or raises IndexError."""

_PLAIN_NAME = re.compile(r'[^()<>\[\]:;@\\,."]+')
"""A name that needs no quotes (RFC 5322, 3.2.3)."""

_PLAIN_LENGTH = 60
"""Characters of a name or a subject that stand in one header line as they are."""

_HEADER = re.compile(r"([A-Za-z][A-Za-z0-9-]*):(.*)")
_MESSAGE_ID = re.compile(r"<[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+>")
_POLICY = SMTP.clone(cte_type="7bit", refold_source="none")
_TURNS_TEXT = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that can be sent.

    `to` and `cc` hold one address each, with or without a name; `body` has LF line ends.
    """

    to: tuple[str, ...]
    cc: tuple[str, ...]
    subject: str
    body: str


@dataclass(frozen=True, slots=True)
class MailProblem:
    """The reason why a text isn't a mail, for drafter and people to act on."""

    sentence: str


class _Unreadable(Exception):
    """The exception that carries a MailProblem."""


def is_address(text: str) -> bool:
    """Say whether the text is one address, short enough for SMTP (RFC 5321, 4.5.3.1)."""
    return len(text) <= 254 and len(text.partition("@")[0]) <= 64 and _ADDRESS.fullmatch(text) is not None


def parse(text: str) -> Mail | MailProblem:
    """Read a text in `FORMAT`.

    CRLF counts as LF, blank lines before the headers are skipped, all else is strict.
    """
    try:
        return _parse(text.replace("\r\n", "\n").lstrip("\n"))
    except _Unreadable as problem:
        return MailProblem(str(problem))


def _parse(text: str) -> Mail:
    for number, line in enumerate(text.split("\n"), 1):
        if any(unicodedata.category(c) in ("Cc", "Cs") and c != "\t" for c in line):
            raise _Unreadable(f"Line {number} holds a control character; write the mail as plain text.")
    head, _, body = text.partition("\n\n")
    headers: dict[str, str] = {}
    for line in head.split("\n"):
        header = _HEADER.fullmatch(line)
        if header is None:
            raise _Unreadable(
                "A mail begins with the lines “To: …” and “Subject: …” and then a blank line, "
                f"but it says “{line[:80]}”."
            )
        name = header[1].capitalize()
        if name not in ("To", "Cc", "Subject"):
            raise _Unreadable(f"The header “{header[1]}” is not allowed; a mail has To, Cc and Subject.")
        if name in headers:
            raise _Unreadable(f"The header “{name}” is there twice; write one line with all of it.")
        headers[name] = _header_value(name, header[2])
    for name in ("To", "Subject"):
        if name not in headers:
            raise _Unreadable(f"The line “{name}: …” is missing.")
    if not body.strip():
        raise _Unreadable("The mail has no words; after the headers comes a blank line, then the text.")
    to = _addresses("To", headers["To"])
    cc = _addresses("Cc", headers["Cc"]) if "Cc" in headers else ()
    if len(to) + len(cc) > MAX_RECIPIENTS:
        raise _Unreadable(f"The mail has {len(to) + len(cc)} recipients; at most {MAX_RECIPIENTS} are allowed.")
    if len(headers["Subject"]) > MAX_SUBJECT:
        raise _Unreadable(f"The subject is longer than {MAX_SUBJECT} characters; shorten it.")
    return Mail(to, cc, headers["Subject"], body)


def _header_value(name: str, raw: str) -> str:
    value = raw.strip()
    if not value:
        raise _Unreadable(f"The line “{name}:” is empty; fill it in or leave it out.")
    for char in value:
        if char in _TURNS_TEXT or unicodedata.category(char) in ("Cc", "Zl", "Zp"):
            raise _Unreadable(f"The line “{name}:” holds an invisible character (U+{ord(char):04X}); leave it out.")
    if "=?" in value:
        # A mail program would decode it, so the recipient would read something else than the reviewer did.
        raise _Unreadable(f"The line “{name}:” holds “=?”, which mail programs decode; write plain words.")
    return value


def _addresses(name: str, value: str) -> tuple[str, ...]:
    """Return the mailboxes of a header, each written in one way only."""
    if len(value) > MAX_HEADER:
        raise _Unreadable(f"The line “{name}:” is longer than {MAX_HEADER:,} characters; shorten it.")
    mailboxes = _split(value)
    if mailboxes is None:
        raise _Unreadable(
            f"The line “{name}: {value[:80]}” is not a list of addresses like “Ann <ann@example.com>, bob@example.com”."
        )
    for _, address in mailboxes:
        if not is_address(address):
            raise _Unreadable(f"“{address[:80]}” in the line “{name}:” is not an e-mail address.")
    return tuple(_mailbox(shown, address) for shown, address in mailboxes)


def _split(value: str) -> list[tuple[str, str]] | None:
    """Split a header's text into names and addresses; None if it is not a list.

    A missing name is "".
    """
    mailboxes: list[tuple[str, str]] = []
    at = 0
    while at <= len(value):
        item = _MAILBOX.match(value, at)
        if item is None or (item.end() < len(value) and value[item.end()] != ","):
            return None
        if item["bare"] is not None:
            mailboxes.append(("", item["bare"]))
        else:
            shown = item["plain"] if item["quoted"] is None else re.sub(r"\\(.)", r"\1", item["quoted"])
            mailboxes.append((shown.strip(), item["angle"]))
        at = item.end() + 1
    return mailboxes


def _mailbox(shown: str, address: str) -> str:
    if not shown:
        return address
    if not _PLAIN_NAME.fullmatch(shown):
        shown = '"' + re.sub(r'(["\\])', r"\\\1", shown) + '"'
    return f"{shown} <{address}>"


def to_message(mail: Mail, sender: str, message_id: str, date: datetime) -> EmailMessage:
    """Make the message to send; the same arguments give the same bytes.

    `sender` is an address with or without a name, `message_id` has the form `<left@right>` and identifies a second copy
    of the same mail, `date` is an aware datetime. ValueError if one of them is not.
    """
    if _MESSAGE_ID.fullmatch(message_id) is None:
        raise ValueError(f"{message_id!r} is not a Message-ID of the form <left@right>.")
    if date.tzinfo is None:
        raise ValueError("The date of a mail must know its time zone.")
    try:
        senders = _addresses("From", _header_value("From", sender))
    except _Unreadable as problem:
        raise ValueError(f"The sender cannot be used. {problem}") from None
    if len(senders) != 1:
        raise ValueError("A mail has one sender.")
    headers = [("From", _on_wire(senders)), ("To", _on_wire(mail.to))]
    if mail.cc:
        headers.append(("Cc", _on_wire(mail.cc)))
    headers += [
        ("Subject", _encoded(mail.subject, "Subject") if _needs_encoding(mail.subject) else mail.subject),
        ("Date", format_datetime(date)),
        ("Message-ID", message_id),
    ]
    content = EmailMessage(policy=_POLICY)
    content.set_content(mail.body)
    head = "".join(f"{name}: {value}\r\n" for name, value in headers)
    return message_from_bytes(head.encode("ascii") + content.as_bytes(), _class=EmailMessage, policy=_POLICY)


def envelope(message: EmailMessage) -> tuple[str, list[str]]:
    """Return sender and recipients of a message of `to_message`, as bare addresses.

    The recipients are To and Cc, each once, in order.
    """
    wire = message_from_bytes(message.as_bytes(), policy=compat32)
    unfolded = {name: re.sub(r"\s*\n\s*", " ", str(wire.get(name, ""))) for name in ("From", "To", "Cc")}
    bare = {name: [address for _, address in _split(value) or [] if address] for name, value in unfolded.items()}
    return bare["From"][0], list(dict.fromkeys(bare["To"] + bare["Cc"]))


def _on_wire(mailboxes: tuple[str, ...]) -> str:
    """Write one address a line.

    The standard library's folding loses addresses after long names (seen in Python 3.11.7).
    """
    lines: list[str] = []
    for mailbox in mailboxes:
        for shown, address in _split(mailbox) or []:
            lines.append(f"{_encoded(shown, 'To')}\r\n <{address}>" if _needs_encoding(shown) else mailbox)
    return ",\r\n ".join(lines)


def _needs_encoding(text: str) -> bool:
    return not text.isascii() or len(text) > _PLAIN_LENGTH


def _encoded(text: str, name: str) -> str:
    """Encoded words of RFC 2047, folded."""
    return Header(text, "utf-8", header_name=name).encode(linesep="\r\n")
