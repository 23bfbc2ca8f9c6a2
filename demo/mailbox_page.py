"""The page of the demo's mailbox: pure functions from mails to HTML.

Everything that a mail says is escaped, and the page's policy lets nothing run or load but its own style and script.
"""

import base64
import hashlib
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html import escape
from typing import Self

SHOWN_HEADERS = ("From", "To", "Cc", "Date", "Message-ID")


@dataclass(frozen=True, slots=True)
class Letter:
    """One mail as it is shown: headers in order, body decoded to text."""

    subject: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @classmethod
    def read(cls, content: bytes) -> Self:
        """Any bytes become a letter; what is broken is shown as it came."""
        try:
            message = message_from_bytes(content, policy=default)
            headers = tuple((name, str(message[name])) for name in SHOWN_HEADERS if name in message)
            return cls(str(message["Subject"] or "(no subject)"), headers, _text(message))
        except Exception:
            # The standard library's parser raises many kinds of errors on broken headers.
            return cls("(an email that can't be read)", (), content.decode("latin-1"))


def _text(message: EmailMessage) -> str:
    part = message.get_body(preferencelist=("plain", "html"))
    if part is None:
        return "(no text)"
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, ValueError):
        payload = part.get_payload(decode=True)
        return payload.decode("latin-1") if isinstance(payload, bytes) else str(payload)


def list_html(letters: list[Letter]) -> str:
    """Draw the mails in the order given."""
    if not letters:
        return '<p class="empty">No email yet. Approve one in #approvals, and it arrives here.</p>'
    return "\n".join(_letter_html(letter) for letter in letters)


def _letter_html(letter: Letter) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in letter.headers)
    return (
        f"<article><h2>{escape(letter.subject)}</h2><dl>{rows}</dl>"
        f'<pre dir="auto">\n{escape(letter.body)}</pre></article>'
    )


_STYLE = """
:root { color-scheme: light dark; --ground: #f4f3f1; --card: #fff; --text: #1d1c1d; --faint: #5c5a5e; --line: #dedcd8; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #17181b; --card: #212327; --text: #e9e8e6; --faint: #a5a3a0; --line: #3a3c41; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.5 system-ui, sans-serif; }
header, main { max-width: 46rem; margin: 0 auto; padding: 1rem; }
header { padding-bottom: 0; }
h1 { font-size: 1.4rem; margin: 0; }
header p { margin: 0; color: var(--faint); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem;
  margin-bottom: 1rem; }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem .75rem; margin: 0; font-size: .875rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
pre { font: inherit; white-space: pre-wrap; overflow-wrap: anywhere; margin: .75rem 0 0; padding-top: .75rem;
  border-top: 1px solid var(--line); }
.empty { color: var(--faint); text-align: center; padding: 3rem 0; }
"""

_SCRIPT = """
const list = document.querySelector("main");
new EventSource("/events").onmessage = async () => {
  const answer = await fetch("/list");
  if (answer.ok) list.innerHTML = await answer.text();
};
"""


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


CSP = (
    f"default-src 'none'; style-src {_source(_STYLE)}; script-src {_source(_SCRIPT)}; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page."""


def page_html(letters: list[Letter]) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mailbox</title>
<link rel="icon" href="data:,">
<style>{_STYLE}</style>
</head>
<body>
<header><h1>Mailbox</h1><p>Mail that arrived at the demo's SMTP server, newest first.</p></header>
<main aria-live="polite">{list_html(letters)}</main>
<script>{_SCRIPT}</script>
</body>
</html>
"""
