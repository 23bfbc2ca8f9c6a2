"""Redis users of `web` and worker, as a file for one namespace.

For the embedded Redis, their passwords are derived from the administrator's.
"""

import argparse
import hashlib
import hmac
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from countersign.domain.api_keys import id_of
from countersign.domain.ids import TeamName, WorkspaceId
from countersign.store.keys import Keys, area_namespace

FILE: Final = Path(__file__).parent / "users.acl"
USERS: Final = ("web", "worker")
_NAMESPACE: Final = "<YOUR NAMESPACE>"
"""Contains a space, at which the server splits the line. The rest is not a valid rule, so a server with this
placeholder does not start."""


def written_for(namespace: str, groups: Sequence[str] = ()) -> str:
    """Write the file for a namespace, with placeholders for the passwords.

    `groups` are the names of workers' keys that have areas of their own. The file has no comments, because servers
    reject them. ValueError if the namespace or a key's name is not valid.
    """
    own, text = Keys(namespace).namespace, ""
    for line in FILE.read_text().splitlines(keepends=True):
        if not line.startswith("user "):
            continue
        line = line.replace(_NAMESPACE, own)
        areas = [f"{{{area_namespace(own, id_of(TeamName(group)))}}}" for group in groups]
        if line.startswith("user web "):
            line = line.rstrip("\n") + "".join(f" &{area}:* ~{area}:*" for area in areas) + "\n"
        text += line
        if line.startswith("user worker "):
            for group, area in zip(groups, areas, strict=True):
                theirs = line.replace("user worker on #<WORKER>", f"user worker-{group} on #<WORKER-{group}>")
                text += theirs.replace(f"{{{own}-work}}", area)
    return text


def written_for_workspaces(namespace: str, workspaces: Sequence[str]) -> str:
    """Write the file for workspaces that install the app by OAuth.

    One web can access all of them, including later ones; each worker can access only its own workspace's keys.
    ValueError as in `written_for`.
    """
    own, text = Keys(namespace).namespace, ""
    for line in written_for(namespace).splitlines(keepends=True):
        if line.startswith("user web "):
            every = line.replace(f"{{{own}", f"{{{own}-T*")
            text += every.rstrip("\n") + f" ~{{{own}}}:*\n"  # shared by all workspaces
        elif line.startswith("user worker "):
            for workspace in workspaces:
                name = f"user worker-{workspace} on #<WORKER-{workspace}>"
                theirs = line.replace("user worker on #<WORKER>", name)
                text += theirs.replace(f"{{{own}-work}}", f"{{{own}-{WorkspaceId(workspace)}-work}}")
        else:
            text += line
    return text


def acl(password: str, namespace: str) -> str:
    """Write the file for a server whose administrator has this password.

    The passwords of the other users are derived from it.
    """
    text = written_for(namespace).replace("user default off\n", "user default on #<ADMIN> ~* &* +@all\n")
    for user, secret in {"admin": password, **{user: password_of(user, password) for user in USERS}}.items():
        text = text.replace(f"<{user.upper()}>", hashlib.sha256(secret.encode()).hexdigest())
    return text


def password_of(user: str, password: str) -> str:
    """Derive the user's password from the administrator's, which it does not reveal."""
    return hmac.new(password.encode(), user.encode(), hashlib.sha256).hexdigest()


def url_of(user: str, url: str) -> str:
    """Make the address for a user of an embedded Redis, from its administrator's."""
    parts = urlsplit(url)
    assert parts.password
    return parts._replace(netloc=f"{user}:{password_of(user, parts.password)}@{parts.hostname}:{parts.port}").geturl()


_ABOUT: Final = "Print the file of Redis users for a namespace; docs/security.md says what to do with it."


def main(arguments: list[str]) -> int:
    """Run `countersign acl`; returns 0, or 2 if the namespace is not valid."""
    parser = argparse.ArgumentParser(prog="countersign acl", description=_ABOUT)
    parser.add_argument("--namespace", default=os.environ.get("NAMESPACE") or "countersign", help="default: NAMESPACE")
    parser.add_argument("--workers", nargs="+", default=[], metavar="NAME", help="workers with a key of their own")
    parser.add_argument("--workspaces", nargs="+", metavar="T…", help="ids of those that installed the app by OAuth")
    given = parser.parse_args(arguments)
    try:
        several = given.workspaces and written_for_workspaces(given.namespace, given.workspaces)
        print(several or written_for(given.namespace, given.workers), end="")
    except ValueError as wrong:
        print(wrong, file=sys.stderr)
        return 2
    return 0
