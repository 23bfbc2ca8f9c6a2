"""A process around code that agents wrote, which nothing started by it outlives.

It is run as a script and never imported.

`python -I -S _subreaper.py isolate|reap command …` runs the command and exits with its code, or 128 and the
signal that ended it. It holds its standard input open: when that ends, because the worker closes it or is gone, all is
killed.

On Linux it gives the command process ids of its own, where the system allows that: the kernel then ends every process
in there with the first one, and none of them can reach out to kill this one. Elsewhere on Linux it is the parent of
whatever loses its own (a subreaper), and kills those until there are none. On other systems it kills the process group.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_NEW_USERS: Final = 0x10000000  # the flags of unshare(2)
_NEW_PROCESSES_AND_MOUNTS: Final = 0x20000000 | 0x00020000
_PRIVATE: Final = 0x40000 | 0x4000  # of mount(2): not told to anybody, with all below
_SET_CHILD_SUBREAPER: Final = 36  # of prctl(2)
_NOT_FOUND: Final = 127


def main() -> int:
    """Run the command and return its exit code."""
    how, command = sys.argv[1], sys.argv[2:]
    isolated = how == "isolate" and _isolated()
    if not isolated and sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    woken, wakes = os.pipe()
    os.set_blocking(wakes, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    first = os.fork()
    if first == 0:
        _inside(command) if isolated else _become(command)
    while not (ended := os.waitpid(first, os.WNOHANG))[0]:
        # No thread, and no blocking wait: with process ids of its own a process cannot start threads any more.
        if 0 in select.select([0, woken], [], [])[0]:
            _kill(first)
            ended = os.waitpid(first, 0)
            break
        os.read(woken, 1000)
    _kill_the_rest(first)
    return _code(ended[1])


def _isolated() -> bool:
    """Give later children process ids of their own; say whether that worked."""
    if sys.platform != "linux":
        return False
    libc, user, group = ctypes.CDLL(None), os.getuid(), os.getgid()
    if libc.unshare(_NEW_PROCESSES_AND_MOUNTS) == 0:
        return True
    if libc.unshare(_NEW_USERS | _NEW_PROCESSES_AND_MOUNTS) != 0:
        return False
    for name, words in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(words)
    return True


def _inside(command: list[str]) -> None:
    """Run the command as a child of the first process of the new ids, and end with it."""
    libc = ctypes.CDLL(None)
    libc.mount(None, b"/", None, _PRIVATE, None)
    libc.mount(b"proc", b"/proc", b"proc", 0, None)  # a container may refuse; /proc then shows the others' ids
    second = os.fork()
    if second == 0:
        _become(command)
    ended, status = os.wait()
    while ended != second:
        ended, status = os.wait()
    os._exit(_code(status))


def _become(command: list[str]) -> None:
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    try:
        os.execvp(command[0], command)
    except OSError as wrong:
        print(f"{command[0]} cannot be run: {wrong.strerror}.", flush=True)
        os._exit(_NOT_FOUND)


def _kill_the_rest(group: int) -> None:
    if sys.platform != "linux":  # where nobody is given those that lose their parent
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    while True:
        for child in _children():
            _kill(child)
        try:
            os.wait()
        except ChildProcessError:
            return


def _children() -> Iterator[int]:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(") ")[2].split()[1]) == os.getpid():
                yield int(stat.parent.name)


def _kill(process: int) -> None:
    with contextlib.suppress(OSError):
        os.kill(process, signal.SIGKILL)


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
