"""Lists bear a record that nobody can read: it is named in the log once and left out, and the others are there.

A worker may store anything under its own keys, and a newer program what this one does not know. That must not keep
deadlines, a Home or the record from all others. What is left out is not what does not exist: nothing is concluded
from it.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from countersign.domain.errors import UnknownSchema

K = TypeVar("K", bound=str)
V = TypeVar("V")
REMEMBERED: Final = 1000
"""Names that are in the log; of more, the log says only that there are others."""
_LONGEST_NAME: Final = 80
_log = logging.getLogger(__name__)


class Bearing:
    """Reads the records of lists for one process."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def each(self, kind: str, reads: Mapping[K, Callable[[], V]]) -> dict[K, V]:
        """What each of these reads gives, by name; without those that raise UnknownSchema. `kind` is for the log."""
        found = {}
        for name, read in reads.items():
            try:
                found[name] = read()
            except UnknownSchema as wrong:
                self._name(f"{kind} {name}", wrong)
        return found

    def _name(self, what: str, wrong: UnknownSchema) -> None:
        what = ascii(what)[1:-1][:_LONGEST_NAME]
        if what in self._named or len(self._named) > REMEMBERED:
            return
        self._named.add(what)
        if len(self._named) > REMEMBERED:
            _log.error("More than %d records cannot be read; the others are left out without being named.", REMEMBERED)
        else:
            _log.error("%s is left out wherever it would be listed: %s", what, wrong)
