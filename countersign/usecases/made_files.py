"""The port to files that approved code made, on their way to Slack."""

from collections.abc import Sequence
from typing import Protocol

from countersign.domain.ids import RunId
from countersign.domain.made_files import MadeFile


class MadeFiles(Protocol):
    """Files of a run, for a while. May raise StoreUnavailable."""

    async def keep(self, run: RunId, files: Sequence[MadeFile]) -> int:
        """Add the files; return how many have no room.

        Each version has a name of its own.
        """

    async def names(self, run: RunId) -> dict[str, str]:
        """Return the keys of the files, each with its name.

        None of a run with too many.
        """

    async def content(self, run: RunId, field: str) -> bytes | None:
        """Return the bytes of a file; None if it is gone or too large."""
