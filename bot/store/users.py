"""The users of `users.acl`, with passwords made from one: for the embedded Redis of the demo and the tests."""

import hashlib
import hmac
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

FILE: Final = Path(__file__).parent / "users.acl"
USERS: Final = ("web", "worker")


def acl(password: str) -> str:
    """The file for a server whose administrator, the user without a name, has this password."""
    text = FILE.read_text().replace("user default off\n", "user default on #<ADMIN> ~* &* +@all\n")
    for user, secret in {"admin": password, **{user: password_of(user, password) for user in USERS}}.items():
        text = text.replace(f"<{user.upper()}>", hashlib.sha256(secret.encode()).hexdigest())
    return "\n".join(line for line in text.splitlines() if line and not line.startswith("#")) + "\n"


def password_of(user: str, password: str) -> str:
    """The user's password, from the administrator's, which it does not tell."""
    return hmac.new(password.encode(), user.encode(), hashlib.sha256).hexdigest()


def url_of(user: str, url: str) -> str:
    """The address for a user of an embedded Redis, from its administrator's."""
    parts = urlsplit(url)
    assert parts.password
    return parts._replace(netloc=f"{user}:{password_of(user, parts.password)}@{parts.hostname}:{parts.port}").geturl()
