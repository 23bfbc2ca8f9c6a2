"""The repository in which a coding agent works, read without running git."""

import re
from configparser import ConfigParser
from configparser import Error as ConfigError
from dataclasses import dataclass
from pathlib import Path

_REMOTE = re.compile(r"(?:.*[/:@])?([\w.-]+/[\w.-]+?)(?:\.git)?/?")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository; without one, the working folder, with no branch."""

    folder: Path
    name: str
    branch: str


def repository_of(folder: Path) -> Repository:
    """Find the repository around a folder.

    git is not run: a repository's own configuration can name programs that git would start.
    """
    here = folder.resolve()
    for place in (here, *here.parents):
        marker = place / ".git"
        if marker.is_dir():
            return Repository(place, _name(marker) or place.name, _branch(marker))
        if marker.is_file():  # a worktree: the file names its part of the repository's own folder
            own = place / _read(marker).removeprefix("gitdir:").strip()
            common = own / (_read(own / "commondir").strip() or ".")
            return Repository(place, _name(common) or place.name, _branch(own))
    return Repository(here, here.name or str(here), "")


def _branch(folder: Path) -> str:
    head = _read(folder / "HEAD").strip()
    return head.removeprefix("ref: refs/heads/")[:100] if head.startswith("ref: ") else f"commit {head[:12]}"


def _name(folder: Path) -> str:
    """Return `owner/name` of the remote `origin`; "" if there is none."""
    reader = ConfigParser(strict=False, allow_no_value=True, interpolation=None)
    try:
        reader.read_string("\n".join(line.strip() for line in _read(folder / "config").splitlines()))
        found = _REMOTE.fullmatch(reader.get('remote "origin"', "url", fallback="") or "")
    except ConfigError:
        return ""
    return found[1] if found else ""


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")[:100_000]
    except OSError:
        return ""
