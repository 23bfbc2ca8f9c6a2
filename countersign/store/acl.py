"""Redis users of `web` and worker, as a file for one namespace.

For the embedded Redis their passwords are made from that of the administrator.
"""

import argparse
import hashlib
import hmac
import os
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from countersign.store.keys import Keys

FILE: Final = Path(__file__).parent / "users.acl"
USERS: Final = ("web", "worker")
_NAMESPACE: Final = "{<YOUR NAMESPACE>}:"
"""With a space, at which the server parts a line: what is left of it is no rule, and the server does not start."""


def written_for(namespace: str) -> str:
    """The file for a namespace, without comments, which no server takes; the places of the passwords stay.

    ValueError if there cannot be such a namespace.
    """
    rules = "".join(line for line in FILE.read_text().splitlines(keepends=True) if line.startswith("user "))
    return rules.replace(_NAMESPACE, Keys(namespace).prefix)


def acl(password: str, namespace: str) -> str:
    """The file for a server whose administrator, the user without a name, has this password."""
    text = written_for(namespace).replace("user default off\n", "user default on #<ADMIN> ~* &* +@all\n")
    for user, secret in {"admin": password, **{user: password_of(user, password) for user in USERS}}.items():
        text = text.replace(f"<{user.upper()}>", hashlib.sha256(secret.encode()).hexdigest())
    return text


def password_of(user: str, password: str) -> str:
    """The user's password, from the administrator's, which it does not tell."""
    return hmac.new(password.encode(), user.encode(), hashlib.sha256).hexdigest()


def url_of(user: str, url: str) -> str:
    """The address for a user of an embedded Redis, from its administrator's."""
    parts = urlsplit(url)
    assert parts.password
    return parts._replace(netloc=f"{user}:{password_of(user, parts.password)}@{parts.hostname}:{parts.port}").geturl()


_ABOUT: Final = "Print the file of Redis users for a namespace; docs/security.md says what to do with it."


def main(arguments: list[str]) -> int:
    """Run `countersign acl`. The exit status: 0 if the file was printed, 2 if there cannot be such a namespace."""
    parser = argparse.ArgumentParser(prog="countersign acl", description=_ABOUT)
    parser.add_argument("--namespace", default=os.environ.get("NAMESPACE") or "countersign", help="default: NAMESPACE")
    try:
        print(written_for(parser.parse_args(arguments).namespace), end="")
    except ValueError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    return 0
