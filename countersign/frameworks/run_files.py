"""Files of runs: one each, written as a whole, for one program at a time."""

import json
import os
import shlex
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import ConfigDict, Field, TypeAdapter

from countersign.client import CountersignError, InvalidInput, is_approved
from countersign.whole_files import write_whole

_NO_OTHER_FIELDS: Final = ConfigDict(extra="forbid")
_ONE_BY_ONE: Final = threading.Lock()


class LeftToPeople(CountersignError):
    """The end of a program whose run waits for people.

    `countersign resume` starts it again.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"Stopped to wait for people. `countersign resume {folder}` starts this program again once they have "
            "decided."
        )


@dataclass(frozen=True)
class UnreportedOutcome:
    """The outcome of a call that the service was away to hear.

    Its fields are the arguments of `try_to_report`.
    """

    __pydantic_config__ = _NO_OTHER_FIELDS
    request: str
    succeeded: bool
    words: str


@dataclass
class SavedCall:
    """A call that people judge.

    `arguments` are those of the model, `edited` those that people made of them. `note` is what people must know
    besides.
    """

    __pydantic_config__ = _NO_OTHER_FIELDS
    id: str
    tool: str
    arguments: dict[str, Any]
    schema: dict[str, Any] | None
    note: str = ""
    edited: dict[str, Any] | None = None
    ended: bool = False
    result: Any = None
    unreported: UnreportedOutcome | None = None


@dataclass
class SavedRun:
    """One run in its file; `state` is the framework's own.

    `waits` are the requests that were left to people, and `program` in `directory` is what goes on with them.
    """

    key: str
    task: str
    state: Any
    calls: list[SavedCall]
    waits: list[str]
    program: Annotated[list[str], Field(min_length=1)]
    directory: str
    path: Path = field(default=Path(), kw_only=True)

    def call(
        self, id: str, tool: str, arguments: dict[str, Any], schema: dict[str, Any] | None, *, note: str = ""
    ) -> SavedCall:
        """Find the call, as the model gave it or as people changed it, or add it."""
        for call in self.calls:
            if (call.id, call.tool) != (id, tool):
                continue
            if is_approved(arguments, call.arguments) or is_approved(arguments, call.edited):
                return call
        self.calls.append(SavedCall(id, tool, arguments, schema, note))
        return self.calls[-1]

    def key_of(self, call: SavedCall) -> str:
        """The idempotency key of a call: the same whichever program goes on."""
        parts = (self.key, call.id, call.tool, call.arguments)
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def save(self, **changes: Any) -> None:
        """Write the file as a whole, with these changes."""
        for name, value in changes.items():
            setattr(self, name, value)
        content = asdict(self)
        del content["path"]
        write_whole(self.path, json.dumps(content).encode())


def path_of(folder: Path, key: str) -> Path:
    """Name the file of the run of this key, in a folder that is created if needed.

    InvalidInput if other accounts can write in it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    check_folder(folder)
    return folder / _name_of(key)


def _name_of(key: str) -> str:
    return f"{sha256(key.encode()).hexdigest()[:24]}.json"


def check_folder(folder: Path) -> None:
    """Check that only this account can put files there.

    A saved run names the program that `countersign resume` starts. InvalidInput if others can write there.
    """
    if sys.platform == "win32" or not folder.exists():
        return
    status = folder.stat()
    if status.st_uid not in (os.getuid(), 0):
        raise InvalidInput(f"The folder {folder} belongs to another account, so its runs aren't used. Use another one.")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise InvalidInput(
            f"Other accounts can write in the folder {folder}, so its runs aren't used. Check its files, and run: "
            f"chmod go-w {shlex.quote(str(folder))}"
        )


@contextmanager
def locked(path: Path, key: str) -> Iterator[None]:
    """Hold the run's file. InvalidInput if another program holds it."""
    with path.with_suffix(".lock").open("a+") as lock:
        try:
            _lock(lock.fileno())
        except OSError:
            raise InvalidInput(
                f"Another program is running “{key}”. Wait for it to finish, or use another key."
            ) from None
        yield


@contextmanager
def opened(folder: Path, key: str, task: str) -> Iterator[SavedRun]:
    """Open the run of this key for this program.

    InvalidInput if another program has it, or if it was another task's.
    """
    with locked(path_of(folder, key), key):
        run = run_of_this_program(folder, key, task)
        if run.task != task:
            raise InvalidInput(f"The key “{key}” belongs to another task. Use a new key for a new run.")
        run.waits = []
        yield run


def run_of_this_program(folder: Path, key: str, task: str = "") -> SavedRun:
    """Return the run of this key, as its file has it or new, for this program."""
    path, command, here = path_of(folder, key), [sys.executable, *sys.orig_argv[1:]], str(Path.cwd())
    if path.exists():
        return replace(read(path), program=command, directory=here)
    return SavedRun(key, task, None, [], [], command, here, path=path)


def leave(folder: Path, key: str, asked: Sequence[tuple[str, bool]]) -> None:
    """Leave requests, each decided or not, to people.

    The framework itself keeps the state of the run. LeftToPeople, unless all of them are decided.
    """
    with _ONE_BY_ONE:
        run = run_of_this_program(folder, key)
        others = [request for request in run.waits if request not in dict(asked)]
        waits = others + [request for request, decided in asked if not decided]
        if waits != run.waits:
            run.save(waits=waits)
    if waits != others:
        raise LeftToPeople(folder)


_RUN: Final = TypeAdapter(SavedRun)


def read(path: Path) -> SavedRun:
    """Read a run's file.

    InvalidInput if it is damaged, or has the name of another run.
    """
    try:
        # Not by pydantic's own parser: a text of a model may hold half a surrogate pair.
        run = _RUN.validate_python(json.loads(path.read_bytes()))
    except (ValueError, RecursionError):
        raise InvalidInput(
            f"Can't read {path}: it is damaged, or not a saved run. It was left as it is, and so were the requests of "
            "the run. Restore it from a backup, or move it away to start the run again."
        ) from None
    if _name_of(run.key) != path.name:
        raise InvalidInput(f"Can't read {path}: it holds the run of another key. It was left as it is.")
    return replace(run, path=path)


def _lock(file: int) -> None:
    """Lock a file for this process, until it is closed. OSError if another one has it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
