"""Files that approved code made, for the thread of its run."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Final, NamedTuple

MOST: Final = 10
"""Files of a run."""
LARGEST: Final = 1_000_000
"""Bytes of a file."""
MOST_SEEN: Final = 1000
"""Most files of a work folder; a larger folder is not searched for new files."""
_LONGEST: Final = 60
_LONGEST_SUFFIX: Final = 10
_ODD: Final = re.compile(r"[^\w.()-]")


@dataclass(frozen=True, slots=True)
class MadeFile:
    """A file by its name, which is `clean`, with its bytes."""

    name: str
    content: bytes


class Why(StrEnum):
    """Reasons why a file is not attached."""

    LARGE = "large"
    MANY = "many"
    CROWDED = "crowded"
    """The folder holds too many files to search; one entry stands for all of them."""


class LeftOut(NamedTuple):
    """A file that is not attached, by its name, which is `clean`."""

    why: Why
    name: str


def clean(name: str) -> str:
    """Make a file's name safe to show and to save.

    Keeps letters, digits, `.`, `-`, `_` and brackets; drops the folder.
    """
    safe = _ODD.sub("_", name).lstrip(".")
    suffix = PurePosixPath(safe).suffix
    ending = suffix if len(suffix) <= _LONGEST_SUFFIX else ""
    return safe.removesuffix(ending)[: _LONGEST - len(ending)] + ending or "file"


def numbered(name: str, number: int) -> str:
    """Name the next version of a file: `plot.png` becomes `plot-2.png`."""
    path = PurePosixPath(name)
    return clean(f"{path.stem}-{number}{path.suffix}") if number > 1 else name
