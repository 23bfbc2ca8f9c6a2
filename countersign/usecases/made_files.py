"""The port to files that approved code made, on their way to Slack."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from countersign.domain.ids import RunId
from countersign.domain.made_files import LeftOut, MadeFile


class Kept(NamedTuple):
    """Keys of the files, each with its name, and what is not attached."""

    files: dict[str, str]
    left: tuple[LeftOut, ...] = ()


class MadeFiles(Protocol):
    """Files of a run, for a while. May raise StoreUnavailable."""

    async def keep(self, run: RunId, files: Sequence[MadeFile], left: Sequence[LeftOut] = ()) -> None:
        """Add the files, and note those that are left out or have no room.

        Each version has a name of its own.
        """

    async def kept(self, run: RunId) -> Kept:
        """Return what is kept; nothing of a run with too many."""

    async def content(self, run: RunId, field: str) -> bytes | None:
        """Return the bytes of a file; None if it is gone or too large."""
