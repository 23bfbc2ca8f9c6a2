"""How a process that has started treats its memory."""

import gc
from typing import Final

_BETWEEN: Final = 10_000
"""Objects that come before the youngest are looked through; Python's own 700 is for programs that end soon."""


def settle_memory() -> None:
    """Call it once everything is loaded: that stays as long as the process, so the collector need not look at it.

    It was an eighth of what a click costs (`python -m bench`).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_BETWEEN, 20, 20)
