"""The text of a mail: read strictly, and sent with exactly the words that were approved."""

from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.services.mail import MAX_RECIPIENTS, MAX_SUBJECT, Mail, MailProblem, envelope, is_address, parse, to_message

WHEN = datetime(2025, 3, 1, 12, 30, tzinfo=UTC)


def text(to: str = "bob@x.org", subject: str = "Hello", body: str = "Words.", more: str = "") -> str:
    return f"To: {to}\n{more}Subject: {subject}\n\n{body}"


def mail(**parts: str) -> Mail:
    found = parse(text(**parts))
    assert isinstance(found, Mail), found
    return found


def problem(written: str) -> str:
    found = parse(written)
    assert isinstance(found, MailProblem), found
    return found.sentence


def message(one: Mail, sender: str = "Agents <agents@example.com>") -> EmailMessage:
    return to_message(one, sender, "<run-1.mail-1@example.com>", WHEN)


def read_back(sent: EmailMessage) -> EmailMessage:
    return message_from_bytes(sent.as_bytes(), policy=default)


def words_of(received: EmailMessage) -> str:
    """The body as a mail program reads it, with LF line ends."""
    payload = received.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload.decode(str(received.get_content_charset())).replace("\r\n", "\n")


def test_plain_mail_is_parsed() -> None:
    found = parse("To: bob@x.org, Ann Lee <ann@x.org>\nCc: c@x.org\nSubject: 10% off\n\nHello,\n\nwe need it.\n")
    assert found == Mail(("bob@x.org", "Ann Lee <ann@x.org>"), ("c@x.org",), "10% off", "Hello,\n\nwe need it.\n")


def test_mail_headers_may_have_any_order_and_case() -> None:
    """CRLF is read as a line end."""
    assert parse("\r\nsubject:Hi\r\nCC: c@x.org\r\nto:  b@x.org \r\n\r\nA\r\nB") == Mail(
        ("b@x.org",), ("c@x.org",), "Hi", "A\nB"
    )


def test_mail_accepts_unicode_in_names_subject_and_body() -> None:
    one = mail(to='"Müller, Jörg" <j@x.org>, 李 <l@x.org>', subject="Grüße 👩‍👩‍👧", body="Schöne Grüße, 李 …\n")
    received = read_back(message(one))
    assert [(a.display_name, a.addr_spec) for a in received["To"].addresses] == [
        ("Müller, Jörg", "j@x.org"),
        ("李", "l@x.org"),
    ]
    assert received["Subject"] == one.subject
    assert words_of(received) == one.body


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("", "begins with the lines"),
        ("Hello Bob", "begins with the lines"),
        ("```\n" + text() + "\n```", "it says “```”"),
        ("Here is the mail:\n\n" + text(), "says “Here is the mail:”"),
        ("Subject: x\n\nWords.", "“To: …” is missing"),
        ("To: b@x.org\n\nWords.", "“Subject: …” is missing"),
        (text(subject="  "), "“Subject:” is empty"),
        (text(to=""), "“To:” is empty"),
        (text(body=" \n "), "has no words"),
        ("To: b@x.org\nSubject: x", "has no words"),
        (text(more="Bcc: spy@x.org\n"), "“Bcc” is not allowed"),
        (text(more="Reply-To: spy@x.org\n"), "“Reply-To” is not allowed"),
        (text(more="From: boss@x.org\n"), "“From” is not allowed"),
        (text(more="Content-Type: text/html\n"), "“Content-Type” is not allowed"),
        (text(more="To: c@x.org\n"), "“To” is there twice"),
        (text(more="to: c@x.org\n"), "“To” is there twice"),
        (text(more=" folded@x.org\n"), "begins with the lines"),
        (text(subject="a\rBcc: spy@x.org"), "control character"),
        (text(body="bell \x07"), "control character"),
        (text(body="half \ud800"), "control character"),
        (text(subject="a\u2028Bcc: spy@x.org"), "U+2028"),
        (text(subject="pay \u202e001"), "U+202E"),
        (text(subject="a\tb"), "U+0009"),
        (text(subject="=?utf-8?q?hidden?="), "“=?”"),
        (text(to="=?utf-8?q?evil=40x.org=3E?= <b@x.org>"), "“=?”"),
        (text(subject="x" * (MAX_SUBJECT + 1)), "longer than 250"),
        (text(to=", ".join(f"u{n}@x.org" for n in range(MAX_RECIPIENTS + 1))), "51 recipients"),
        (text(to="a" * 10_001), "longer than 10,000"),
    ],
)
def test_invalid_mail_is_explained_in_a_sentence(written: str, says: str) -> None:
    """R13: nothing that the reviewer could overlook becomes a header."""
    assert says in problem(written)


