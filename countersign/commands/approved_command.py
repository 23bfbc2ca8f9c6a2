"""A command as people approve it, and the comparison with what would run.

What people approve is a call of the tool `run`. Its arguments are all that decides what runs: the argument vector, the
program's file, the working folder, the machine and the account, and if they are named, variables of the environment and
digests of files. They are gathered once for the question, and once more right before the start.
"""

import getpass
import hashlib
import json
import os
import shutil
import socket
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from countersign.commands.exit_statuses import ExitStatus
from countersign.domain.errors import CountersignError

TOOL: Final = "run"
"""Its name in the workspace's policy."""
LONGEST_ATTACHMENT: Final = 90_000
"""Characters of all attachments; the service takes a message of 100,000."""


class CannotRun(CountersignError):
    """A command that can't run or can't be shown; `status` is the exit status."""

    def __init__(self, status: ExitStatus, text: str) -> None:
        self.status = status
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Command:
    """A command, and the names of everything that is approved with it."""

    vector: tuple[str, ...]
    variables: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    host: str = ""

    def as_it_is(self) -> dict[str, Any]:
        """Gather what would run now.

        CannotRun if it could not run, or JSON cannot hold it.
        """
        known: dict[str, Any] = {"command": [*self.vector], "program": program_of(self.vector[0])}
        known |= {"folder": str(Path.cwd()), "user": _account(), "host": self.host or socket.gethostname()}
        if self.variables:
            known["environment"] = {name: _variable(name) for name in self.variables}
        if self.files:
            known["files"] = {name: digest_of(name) for name in self.files}
        try:
            json.dumps(known, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise CannotRun(
                ExitStatus.WRONG_USAGE,
                "The command, its folder or a variable has bytes that aren't UTF-8, so people can't be shown it.",
            ) from None
        return known


def program_of(name: str) -> str:
    """Return the path of the program that the name means here.

    CannotRun if it cannot be executed.
    """
    if found := shutil.which(name):
        return str(Path(found).absolute())
    if os.sep in name and Path(name).exists():
        raise CannotRun(ExitStatus.NOT_EXECUTABLE, f"{name} can't be executed.")
    raise CannotRun(ExitStatus.NOT_FOUND, f"The program {name} was not found. Shell built-ins need a shell: sh -c ….")


def digest_of(name: str) -> str:
    """Return the SHA-256 digest of a file's content.

    CannotRun if it is not a file that can be read.
    """
    try:
        if not stat.S_ISREG(Path(name).stat().st_mode):
            raise CannotRun(ExitStatus.WRONG_USAGE, f"{name} is not a regular file, so it has no digest.")
        with Path(name).open("rb") as content:
            return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    except OSError as wrong:
        raise CannotRun(ExitStatus.WRONG_USAGE, f"{name} can't be read: {wrong.strerror}.") from None


def attached(names: Sequence[str]) -> str:
    """Return the text of the attachments, each below its name.

    CannotRun if one is not text, or if all of them are too long.
    """
    parts = []
    for name in names:
        try:
            parts.append(f"{name}:\n{Path(name).read_text(encoding='utf-8')}")
        except OSError as wrong:
            raise CannotRun(ExitStatus.WRONG_USAGE, f"{name} can't be read: {wrong.strerror}.") from None
        except UnicodeDecodeError:
            raise CannotRun(
                ExitStatus.WRONG_USAGE,
                f"{name} is not UTF-8 text, so people can't read it. Attach text, and name other files by --file.",
            ) from None
    text = "\n\n".join(parts)
    if len(text) > LONGEST_ATTACHMENT:
        raise CannotRun(
            ExitStatus.WRONG_USAGE,
            f"The attachments have {len(text):,} characters, and people are shown at most {LONGEST_ATTACHMENT:,}. "
            f"Attach a summary.",
        )
    return text


def differences(approved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name what differs between the approved command and the one that would run."""
    names = [name for name in dict.fromkeys([*approved, *now]) if approved.get(name) != now.get(name)]
    inner = [
        f"{name}: {', '.join(sorted(key for key in {*was, *then} if was.get(key) != then.get(key)))}"
        if isinstance(was := approved.get(name), Mapping) and isinstance(then := now.get(name), Mapping)
        else name
        for name in names
    ]
    return "; ".join(inner)


def _variable(name: str) -> str | None:
    return os.environ.get(name)


def _account() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name, as in some containers
        return str(os.getuid())
