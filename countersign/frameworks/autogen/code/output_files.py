"""Find the files that code made in its work folder, and no others."""

import os
import stat
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from autogen_core.code_executor import CodeExecutor

from countersign.domain.made_files import LARGEST, MOST_SEEN, LeftOut, MadeFile, Why, clean

_AUTOGENS: Final = "tmp_code_"
"""What AutoGen's executors call the files from which they run code."""
Listing = dict[Path, tuple[int, int, int]]


def folder_of(executor: CodeExecutor) -> Path | None:
    """Return the folder in which a started executor runs code, if it is here."""
    with suppress(Exception):  # AutoGen's own raise if nothing was set
        folder = getattr(executor, "work_dir", None)
        return Path(folder) if folder is not None else None
    return None


def listed(folder: Path | None) -> Listing | None:
    """List the files below the folder; None if they are too many.

    Each has what changes when it is written. Links are not followed; what is hidden is left out.
    """
    files: Listing = {}
    for place, folders, names in os.walk(folder) if folder is not None else ():
        folders[:] = [name for name in folders if not _is_hidden(name)]
        for name in names:
            if _is_hidden(name):
                continue
            if len(files) == MOST_SEEN:
                return None
            with suppress(OSError):
                state = Path(place, name).lstat()
                if stat.S_ISREG(state.st_mode):
                    files[Path(place, name)] = (state.st_mtime_ns, state.st_size, state.st_ino)
    return files


def made_since(
    folder: Path | None, earlier: Listing | None, code: Collection[str]
) -> tuple[list[MadeFile], list[LeftOut]]:
    """Return the new or changed files, and those that are left out.

    Files that hold `code` itself are none.
    """
    files = listed(folder)
    if files is None:
        return [], [LeftOut(Why.CROWDED, "files")]
    if earlier is None:
        return [], []
    texts, made, left = {text.encode() for text in code}, list[MadeFile](), list[LeftOut]()
    for path in sorted(path for path, state in files.items() if earlier.get(path) != state):
        content = _read(path)
        if len(content) > LARGEST:
            left.append(LeftOut(Why.LARGE, clean(path.name)))
        elif content and content not in texts and not path.name.startswith(_AUTOGENS):
            made.append(MadeFile(clean(path.name), content))
    return made, left


def _read(path: Path) -> bytes:
    """Read at most one byte over the limit; nothing if it is gone or no file."""
    with suppress(OSError), os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            return file.read(LARGEST + 1)
    return b""


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name == "__pycache__"
