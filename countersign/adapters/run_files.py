"""Files of runs: one each, written as a whole, for one program at a time."""

import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from types import UnionType
from typing import Any, Final

from countersign.adapters.sealing import sealed, unsealed
from countersign.domain.errors import CountersignError, InvalidInput

LONGEST: Final = 5_000_000
"""Characters of a run with its state."""
_NOT_KEPT: Final = ("path", "sent")
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


@dataclass
class SavedCall:
    """A call that people judge.

    `arguments` are those of the model, `edited` those that people made of them. `began` counts its attempts. `kept`:
    whether the service keeps the run with its request; None while it was not asked about. `unreported`: its outcome,
    while the service was away to hear it.
    """

    id: str
    tool: str
    arguments: dict[str, Any]
    schema: dict[str, Any] | None
    edited: dict[str, Any] | None = None
    began: int = 0
    ended: bool = False
    result: Any = None
    kept: bool | None = None
    unreported: dict[str, Any] | None = None


@dataclass
class SavedRun:
    """One run in its file; `state` is the framework's own.

    `waits` are the requests that were left to people, and `program` in `directory` is what goes on with them. `left`:
    its program was to end. `number` grows with each copy that was `sent` to the service.
    """

    path: Path
    key: str
    task: str
    state: Any = None
    calls: list[SavedCall] = field(default_factory=list)
    waits: list[str] = field(default_factory=list)
    program: list[str] = field(default_factory=lambda: [sys.executable, *sys.orig_argv[1:]])
    directory: str = field(default_factory=os.getcwd)
    left: bool = False
    number: int = 1
    sent: bool = False

    def call(self, id: str, tool: str, arguments: dict[str, Any], schema: dict[str, Any] | None) -> SavedCall:
        """Find the call, as the model gave it or as people changed it, or add it."""
        for call in self.calls:
            if (call.id, call.tool) == (id, tool) and arguments in (call.arguments, call.edited):
                return call
        self.calls.append(SavedCall(id, tool, arguments, schema))
        return self.calls[-1]

    def key_of(self, call: SavedCall) -> str:
        """The idempotency key of a call: the same whichever program goes on."""
        parts = (self.key, call.id, call.tool, call.arguments)
        return sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def save(self, **changes: Any) -> None:
        """Write the file as a whole, with changes of the state.

        InvalidInput if it is too large.
        """
        for name, value in changes.items():
            setattr(self, name, value)
        if self.sent:
            self.number, self.sent = self.number + 1, False
        text = json.dumps({name: value for name, value in asdict(self).items() if name not in _NOT_KEPT})
        if len(text) > LONGEST:
            raise InvalidInput(
                f"The run “{self.key}” is too large: {len(text):,} characters, and the limit is {LONGEST:,}."
            )
        write(self.path, sealed(text))


def path_of(folder: Path, key: str) -> Path:
    """Name the file of the run of this key; the folder is made if there is none."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder / f"{sha256(key.encode()).hexdigest()[:24]}.json"


def write(path: Path, content: bytes) -> None:
    """Write a run's file as a whole."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)  # left by a program that ended, or put there
    with open(part, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


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
    path = path_of(folder, key)
    with locked(path, key):
        run = SavedRun(path, key, task)
        if path.exists():
            known = read(path)
            if known["task"] != task:
                raise InvalidInput(f"The key “{key}” belongs to another task. Use a new key for a new run.")
            run.state, run.calls = known["state"], [SavedCall(**{"kept": False, **call}) for call in known["calls"]]
            run.left, run.number = known.get("left", False), known.get("number", 1)
        yield run


def leave(folder: Path, key: str, asked: Sequence[tuple[str, bool]]) -> None:
    """Leave requests, each decided or not, to people.

    The framework itself keeps the state of the run. LeftToPeople, unless all of them are decided.
    """
    path = path_of(folder, key)
    with _ONE_BY_ONE:
        before = read(path)["waits"] if path.exists() else []
        others = [request for request in before if request not in dict(asked)]
        waits = others + [request for request, decided in asked if not decided]
        if waits != before:
            SavedRun(path, key, "", waits=waits).save()
    if waits != others:
        raise LeftToPeople(folder)


def read(path: Path) -> dict[str, Any]:
    """Read a run's file.

    InvalidInput if it is damaged, or was sealed with another key.
    """
    return parsed(path.read_bytes(), str(path))


def parsed(content: bytes, name: str) -> dict[str, Any]:
    """Read the content of a run's file, which the errors call by this name.

    InvalidInput as for `read`.
    """
    try:
        known = json.loads(unsealed(content, name))
    except (ValueError, RecursionError):
        known = None
    if not isinstance(known, dict) or not all(_is(known, *field) for field in _FIELDS) or not _has_calls(known):
        raise InvalidInput(
            f"Can't read {name}: it is damaged, or not a saved run. It was left as it is, and so were the requests of "
            "the run. Restore it from a backup, or move it away to start the run again."
        )
    return known


_FIELDS: Final[tuple[tuple[str, type, bool], ...]] = (
    *(("key", str, True), ("task", str, True), ("calls", list, True), ("waits", list, True), ("program", list, True)),
    *(("directory", str, True), ("left", bool, False), ("number", int, False)),
)
_CALL_FIELDS: Final[tuple[tuple[str, type | UnionType, bool], ...]] = (
    *(("id", str, True), ("tool", str, True), ("arguments", dict, True), ("schema", dict | None, True)),
    *(("edited", dict | None, False), ("began", int, False), ("ended", bool, False), ("kept", bool | None, False)),
    ("unreported", dict | None, False),
)


def _is(known: dict[str, Any], name: str, kind: type | UnionType, needed: bool) -> bool:
    if name not in known:
        return not needed
    return isinstance(known[name], kind) and not (kind is int and isinstance(known[name], bool))


def _is_outcome(known: dict[str, Any]) -> bool:
    kinds = {"request": str, "succeeded": bool, "words": str, "keep_state": bool}
    return known.keys() == kinds.keys() and all(isinstance(known[name], kind) for name, kind in kinds.items())


def _has_calls(known: dict[str, Any]) -> bool:
    """Tell whether the calls of a run, and its lists of texts, are what they should be."""
    names = {one.name for one in fields(SavedCall)}
    return (
        "state" in known
        and bool(known["program"])
        and all(isinstance(text, str) for text in (*known["waits"], *known["program"]))
        and all(
            isinstance(call, dict)
            and call.keys() <= names
            and all(_is(call, *field) for field in _CALL_FIELDS)
            and (call.get("unreported") is None or _is_outcome(call["unreported"]))
            for call in known["calls"]
        )
    )


def _lock(file: int) -> None:
    """Lock a file for this process, until it is closed. OSError if another one has it."""
    if sys.platform == "win32":
        import msvcrt

        os.lseek(file, 0, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
