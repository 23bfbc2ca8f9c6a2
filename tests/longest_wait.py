"""How long a test waits for a fact: as long as it takes. It costs nothing where the fact comes."""

from typing import Final

from localslack.change_feed import PATIENCE as _PATIENCE

PATIENCE: Final = _PATIENCE
"""Seconds; minutes, because a machine may be slow and busy. Only what hangs for ever is ended by it."""