@pytest.mark.parametrize(
    "to",
    [
        "bob",
        "bob@",
        "@x.org",
        "bob@x",
        "bob@@x.org",
        "bob@x..org",
        "bob@-x.org",
        "b ob@x.org",
        ".bob@x.org",
        "bob.@x.org",
        "b..ob@x.org",
        "<bob@x.org",
        "bob@x.org>",
        "bob@x.org c@x.org",
        "bob@x.org;c@x.org",
        "bob@x.org,",
        "bob@x.org (comment)",
        '"a b"@x.org',
        "bob@[127.0.0.1]",
        "friends: a@x.org, b@x.org;",
        "friends:;",
        "bob@xn--\u0440.org",
        "b\u043eb@x.org",
        "bob\u200b@x.org",
        f"{'b' * 65}@x.org",
        f"b@{'x.' * 130}org",
        "Bob <bob@x.org> <c@x.org>",
        "<@relay.org:bob@x.org>",
    ],
)
def test_invalid_address_is_explained_in_a_sentence(to: str) -> None:
    sentence = problem(text(to=to))
    assert "e-mail address" in sentence or "list of addresses" in sentence, sentence
    assert not is_address(to)


def test_equal_arguments_give_equal_mail_bytes() -> None:
    one = mail(body="Words. 👩\n" * 40)
    assert message(one).as_bytes() == message(one).as_bytes()


def test_mail_has_exactly_the_expected_headers() -> None:
    sent = read_back(message(mail(more="Cc: ann@x.org\n")))
    assert {name: str(value) for name, value in sent.items()} == {
        "From": "Agents <agents@example.com>",
        "To": "bob@x.org",
        "Cc": "ann@x.org",
        "Subject": "Hello",
        "Date": "Sat, 01 Mar 2025 12:30:00 +0000",
        "Message-ID": "<run-1.mail-1@example.com>",
        "MIME-Version": "1.0",
        "Content-Type": 'text/plain; charset="utf-8"',
        "Content-Transfer-Encoding": "7bit",
    }


@pytest.mark.parametrize(
    ("sender", "message_id", "date", "says"),
    [
        ("nobody", "<a@b>", WHEN, "sender"),
        ("a@x.org\nBcc: spy@x.org", "<a@b>", WHEN, "sender"),
        ("a@x.org, b@x.org", "<a@b>", WHEN, "one sender"),
        ("a@x.org", "a@b", WHEN, "Message-ID"),
        ("a@x.org", "<a@b>\nBcc: spy@x.org", WHEN, "Message-ID"),
        ("a@x.org", "<a@b>", WHEN.replace(tzinfo=None), "time zone"),
    ],
)
def test_invalid_sender_message_id_or_date_is_refused(sender: str, message_id: str, date: datetime, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        to_message(mail(), sender, message_id, date)


@pytest.mark.parametrize(
    "body",
    [
        "From here on\n.\n..dots\n.",
        "trailing  \n\n\n",
        "\n\nleading",
        "x" * 5000,
        "é" * 5000,
        "…Å\u2028 \u00a0",
        "a = b =3D =\n" * 20,
        "\tindented\n" * 12 + "ü",
    ],
)
def test_difficult_mail_text_arrives_unchanged(body: str) -> None:
    """R13: what is sent is what was shown."""
    assert words_of(read_back(message(mail(body=body)))) == body + ("" if body.endswith("\n") else "\n")


_CHARS = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
_NAMES = st.text(_CHARS, min_size=1, max_size=120)


@given(
    names=st.lists(_NAMES, min_size=1, max_size=6),
    subject=st.text(_CHARS, max_size=250),
    body=st.text(st.one_of(_CHARS, st.sampled_from("\n\t.=")), max_size=400),
)
def test_accepted_mail_arrives_unchanged(names: list[str], subject: str, body: str) -> None:
    """R13: recipients, subject and words survive the way to the wire, or the text is refused."""
    quoted = [name.replace("\\", "\\\\").replace('"', '\\"') for name in names]
    to = ", ".join(f'"{name}" <u{n}@x.org>' for n, name in enumerate(quoted))
    one = parse(f"To: {to}\nSubject: {subject}\n\n{body}")
    if isinstance(one, MailProblem):
        return
    addresses = [f"u{n}@x.org" for n in range(len(names))]
    assert envelope(message(one)) == ("agents@example.com", addresses)
    received = read_back(message(one))
    assert [a.addr_spec for a in received["To"].addresses] == [f"u{n}@x.org" for n in range(len(names))]
    assert set(received.keys()) == {
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
    }
    assert received["Subject"] == one.subject
    assert words_of(received) == one.body + ("" if one.body.endswith("\n") else "\n")
    assert max(len(line) for line in message(one).as_bytes().split(b"\r\n")) <= 998


@given(st.text(st.one_of(_CHARS, st.sampled_from('\n\r\t:,<>@"\\=? ')), max_size=200))
def test_any_text_is_a_mail_or_an_explanation(written: str) -> None:
    for tried in (written, text(to=written), text(subject=written), text(more=f"Cc: {written}\n")):
        found = parse(tried)
        if isinstance(found, Mail):
            assert set(message(found).keys()) >= {"To", "Subject"}
            assert not any("\n" in value or "\r" in value for value in message(found).values())
        else:
            assert found.sentence
