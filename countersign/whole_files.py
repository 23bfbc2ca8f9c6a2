"""Files that are replaced in one step: after a crash each is as it was, or new."""

import os
import sys
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file in one step, and wait until the disk has it."""
    draft, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # nobody else may read it meanwhile
    try:
        with os.fdopen(draft, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
    if sys.platform == "win32":
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
