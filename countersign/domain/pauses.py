"""Pauses between tries."""

from collections.abc import Iterator
from math import inf


def doubling(first: float, longest: float = inf) -> Iterator[float]:
    """Yield seconds without end, each twice the one before, up to the longest."""
    pause = first
    while True:
        yield min(pause, longest)
        pause = min(2 * pause, longest)
