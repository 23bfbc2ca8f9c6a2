"""The objects that an object of a team holds.

AutoGen tells nobody which agents and tools a team has. No code of the team's runs when this looks.
"""

from collections import deque
from collections.abc import Iterator
from types import FunctionType
from typing import Final

_BOXES: Final = (dict, list, tuple, set, frozenset, deque)
"""Looking into these runs no code of the team's, and ends; a sequence of another class may be endless, or a query."""
_PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes, FunctionType})
"""Most of what agents hold; none of it is a door, and asking each of AutoGen's protocols so takes longest here."""


def held(room: object) -> Iterator[object]:
    """Yield what an object holds in its attributes, and in lists and dicts there."""
    waiting: list[object] = [getattr(room, "__dict__", {})]
    opened: set[int] = set()
    while waiting:
        value = waiting.pop()
        if type(value) in _PLAIN:
            continue
        if not isinstance(value, _BOXES):
            yield value
        elif id(value) not in opened:
            opened.add(id(value))
            waiting.extend(value.values() if isinstance(value, dict) else value)
