"""Garbage collection for processes that have started and run for long."""

import gc
from typing import Final

_BETWEEN: Final = 10_000
"""Objects that come before the youngest are looked through; Python's own 700 is for programs that end soon."""


def keep_what_is_loaded() -> None:
    """Keep the collector from looking at everything that is loaded by now.

    It stays as long as the process. Looking at it was a third of what a worker needs to bring 2,000 runs back
    (`python -m bench`). Each of those leaves cycles behind, so the collector looks as often as ever there: else what
    parked runs leave stays in memory for long.
    """
    gc.collect()
    gc.freeze()


def settle_memory() -> None:
    """Do the same, and collect rarely, in a process that leaves little behind.

    Collecting was an eighth of what a click costs (`python -m bench`).
    """
    keep_what_is_loaded()
    gc.set_threshold(_BETWEEN, 20, 20)
