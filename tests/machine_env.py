"""Variables that say on which machine, and at what time, the tests run: every process that they start keeps them."""

import os
from typing import Final

_KEPT: Final = ("PATH", "TZ", "LANG", "LC_ALL", "TMPDIR", "PYTHONHASHSEED", "LD_PRELOAD")
MACHINE: Final = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("FAKETIME")}
"""For processes with an environment of their own."""
