"""States of programs: text that only their program can read.

Another machine may go on with it when the decision comes. Each copy has a number, and replaces the one before only if
it is higher: of two programs that go on with one copy, one is refused before it does anything.
"""

from dataclasses import dataclass, field
from typing import Final

from countersign.domain.errors import Conflict
from countersign.domain.ids import RequestId

LONGEST_STATE: Final = 256 * 1024
"""Characters of a sealed state."""


@dataclass(frozen=True, slots=True)
class ProgramState:
    """A copy of a state; one that seals nothing ends what is kept."""

    request: RequestId
    number: int
    sealed: str = field(repr=False)


def follows(state: ProgramState, stored: ProgramState | None) -> bool:
    """Tell whether the copy replaces the one that is kept; False if it is the same.

    Conflict if that is newer or another one of this number, or if nothing is kept any more.
    """
    if state == stored or (stored is None and not state.sealed):
        return False
    if stored is None:
        raise Conflict(
            "This request keeps no state any more: its outcome was reported, or another program went on with it. "
            "Nothing was done. Use a new key for a new run."
        )
    if state.number <= stored.number:
        raise Conflict("Another program has gone on with this run, so this state of it is too old. Nothing was done.")
    return True
